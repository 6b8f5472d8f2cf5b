"""Weights of Keras's MobileNetV2."""
import re
import sys

import h5py
import numpy as np
import pytest
import torch

from mmnasfpn.checkpoints.safe import load_checkpoint
from mmnasfpn.converters import ConversionError, convert_keras_mobilenetv2, read_keras_variables
from mmnasfpn.converters.checkpoint import convert_checkpoint
from mmnasfpn.models.backbones import MobileNetV2
from tests.conftest import REPO, run_tool_here

#: As Keras names and counts the blocks of MobileNetV2: (layer, block) of MMDetection's for each.
BLOCKS = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2), (4, 3), (5, 0), (5, 1),
          (5, 2), (6, 0), (6, 1), (6, 2), (7, 0)]
MODEL = dict(conv_cfg=dict(type='Conv2dAdaptivePadding'), norm_cfg=dict(type='BN', eps=1e-3),
             widen_factor=0.25)


@pytest.fixture(scope='module')
def backbone():
    torch.manual_seed(0)
    backbone = MobileNetV2(**MODEL)
    with torch.no_grad():
        for name, value in backbone.state_dict().items():
            if '.bn.' in name and not name.endswith('tracked'):
                value.uniform_(0.5, 1.5)
    return backbone.eval()


def to_keras(backbone, scope='mobilenetv2_0.25_224', suffix=':0'):
    """Return the variables that Keras would have for a backbone of ours."""
    names = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean',
             'running_var': 'moving_variance'}
    variables = {}
    for key, value in backbone.state_dict().items():
        module, _, name = key.rpartition('.')
        if name == 'num_batches_tracked':
            continue
        is_norm = module.endswith('bn')
        if module.startswith('conv1'):
            layer = 'bn_Conv1' if is_norm else 'Conv1'
        else:
            number, block, part = re.fullmatch(r'layer(\d)\.(\d)\.(\w+)_conv\.\w+', module).groups()
            index = BLOCKS.index((int(number), int(block)))
            part = 'project' if part == 'linear' else part
            layer = f'{f"block_{index}" if index else "expanded_conv"}_{part}{"_BN" if is_norm else ""}'
        array = value.numpy()
        if is_norm:
            variable = names[name]
        elif 'depthwise' in module:
            variable, array = 'depthwise_kernel', np.moveaxis(array, (2, 3), (0, 1))
        else:
            variable, array = 'kernel', array.transpose(2, 3, 1, 0)
        variables[f'{scope}/{layer}/{variable}{suffix}'] = array
    return variables


@pytest.mark.parametrize(('scope', 'suffix'), [('model_weights/mobilenetv2', ''), ('Conv1', ':0')])
def test_the_backbone_gets_keras_weights_whatever_their_scope(backbone, scope, suffix):
    variables = to_keras(backbone, scope, suffix)
    others = {'optimizer_weights/adam/Conv1/kernel': np.zeros(1), 'dense/bias': np.zeros(19),
              'Conv_1/kernel': np.zeros((1, 1, 2, 2))}
    converted = convert_keras_mobilenetv2({**variables, **others})
    ours = MobileNetV2(**MODEL).eval()
    ours.load_state_dict(converted)
    image = torch.randn(1, 3, 50, 70)
    for y, expected in zip(ours(image), backbone(image), strict=True):
        torch.testing.assert_close(y, expected)


def test_missing_variables_are_named(backbone):
    variables = to_keras(backbone)
    del variables['mobilenetv2_0.25_224/block_16_depthwise_BN/gamma:0']
    with pytest.raises(ConversionError, match=r'1 variables are missing.*layer7\.0\.depthwise_conv\.bn'):
        convert_keras_mobilenetv2(variables)


def test_the_tool_writes_a_checkpoint_for_a_pretrained_backbone(backbone, tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / 'keras.npz', **to_keras(backbone))
    out = tmp_path / 'ours.pth'
    run_tool_here(monkeypatch, 'convert_checkpoint', tmp_path / 'keras.npz', out, '--from', 'keras')
    assert '255 tensors of a MobileNetV2' in capsys.readouterr().out
    assert len(load_checkpoint(out)['state_dict']) == 255
    pretrained = MobileNetV2(**MODEL, init_cfg=dict(type='Pretrained', checkpoint=str(out)))
    pretrained.init_weights()
    assert torch.equal(pretrained.conv1.conv.weight, backbone.conv1.conv.weight)


def test_an_h5_file_is_read(backbone, tmp_path):
    variables = to_keras(backbone)
    with h5py.File(tmp_path / 'keras.h5', 'w') as file:
        for name, value in variables.items():
            file[name] = value
    read = read_keras_variables(tmp_path / 'keras.h5')
    assert read.keys() == variables.keys()
    assert all(np.array_equal(read[name], value) for name, value in variables.items())


def test_what_is_no_file_of_keras_is_named(tmp_path):
    with pytest.raises(ConversionError, match=r'no \.h5 file'):
        convert_checkpoint('keras', REPO / 'README.md', tmp_path / 'out.pth')


def test_without_h5py_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'h5py', None)
    with pytest.raises(ImportError, match=r'pip install .mmnasfpn\[keras\]'):
        convert_checkpoint('keras', tmp_path / 'x.h5', tmp_path / 'out.pth')
