"""Metrics of 0, not none, where nothing is detected."""
from collections.abc import Iterator
from typing import Any

from mmdet.evaluation import CocoMetric
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnasfpn.registry import HOOKS

_PRECISIONS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')
_RECALLS = ('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')


@HOOKS.register_module()
class NoDetectionsHook(Hook):
    """Say 0 for each COCO metric of a model that detects nothing at all.

    MMDetection's ``CocoMetric`` returns no metrics then: nothing would be logged, written or compared to
    find the best checkpoint.
    """

    priority = 'HIGHEST'  # before the hooks that log, and save the best

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Fill in what is missing."""
        self._fill_in(runner, runner.val_evaluator, metrics)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Fill in what is missing."""
        self._fill_in(runner, runner.test_evaluator, metrics)

    def _fill_in(self, runner: Runner, evaluator: Any, metrics: dict[str, float] | None) -> None:
        if metrics is None:
            return
        # MultiDatasetsEvaluator names its data sets, and loops that test several models these.
        sets = getattr(evaluator, 'dataset_prefixes', None)
        places = [f'{place}/' for place in sets] if sets else [''] * len(evaluator.metrics)
        missing = [f'{place}{name}' for place, metric in zip(places, evaluator.metrics, strict=False)
                   for name in _names(metric)
                   if not any(f'/{key}'.endswith(f'/{place}{name}') for key in metrics)]
        if missing:
            runner.logger.warning('Nothing was detected, not in any image (with a score above '
                                  f'model.test_cfg.score_thr): {", ".join(missing)} are 0')
            metrics.update(dict.fromkeys(missing, 0.0))


def _names(metric: Any) -> Iterator[str]:
    """Yield what the metrics are called that one of COCO's gives."""
    if (not isinstance(metric, CocoMetric) or metric.format_only
            or type(metric).compute_metrics is not CocoMetric.compute_metrics):  # names of its own
        return
    prefix = f'{metric.prefix}/' if metric.prefix else ''
    for kind in metric.metrics:
        if kind == 'proposal_fast':
            yield from (f'{prefix}AR@{number}' for number in metric.proposal_nums)
        elif kind == 'proposal':
            yield from (f'{prefix}{item}' for item in metric.metric_items or _RECALLS)
        else:
            if metric.classwise:
                yield from (f'{prefix}{name}_precision' for name in metric.dataset_meta['classes'])
            yield from (f'{prefix}{kind}_{item}' for item in metric.metric_items or _PRECISIONS)
