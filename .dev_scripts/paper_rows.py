"""The paper's Table 1 and the models of its figures: which config is which, and what each costs.

The paper's figures stand in ``paper_table.csv``, which holds its Table 1 as printed.
"""
import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmnasfpn._files import OUR_CONFIGS
from mmnasfpn.errors import UsageError

#: The paper's models predict COCO's 90 category ids, of which 80 are in use.
PAPER_CLASSES, COCO_CLASSES = 90, 80

_HERE = Path(__file__).parent
_SEARCHED = "NAS-FPNLite's genotype is of a search of ours: the paper's 15 cells are not published"
_AMOEBANET = 'AmoebaNet-D is of 15 cells and 256 filters, which fit best: its size is not published'


@dataclass(frozen=True)
class Source:
    """Where the config of a row is.

    Args:
        config (str | None): Name of a config of ours, ``mmdet::`` and the path of one of
            MMDetection's, or None where there is no such model.
        note (str): What a reader must know about it. Defaults to nothing.
        options (Mapping[str, Any]): Settings that differ from the config's.
    """

    config: str | None
    note: str = ''
    options: Mapping[str, Any] = field(default_factory=dict)


#: The config of each row of Table 1.
TABLE_1: dict[str, Source] = {
    'yolov3-320': Source('mmdet::yolo/yolov3_d53_8xb8-320-273e_coco'),
    'ssdlite-mbv2-320': Source('mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco'),
    'ssdlite-mnasnet-320': Source(None, 'MMDetection has no MnasNet'),
    'ssdlite-mnasnet92-320': Source(None, 'MMDetection has no MnasNet'),
    'fpnlite-mbv2-64-320': Source('retinanet-lite_mobilenetv2_fpnlite-64_320-55e_coco'),
    'fpnlite-mbv2-128-320': Source('retinanet-lite_mobilenetv2_fpnlite-128_320-55e_coco'),
    'nasfpnlite-mbv2-3x48-320': Source(
        'retinanet-lite_mobilenetv2_nasfpnlite-3x48_320-55e_coco', _SEARCHED),
    'nasfpnlite-mbv2-7x64-320': Source(
        'retinanet-lite_mobilenetv2_nasfpnlite-7x64_320-55e_coco', _SEARCHED),
    'yolov3-608': Source('mmdet::yolo/yolov3_d53_8xb8-ms-608-273e_coco'),
    'cornernet-512': Source('mmdet::cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco'),
    'maskrcnn-x152': Source(
        'mmdet::mask_rcnn/mask-rcnn_x101-32x8d_fpn_1x_coco', 'the config of X-101 with depth=152',
        {'model.backbone.depth': 152}),
    'refinedet-r101': Source(None, 'MMDetection has no RefineDet'),
    'fpn-r50-256-640': Source('retinanet_r50_fpn-256_crop640-50e_coco'),
    'fpn-r101-256-640': Source('retinanet_r101_fpn-256_crop640-50e_coco'),
    'fpn-r50-256-1024': Source('retinanet_r50_fpn-256_crop1024-50e_coco'),
    'fpn-r101-256-1024': Source('retinanet_r101_fpn-256_crop1024-50e_coco'),
    'fpn-amoebanet-256-1280': Source(
        'retinanet_amoebanet-d_fpn-256_crop1280-coslr-50e_coco', _AMOEBANET),
    'nasfpn-r50-7x256-640': Source('retinanet_r50_nasfpn-7x256_crop640-50e_coco'),
    'nasfpn-r50-7x256-1024': Source('retinanet_r50_nasfpn-7x256_crop1024-50e_coco'),
    'nasfpn-r50-7x256-1280': Source('retinanet_r50_nasfpn-7x256_crop1280-50e_coco'),
    'nasfpn-r50-7x384-1280': Source('retinanet_r50_nasfpn-7x384_crop1280-50e_coco'),
    'nasfpn-r50-7x384-1280-db': Source('retinanet_r50_nasfpn-7x384-dropblock_crop1280-150e_coco'),
    'nasfpn-amoebanet-7x384-1280': Source(
        'retinanet_amoebanet-d_nasfpn-7x384_crop1280-coslr-50e_coco', _AMOEBANET),
    'nasfpn-amoebanet-7x384-1280-db': Source(
        'retinanet_amoebanet-d_nasfpn-7x384-dropblock_crop1280-coslr-150e_coco', _AMOEBANET),
}

