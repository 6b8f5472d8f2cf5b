"""Train and test a config: what ``tools/train.py`` and ``tools/test.py`` do."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.evaluation import DumpDetResults
from mmdet.utils import setup_cache_size_limit_of_dynamo
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import all_gather_object, init_dist, is_distributed, is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS, RUNNERS, init_default_scope
from mmengine.runner import Runner

from mmnasfpn._files import write_json
from mmnasfpn.checkpoints.fit import CheckpointFitHook, check_classes
from mmnasfpn.checkpoints.safe import trust_checkpoints
from mmnasfpn.datasets.annotations import FileStamp
from mmnasfpn.engine.config import load_config as load_config
from mmnasfpn.engine.hooks.last_batch import LastBatchHook
from mmnasfpn.engine.hooks.no_detections import NoDetectionsHook
from mmnasfpn.engine.hooks.resume import ResumeHook
from mmnasfpn.engine.hooks.schedule import ResumedScheduleHook
from mmnasfpn.engine.preflight import DataReport, check_data, check_model
from mmnasfpn.engine.preflight.config import check_config
from mmnasfpn.engine.preflight.data_config import leaves, metrics_of
from mmnasfpn.engine.results import report_results
from mmnasfpn.engine.user_errors import config_errors
from mmnasfpn.errors import UsageError
from mmnasfpn.export.onnx_detector import OnnxDetector
from mmnasfpn.registry import class_of

#: How a model can compute, as :func:`train` and :func:`evaluate` take it, and what that is to autocast.
DTYPES = dict(fp32=None, bf16='bfloat16', fp16='float16')


def train(cfg: Config, amp: bool = False, auto_scale_lr: bool = False,
          resume: bool | str = False, trust_checkpoint: bool = False,
          channels_last: bool = False, dtype: str = 'fp32', compile_mode: str | None = None) -> None:
    """Train, and log at the end where everything is.

    Args:
        cfg (Config): The config, as from :func:`load_config`.
        amp (bool): Train in mixed precision; needs a GPU. Defaults to False.
        auto_scale_lr (bool): Scale the learning rate from the config's
            ``auto_scale_lr.base_batch_size`` to the batch in use. Defaults to False.
        resume (bool | str): True goes on from the last checkpoint in the work dir, if there is
            one; a path goes on from that checkpoint. Defaults to False.
        trust_checkpoint (bool): Read checkpoints in full, whatever they make Python run. Defaults to
            False: weights only.
        channels_last (bool): Store weights and maps channels last. Defaults to False.
        dtype (str): ``'bf16'`` trains and validates in mixed precision of bfloat16, on a CPU or a GPU.
            Defaults to ``'fp32'``: as the config says.
        compile_mode (str | None): Compile the networks by ``torch.compile``, in this mode of
            :class:`~mmnasfpn.engine.hooks.CompileHook`. Defaults to None: as the config says.

    Raises:
        FileNotFoundError, ValueError: If the data or the model do not fit the config, a checkpoint is
            refused, or an argument is impossible, before training starts.
    """
    check_config(cfg, 'train', 'val')
    if isinstance(resume, str) and Path(resume).is_dir():
        raise UsageError(f'--resume is {resume!r}, which is a folder: name a checkpoint in it, e.g. '
                         f"{os.path.join(resume, 'epoch_1.pth')}, or, to go on from its last one, give "
                         '--work-dir with the folder and --resume without a value')
    if isinstance(resume, str) and '://' not in resume and not Path(resume).is_file():
        raise UsageError(f'--resume is {resume!r}, but there is no such file')
    if amp and dtype != 'fp32':
        raise UsageError(f'--amp is mixed precision of float16, and --dtype is {dtype}: leave one out')
    if amp:
        if get_device() == 'cpu':
            raise UsageError('--amp needs a GPU, but none is visible: leave it out on this machine')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.loss_scale = 'dynamic'
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise UsageError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the '
                             'config: the whole batch that the learning rate was chosen for')
        cfg.auto_scale_lr.enable = True
    _add_speed_hooks(cfg, channels_last, dtype, compile_mode=compile_mode)
    _use_hook(cfg, 'checkpoint', dict(type='CheckpointHook', interval=1), CheckpointHook,
              'mmnasfpn.AtomicCheckpointHook')
    if resume:
        cfg.resume = True
        cfg.load_from = None if resume is True else resume
    with trust_checkpoints(trust_checkpoint):
        runner = build_runner(cfg, ('train_dataloader', 'val_dataloader'),
                               strict_checkpoint=bool(cfg.get('resume')))
        with config_errors():  # of what the runner builds only now
            runner.train()
    if is_main_process():
        report_results(runner)


def evaluate(cfg: Config, checkpoint: str, out: str | os.PathLike[str] | None = None,
         json_path: str | os.PathLike[str] | None = None,
         show_dir: str | os.PathLike[str] | None = None, show: bool = False,
         wait_time: float = 2, tta: bool = False, backend: str | None = None,
         trust_checkpoint: bool = False, channels_last: bool = False, dtype: str = 'fp32',
         fuse: bool = False, compile_mode: str | None = None) -> dict[str, float]:
    """Evaluate a checkpoint.

    Args:
        cfg (Config): The config, as from :func:`load_config`.
        checkpoint (str): Path or URL of the checkpoint, or path of a model that ``tools/export_onnx.py``
            wrote from it.
        out (str | PathLike | None): Pickle to write all predictions to. Defaults to None.
        json_path (str | PathLike | None): JSON file to write the metrics to. Defaults to None.
        show_dir (str | PathLike | None): Folder, below the work dir's run, for images with
            detections.
        show (bool): Show the images in a window. Defaults to False.
        wait_time (float): Seconds to show each image.
        tta (bool): Test-time augmentation, by the config's ``tta_model`` and ``tta_pipeline``,
            or by flipping where it has none. Defaults to False.
        backend (str | None): ``'pytorch'``; or for an exported model ``'onnx'``, ONNX Runtime, or
            ``'openvino'``. Defaults to what the checkpoint's name says: ``'onnx'`` where it ends in
            ``.onnx``.
        trust_checkpoint (bool): As in :func:`train`.
        channels_last (bool): As in :func:`train`.
        dtype (str): ``'bf16'`` or ``'fp16'`` evaluates in mixed precision of bfloat16 or float16.
            Defaults to ``'fp32'``: as the config says.
        fuse (bool): Fold batch normalisation into the convolutions before it. Defaults to False.
        compile_mode (str | None): As in :func:`train`.

    Returns:
        dict[str, float]: The metrics, e.g. ``{'coco/bbox_mAP': ..., ...}``.

    Raises:
        FileNotFoundError, ValueError: If the checkpoint, the data or the model do not fit, or an
            argument is impossible; nothing is evaluated or written then.
    """
    if '://' not in checkpoint and not Path(checkpoint).is_file():
        what = 'that is a folder: name a file' if Path(checkpoint).is_dir() else 'there is no such file'
        raise FileNotFoundError(f'checkpoint is {checkpoint!r}, but {what}')
    if out is not None and not os.fspath(out).endswith(('.pkl', '.pickle')):
        raise UsageError(f'--out is {os.fspath(out)!r}, but must end in .pkl or .pickle')
    _keep_inputs(cfg, checkpoint, [path for path in (out, json_path) if path is not None])
    backend = backend or ('onnx' if checkpoint.endswith('.onnx') else 'pytorch')
    if backend != 'pytorch':
        if tta or channels_last or fuse or dtype != 'fp32' or compile_mode is not None:
            raise UsageError('--tta, --channels-last, --dtype, --fuse and --compile cannot change an '
                             'exported model: leave them out')
        cfg.model = dict(type='mmnasfpn.OnnxDetector', path=checkpoint, backend=backend)
        cfg.load_from = None
        cfg.custom_hooks = []  # such as EMAHook, which there are no weights for
    else:
        cfg.load_from, cfg.resume = checkpoint, False  # a resumed training's config says True
        _add_speed_hooks(cfg, channels_last, dtype, fuse, compile_mode)
    check_config(cfg, 'test')
    if show or show_dir:
        _use_hook(cfg, 'visualization', dict(type='mmdet.DetVisualizationHook'), DetVisualizationHook,
                  'mmnasfpn.PaintHook', draw=True, show=show, wait_time=wait_time,
                  test_out_dir=None if show_dir is None else os.fspath(show_dir))
    if tta:
        _use_tta(cfg)
    with trust_checkpoints(trust_checkpoint):
        runner = build_runner(cfg, ('test_dataloader',), strict_checkpoint=True)
        if out is not None:
            runner.test_evaluator.metrics.append(DumpDetResults(out_file_path=os.fspath(out)))
        with config_errors():
            metrics = runner.test()
    if json_path is not None and is_main_process():
        write_json(Path(json_path), dict(checkpoint=checkpoint, metrics=metrics), indent=2)
    return metrics


def _keep_inputs(cfg: Config, checkpoint: str, outputs: Sequence[str | os.PathLike[str]]) -> None:
    """Refuse to write over what is read."""
    inputs = {checkpoint, str(cfg.filename)}
    inputs |= {str(metric.get('ann_file')) for metric in metrics_of(cfg, 'test_evaluator')[0]}
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or ConfigDict()
    inputs |= {os.path.join(str(part.get('data_root') or ''), str(part.get('ann_file')))
               for part in leaves(dataset)}
    for path in outputs:
        if os.path.abspath(path) in map(os.path.abspath, inputs):
            raise UsageError(f'{os.fspath(path)} would be written over, but it is read: name another '
                             'file')


def build_runner(cfg: Config, dataloaders: tuple[str, ...], strict_checkpoint: bool,
                 checked: frozenset[FileStamp] = frozenset()) -> Runner:
    """Build the runner of a config, after checks of its data and model.

    Args:
        cfg (Config): The config.
        dataloaders (tuple[str, ...]): Keys of the dataloaders that it will use.
        strict_checkpoint (bool): Whether to refuse a checkpoint that does not fit the whole model.
        checked (frozenset[FileStamp]): As for :func:`check_data`.

    Raises:
        FileNotFoundError, ValueError: If the data or the model do not fit the config.
    """
    setup_cache_size_limit_of_dynamo()
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    _launch(cfg)
    data = _check_data_once(cfg, dataloaders, checked)
    with config_errors():
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    data.warn()  # into the log of the run
    check_model(runner.model, data.classes)
    if isinstance(runner.model, OnnxDetector) and data.classes is not None:
        check_classes(runner.model.about['classes'], data.classes)
    for hook in (CheckpointFitHook(strict_checkpoint, data.classes), ResumeHook(), ResumedScheduleHook(),
                 LastBatchHook(), NoDetectionsHook()):
        runner.register_hook(hook)
    return runner


def _check_data_once(cfg: Config, dataloaders: tuple[str, ...],
                     checked: frozenset[FileStamp]) -> DataReport:
    """Let one process of each machine check the data while the others wait, and all end if it does."""
    found: DataReport | Exception | None = None
    if int(os.environ.get('LOCAL_RANK', 0)) == 0:
        try:
            found = check_data(cfg, dataloaders, checked)
        except Exception as error:  # to be raised by all
            found = error
    everywhere = all_gather_object(found) if is_distributed() else [found]
    for other in everywhere:
        if isinstance(other, Exception):
            raise other
    return next(filter(None, everywhere))


def _add_speed_hooks(cfg: Config, channels_last: bool, dtype: str, fuse: bool = False,
                     compile_mode: str | None = None) -> None:
    if dtype not in DTYPES:
        raise ValueError(f'dtype is {dtype!r}, but must be one of {", ".join(map(repr, DTYPES))}')
    hooks: list[dict[str, Any]] = list(cfg.get('custom_hooks') or ())
    if channels_last:
        hooks.append(dict(type='mmnasfpn.ChannelsLastHook'))
    if dtype != 'fp32':
        hooks.append(dict(type='mmnasfpn.AutocastHook', dtype=DTYPES[dtype]))
    if fuse:
        hooks.append(dict(type='mmnasfpn.FoldNormsHook'))
    if compile_mode is not None:
        hooks.append(dict(type='mmnasfpn.CompileHook', mode=compile_mode))
    cfg.custom_hooks = hooks


def _launch(cfg: Config) -> None:
    """Let several processes find each other; without a GPU too, for which MMEngine's launcher asks."""
    if cfg.launcher == 'none' or is_distributed():
        return
    if cfg.launcher != 'pytorch' or get_device() != 'cpu':
        init_dist(cfg.launcher, **(cfg.get('env_cfg') or {}).get('dist_cfg', {}))
        return
    torch.distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False,
                   find_unused_parameters=cfg.get('find_unused_parameters', False))
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {}), 'device_ids': None}


