"""A config, a checkpoint, and the model exported from it."""
import contextlib
import io

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.engine.run import load_config
from tests.conftest import run_tool_here, write_tiny_config
from tests.test_export.lively import make_lively


@pytest.fixture(scope='package')
def lively(tmp_path_factory):
    """The path of a config, and a checkpoint that finds many boxes."""
    folder = tmp_path_factory.mktemp('lively')
    config, checkpoint = write_tiny_config(folder), folder / 'lively.pth'
    init_default_scope('mmdet')
    detector = make_lively(MODELS.build(load_config(config).model))
    torch.save(dict(state_dict=detector.state_dict(), meta=dict(
        dataset_meta=dict(classes=('circle', 'square', 'triangle')))), checkpoint)
    return config, checkpoint


@pytest.fixture
def lively_config(lively, tmp_path):
    """The config, and the checkpoint."""
    cfg = load_config(lively[0], tmp_path / 'w', {'model.test_cfg.nms_pre': 3840})
    cfg.experiment_name = tmp_path.name
    init_default_scope('mmdet')
    return cfg, lively[1]


@pytest.fixture(scope='package')
def exported(lively, tmp_path_factory):
    """The model that the tool writes of them."""
    out = tmp_path_factory.mktemp('models') / 'new/static.onnx'
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(printed):
        run_tool_here(monkeypatch, 'export_onnx', *lively, out, '--cfg-options',
                      'model.test_cfg.nms_pre=3840')
    assert f'{out}: ' in printed.getvalue()
    return out