#: The configs of ours that are in the paper's figures, but not in Table 1, and where.
FIGURES: dict[str, str] = {
    **{f'retinanet_r50_nasfpn-{n}x256_crop640-50e_coco': where for n, where in (
        (1, 'Figure 8a'), (3, 'Figures 8a, 8c'), (5, 'Figures 8a, 9a'))},
    **{f'retinanet_r50_stacked-fpn-{n}x256_crop640-50e_coco': 'Figure 8a' for n in (1, 3, 5, 7)},
    **{f'retinanet_mobilenetv2_nasfpn-{n}x256_crop640-50e_coco': 'Figure 8b' for n in (1, 3, 5, 7)},
    **{f'retinanet_amoebanet-d_nasfpn-{n}x256_crop640-50e_coco': 'Figure 8b' for n in (1, 3, 5, 7)},
    **{f'retinanet_r50_nasfpn-{size}_crop640-50e_coco': 'Figure 8c'
       for size in ('3x128', '7x128', '3x384')},
    'retinanet_r50_nasfpn-5x256_crop1024-50e_coco': 'Figure 9a',
    'retinanet_r50_nasfpn-7x256-dropblock_crop1024-150e_coco': 'Figure 10',
    'retinanet_r50_nasfpn-7x384_crop1024-50e_coco': 'Figure 10',
    'retinanet_r50_nasfpn-7x384-dropblock_crop1024-150e_coco': 'Figure 10',
}

#: FLOPs that the paper's text gives (section 4.3), in billions. It does not say of how many stacks.
TEXT_FLOPS: dict[str, float] = {
    'retinanet_mobilenetv2_nasfpn-3x256_crop640-50e_coco': 160,
    'retinanet_amoebanet-d_nasfpn-5x256_crop640-50e_coco': 390,
}


@dataclass(frozen=True)
class Row:
    """One model: what was counted beside what the paper says. What is not known is None.

    Args:
        row (str): Id of the row of Table 1, or the name of the config.
        config (str | None): As in :class:`Source`.
        image_size (str): Rows and columns in pixels, as in the paper: ``'640'``, ``'1280x800'``.
        params_m (float | None): Million parameters with 90 classes, as in the paper.
        flops_b (float | None): Billion FLOPs with 90 classes, 2 for each multiply-add.
        params_m_80 (float | None): Million parameters with COCO's 80 classes.
        flops_b_80 (float | None): Billion FLOPs with COCO's 80 classes.
        paper_params_m (float | None): The paper's.
        paper_flops_b (float | None): The paper's.
        params_diff_percent (float | None): Counted against the paper's.
        flops_diff_percent (float | None): Counted against the paper's.
        paper_test_dev_ap (float | None): The paper's AP on test-dev of COCO, in percent.
        paper_latency_ms (float | None): The paper's.
        paper_latency_device (str | None): On what the paper measured it.
        uncounted_operators (tuple[str, ...]): Those for which there is no formula.
        note (str): What a reader must know.
    """

    row: str
    config: str | None
    image_size: str
    params_m: float | None
    flops_b: float | None
    params_m_80: float | None
    flops_b_80: float | None
    paper_params_m: float | None
    paper_flops_b: float | None
    params_diff_percent: float | None
    flops_diff_percent: float | None
    paper_test_dev_ap: float | None
    paper_latency_ms: float | None
    paper_latency_device: str | None
    uncounted_operators: tuple[str, ...]
    note: str


def read_table_1() -> dict[str, dict[str, str]]:
    """Return the rows of the paper's Table 1 by their ids, each value as text."""
    with (_HERE / 'paper_table.csv').open(newline='', encoding='utf-8') as file:
        return {row['row']: row for row in csv.DictReader(file)}


def all_rows() -> list[str]:
    """Return the ids of all rows: those of Table 1, then the configs of the figures."""
    return [*TABLE_1, *FIGURES]


def find_rows(names: Iterable[str]) -> list[str]:
    """Return the rows that are meant by their ids, by their configs, or by ``all``.

    Raises:
        UsageError: If there is no such row; names those that exist.
    """
    rows = []
    of_config = {source.config: row for row, source in TABLE_1.items() if source.config}
    for name in names:
        row = of_config.get(name, name)
        if name == 'all':
            rows += all_rows()
        elif row in TABLE_1 or row in FIGURES:
            rows.append(row)
        else:
            raise UsageError(f"there is no row {name!r}; there are: {', '.join(all_rows())}")
    return list(dict.fromkeys(rows))


