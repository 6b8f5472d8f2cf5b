"""The registries of the scope ``mmnasfpn``."""
import warnings

import pytest
from mmengine import registry as root

from mmnasfpn import registry

ROOTS = {name: value for name, value in vars(root).items() if isinstance(value, root.Registry)}


@pytest.mark.parametrize('name', ROOTS)
def test_every_registry_of_mmengine_has_a_child(name):
    child = getattr(registry, name)
    assert child.parent is ROOTS[name]
    assert child.scope == 'mmnasfpn'
    assert ROOTS[name].children['mmnasfpn'] is child


@pytest.mark.parametrize(('name', 'scoped'), [
    ('MODELS', 'mmnasfpn.NASFPN'), ('MODELS', 'mmnasfpn.FPN'), ('MODELS', 'mmnasfpn.AmoebaNet'),
    ('MODELS', 'mmnasfpn.MobileNetV2'), ('MODELS', 'mmnasfpn.ResNet10'),
    ('MODELS', 'mmnasfpn.LiteRetinaHead'), ('MODELS', 'mmnasfpn.RetinaHead'),
    ('MODELS', 'mmnasfpn.RetinaSepBNHead'), ('MODELS', 'mmnasfpn.AnytimeDetector'),
    ('MODELS', 'mmnasfpn.OnnxDetector'),
    ('HOOKS', 'mmnasfpn.DropBlockRampHook'),
    ('HOOKS', 'mmnasfpn.AtomicCheckpointHook'), ('HOOKS', 'mmnasfpn.ChannelsLastHook'),
    ('HOOKS', 'mmnasfpn.AutocastHook'), ('HOOKS', 'mmnasfpn.FoldNormsHook'),
    ('DATASETS', 'mmnasfpn.ShapesDataset')])
def test_what_we_add_is_found_from_the_root_and_does_not_hide_mmdets(name, scoped):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert ROOTS[name].get(scoped).__module__.startswith('mmnasfpn.')
    for name in ('NASFPN', 'FPN', 'MobileNetV2'):
        assert root.MODELS.get(f'mmdet.{name}').__module__.startswith('mmdet.')
