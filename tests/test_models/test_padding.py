"""TensorFlow's padding by fixed amounts, for models of open sizes."""
import copy
import itertools

import pytest
import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmengine.registry import MODELS, init_default_scope
from torch import nn

import mmnasfpn.export.run
from mmnasfpn.engine.config import load_config
from mmnasfpn.export import to_onnx, write_onnx
from mmnasfpn.export.runtimes import open_session
from mmnasfpn.models.padding import FixedPaddingConv2d, fix_padding
from tests.conftest import REPO


@pytest.mark.parametrize(('kernel', 'stride'), [
    *itertools.product([1, 3, 5, (3, 5)], [1, 2])])
def test_fixed_padding_computes_the_same_as_mmcvs(kernel, stride):
    for dilation, size in itertools.product([1, 2], [(8, 8), (7, 9), (10, 13), (1, 1), (2, 3)]):
        convs = nn.Sequential(Conv2dAdaptivePadding(4, 4, kernel, stride, 0, dilation, 2)).double()
        fixed = fix_padding(copy.deepcopy(convs))
        # No backbone has a kernel of 1 and a stride of 2.
        assert isinstance(fixed[0], FixedPaddingConv2d) == ((kernel, stride) != (1, 2))
        x = torch.rand(2, 4, *size, dtype=torch.double)
        torch.testing.assert_close(fixed(x), convs(x))


def test_a_model_of_open_sizes_pads_as_mmcv_does(tmp_path):
    convs = nn.Sequential(*(Conv2dAdaptivePadding(3, 3, 3, 2) for _ in range(3))).eval()
    write_onnx(to_onnx(fix_padding(copy.deepcopy(convs)), [torch.zeros(1, 3, 64, 96)], ['x'],
                       dynamic_dims=[(2, 3)]), tmp_path / 'm.onnx')
    session = open_session(tmp_path / 'm.onnx')
    for size in ((64, 64), (101, 133), (240, 320)):
        x = torch.rand(1, 3, *size)
        torch.testing.assert_close(torch.from_numpy(session.run(None, {'x': x.numpy()})[0]),
                                   convs(x).detach(), rtol=1e-4, atol=1e-5)


def test_detectors_are_exported_with_fixed_padding_where_sizes_are_open(tmp_path, monkeypatch):
    init_default_scope('mmdet')
    cfg = load_config(str(
        REPO / 'configs/nasfpn/retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py'))
    cfg.model.backbone.conv_cfg = dict(type='Conv2dAdaptivePadding')
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'c.pth')
    exported = []
    monkeypatch.setattr(mmnasfpn.export.run, 'detector_to_onnx',
                        lambda module, *_: exported.append(module))
    monkeypatch.setattr(mmnasfpn.export.run, 'write_onnx', lambda *_: None)
    for is_dynamic in (False, True):
        mmnasfpn.export.run.export_checkpoint(
            cfg, tmp_path / 'c.pth', tmp_path / 'm.onnx',
            mmnasfpn.export.run.Form((128, 128), is_dynamic=is_dynamic))
    assert [any(type(part) is Conv2dAdaptivePadding for part in module.modules())
            for module in exported] == [True, False]