def load(config: str, options: Mapping[str, Any] | None = None) -> Config:
    """Load a config by its name in :data:`TABLE_1` or :data:`FIGURES`."""
    folder = OUR_CONFIGS
    if config.startswith('mmdet::'):
        import mmdet
        folder = Path(mmdet.__file__).parent / '.mim' / 'configs'
    cfg = Config.fromfile(folder / f"{config.removeprefix('mmdet::')}.py")
    cfg.merge_from_dict(dict(options or {}))
    return cfg


def count_row(row: str) -> Row:
    """Count a row, given its id or the name of a config; counts are None where there is no model."""
    from mmnasfpn.analysis.complexity import count_complexity  # takes seconds to import

    (row,) = find_rows([row])
    source = TABLE_1.get(row) or Source(row, _AMOEBANET if 'amoebanet' in row else '')
    paper = read_table_1().get(row, {})
    image_size = paper.get('image_size') or str(load(row).image_size[0])
    paper_params, paper_flops = _number(paper.get('params_m')), _number(paper.get('flops_b'))
    params = flops = params_80 = flops_80 = None
    uncounted: tuple[str, ...] = ()
    if source.config is not None:
        cfg = load(source.config, source.options)
        size = _pixels(image_size)
        at_90 = count_complexity(cfg, size, PAPER_CLASSES)
        at_80 = count_complexity(cfg, size, COCO_CLASSES)
        params, flops = at_90.params / 1e6, at_90.flops / 1e9
        params_80, flops_80 = at_80.params / 1e6, at_80.flops / 1e9
        uncounted = at_90.uncounted
    return Row(
        row, source.config, image_size, params, flops, params_80, flops_80, paper_params, paper_flops,
        _percent(params, paper_params), _percent(flops, paper_flops),
        _number(paper.get('test_dev_ap')), _number(paper.get('latency_ms')),
        paper.get('latency_device') or None, uncounted, source.note)


@dataclass(frozen=True)
class AmoebaNetFit:
    """How a size of AmoebaNet-D fits the paper's two models with it.

    Args:
        num_cells (int): Normal cells.
        filters (int): Filters of the first group.
        backbone_params_m (float): Million parameters of the backbone alone.
        figures (tuple): Million parameters and billion FLOPs with FPN, then with NAS-FPN, each with
            its difference from the paper's in percent.
        left_params_m (tuple): Million parameters that the paper's totals, with FPN and with NAS-FPN,
            leave for the backbone after neck and head. They disagree with each other.
    """

    num_cells: int
    filters: int
    backbone_params_m: float
    figures: tuple[tuple[float, float], ...]
    left_params_m: tuple[float, ...]


#: Sizes of AmoebaNet-D whose FLOPs come near the paper's.
_AMOEBANET_SIZES = ((9, 320), (12, 288), (15, 256), (18, 240), (21, 224))


def fit_amoebanet(sizes: Iterable[tuple[int, int]] = _AMOEBANET_SIZES) -> Iterator[AmoebaNetFit]:
    """Yield how sizes of AmoebaNet-D, cells and filters, fit the paper's two models at 1280x1280."""
    from mmnasfpn.analysis.complexity import count_complexity  # takes seconds to import
    from mmnasfpn.models.backbones import AmoebaNet

    paper = read_table_1()
    for num_cells, filters in sizes:
        backbone = AmoebaNet(num_cells, filters)
        params = sum(p.numel() for p in backbone.parameters()) / 1e6
        figures: list[tuple[float, float]] = []
        left: list[float] = []
        for row in ('fpn-amoebanet-256-1280', 'nasfpn-amoebanet-7x384-1280'):
            config = TABLE_1[row].config
            assert config is not None
            cfg = load(config, {
                'model.backbone.num_cells': num_cells, 'model.backbone.filters': filters,
                'model.neck.in_channels': list(backbone.out_channels)})
            count = count_complexity(cfg, (1280, 1280), PAPER_CLASSES)
            for value, column in ((count.params / 1e6, 'params_m'), (count.flops / 1e9, 'flops_b')):
                figures.append((value, 100 * (value / float(paper[row][column]) - 1)))
            left.append(float(paper[row]['params_m']) - (count.params / 1e6 - params))
        yield AmoebaNetFit(num_cells, filters, params, tuple(figures), tuple(left))


def _pixels(image_size: str) -> tuple[int, int]:
    """Turn the paper's ``'640'`` or, width first, ``'1280x800'`` into rows and columns."""
    width, _, height = image_size.partition('x')
    return int(height or width), int(width)


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _percent(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else 100 * (value / reference - 1)