def _use_hook(cfg: Config, name: str, default: dict[str, Any], theirs: type, ours: str,
              **options: Any) -> None:
    """Use our hook in place of MMEngine's or MMDetection's; a hook of the user's own stays."""
    hooks = cfg.get('default_hooks') or {}
    hook = hooks.get(name, default)
    if hook is None and not options:  # turned off
        return
    hook = hook or default
    if class_of(HOOKS, hook, cfg) is theirs:
        hook = {**hook, 'type': ours}
    cfg.default_hooks = {**hooks, name: {**hook, **options}}


def _use_tta(cfg: Config) -> None:
    """Wrap the model and replace the pipelines; MMDetection's names and defaults."""
    tta_model = cfg.get('tta_model') or dict(
        type='DetTTAModel',  # MMDetection registers it without its scope
        tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100))
    meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip',
                 'flip_direction')
    flips = dict(type='TestTimeAug', transforms=[
        [dict(type='mmdet.RandomFlip', prob=1.), dict(type='mmdet.RandomFlip', prob=0.)],
        [dict(type='mmdet.PackDetInputs', meta_keys=meta_keys)]])
    for dataset in leaves(cfg.test_dataloader.dataset):
        dataset.pipeline = cfg.get('tta_pipeline') or [*dataset.pipeline[:-1], flips]
    cfg.model = dict(**tta_model, module=cfg.model)
