"""MMDetection's own NASFPN, converted: the same outputs, for the neck and for a whole detector."""
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.apis import inference_detector, init_detector
from mmdet.models import necks as mmdet_necks
from mmengine.config import Config

from mmnasfpn.checkpoints.safe import CheckpointError
from mmnasfpn.converters import ConversionError, convert_mmdet_checkpoint, convert_mmdet_neck
from mmnasfpn.converters.checkpoint import convert_checkpoint
from mmnasfpn.models.necks import NASFPN
from tests.conftest import REPO, run_python
from tests.reference_neck import ReferenceMmdetNeck
from tests.strategies import genotypes
from tests.test_models.test_nasfpn import make_inputs, randomize

IMAGE = np.random.default_rng(0).integers(0, 256, (97, 160, 3), np.uint8)
OURS = REPO / 'configs/nasfpn/retinanet_r50_nasfpn-7x256-mmdet_crop640-50e_coco.py'
BN = dict(type='BN', requires_grad=True)


def pair(stacks=2, norm_cfg=BN, in_channels=(4, 8, 12, 16), start_level=1, channels=16):
    theirs = mmdet_necks.NASFPN(list(in_channels), channels, 5, stacks, start_level=start_level,
                         norm_cfg=norm_cfg)
    ours = NASFPN(list(in_channels), channels, 5, stacks, start_level=start_level, norm_cfg=norm_cfg,
                  variant='mmdet')
    return randomize(theirs).eval(), ours.eval()


# Also sizes that do not divide: the frame of zeros, rounding down, one odd level.
@pytest.mark.parametrize('size', [(32, 32), (64, 32), (33, 50), (41, 83), (50, 32)], ids=str)
@pytest.mark.parametrize('stacks', [1, 2, 7])
def test_equals_mmdets_neck_within_1e_5(stacks, size):
    torch.manual_seed(stacks)
    theirs, ours = pair(stacks)
    ours.load_state_dict(convert_mmdet_neck(theirs.state_dict()))
    maps = make_inputs(theirs.in_channels, *size, batch=2)
    with torch.no_grad():
        for out, expected in zip(ours(maps), theirs(maps), strict=True):
            assert out.shape == expected.shape and expected.std() > 1e-3
            assert (out - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize('norm_cfg', [None, dict(type='GN', num_groups=4)], ids=['none', 'GN'])
def test_other_normalisations_train_alike(norm_cfg):
    torch.manual_seed(0)
    theirs, ours = pair(2, norm_cfg, (4, 8, 12), 0)
    ours.load_state_dict(convert_mmdet_neck(theirs.state_dict()))
    maps = make_inputs((4, 8, 12), 32, 32, batch=2)
    for neck in (theirs.train(), ours.train()):
        sum(out.square().mean() for out in neck(maps)).backward()
    gradients = convert_mmdet_neck({name: p.grad for name, p in theirs.named_parameters()})
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, gradients[name])


@settings(max_examples=20, deadline=None)
@given(genotype=genotypes(), stacks=st.integers(1, 2), inputs=st.integers(1, 3),
       size=st.tuples(st.integers(32, 50), st.integers(32, 50)), separable=st.booleans(),
       seed=st.integers(0, 2**31))
def test_the_rules_hold_for_any_genotype(genotype, stacks, inputs, size, separable, seed):
    torch.manual_seed(seed)
    channels = [2, 3, 2][:inputs]
    neck = randomize(NASFPN(channels, 3, genotype.num_levels, stacks, genotype=genotype,
                            separable=separable, variant='mmdet')).double().eval()
    maps = make_inputs(channels, *size, dtype=torch.float64)
    *_, expected = ReferenceMmdetNeck(genotype.to_dict(), neck.state_dict(), stacks, 1e-4)(maps)
    with torch.no_grad():
        for level, out in zip(genotype.levels, neck(maps), strict=True):
            assert np.abs(out.numpy() - expected[level]).max() <= 1e-9 * max(
                1, np.abs(expected[level]).max())


def test_a_map_too_small_to_halve_is_refused():
    with pytest.raises(ValueError, match='map of 1x1 has no coarser level.*pad_size_divisor=128'):
        NASFPN([4], 4, 5, 1, variant='mmdet').eval()(make_inputs([4], 8, 8))


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant is 'google', but must be one of 'authors', 'mmdet'"):
        NASFPN([4], 4, 5, 1, variant='google')


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """MMDetection's own detector by its own config, with weights that find things; its checkpoint."""
    folder = tmp_path_factory.mktemp('detector')
    config = folder / 'theirs.py'
    config.write_text("_base_ = 'mmdet::nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'\n")
    cfg = Config.fromfile(config)
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    model = init_detector(cfg, device='cpu', palette='coco')
    # Statistics of the image, so that the signal neither grows nor dies over the depth.
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_(0, 0.1)
        norm.train()
    inference_detector(model, IMAGE)
    model.bbox_head.retina_cls.weight.data.normal_(0, 0.05)
    torch.save(dict(state_dict=model.state_dict(), optimizer=dict(x=1),
                    meta=dict(CLASSES=tuple(map(str, range(80))))), folder / 'theirs.pth')
    return model.eval(), folder / 'theirs.pth'


def test_the_whole_detector_gives_the_same_boxes_labels_and_scores(detector, tmp_path):
    theirs, checkpoint = detector
    assert '7 @ 256' in convert_checkpoint('mmdet', checkpoint, tmp_path / 'ours.pth')
    cfg = Config.fromfile(OURS)
    cfg.model.backbone.init_cfg = None
    ours = init_detector(cfg, str(tmp_path / 'ours.pth'), device='cpu')
    expected, found = (inference_detector(model, IMAGE).pred_instances for model in (theirs, ours))
    assert len(expected) > 20
    assert torch.equal(found.labels, expected.labels)
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.bboxes, expected.bboxes)
    assert ours.dataset_meta['classes'] == tuple(map(str, range(80)))


def test_our_config_of_the_same_model_differs_in_the_neck_and_the_twin_of_the_head_alone(tmp_path):
    path = tmp_path / 'theirs.py'
    path.write_text("_base_ = 'mmdet::nas_fpn/retinanet_r50_nasfpn_crop640-50e_coco.py'\n")
    theirs, ours = Config.fromfile(path).to_dict(), Config.fromfile(OURS).to_dict()
    assert ours['model']['neck'].pop('variant') == 'mmdet'
    assert ours['model']['neck'].pop('type') == 'mmnasfpn.NASFPN'
    assert theirs['model']['neck'].pop('type') == 'NASFPN'
    assert ours['model']['bbox_head'].pop('type') == 'mmnasfpn.RetinaSepBNHead'
    assert theirs['model']['bbox_head'].pop('type') == 'RetinaSepBNHead'
    for key in ('model', 'train_dataloader', 'test_dataloader', 'optim_wrapper', 'param_scheduler',
                'train_cfg', 'auto_scale_lr', 'test_evaluator'):
        assert ours[key] == theirs[key], key


def checkpoint_of(state_dict):
    return dict(state_dict={f'neck.{name}': value for name, value in state_dict.items()} |
                {'backbone.w': torch.ones(1)})


def test_the_rest_of_a_checkpoint_stays_and_the_optimizer_goes():
    theirs, _ = pair()
    checkpoint = checkpoint_of(theirs.state_dict())
    for saved in ({**checkpoint, 'optimizer': {}, 'meta': dict(epoch=3)}, checkpoint['state_dict'],
                  dict(state_dict={f'module.{k}': v for k, v in checkpoint['state_dict'].items()})):
        converted = convert_mmdet_checkpoint(saved)
        assert set(converted) == {'meta', 'state_dict'}
        assert converted['state_dict']['backbone.w'] == 1
        assert 'neck.pyramids.1.cells.6.conv.bn.weight' in converted['state_dict']


STAGE = 'fpn_stages.1.sum_43_3.out_conv'


@pytest.mark.parametrize(('broken', 'words'), [
    (lambda s: {k: v for k, v in s.items() if k != f'{STAGE}.conv.weight'},
     r'lacks 1 weights of the model .*pyramids\.1\.cells\.2\.conv\.conv\.weight'),
    (lambda s: {**s, f'{STAGE}.conv.weight': torch.ones(16, 16, 1, 1)},
     r'pyramids\.1\.cells\.2.* is \(16, 16, 1, 1\), but \(16, 16, 3, 3\) in the model'),
    (lambda s: {**s, 'lateral_convs.0.conv.weight': torch.ones(8)}, 'laterals .* no convolutions'),
    (lambda s: {**s, 'fpn_convs.0.conv.weight': torch.ones(1)}, r'fpn_convs\.0.* is no weight'),
    (lambda s: {k: v for k, v in s.items() if 'fpn_stages' not in k}, 'stacks .* are missing'),
    (lambda s: {k: v for k, v in s.items() if 'fpn_stages.0' not in k}, r'lacks \d+ weights'),
    (convert_mmdet_neck, "is this package's own already"),
])
def test_what_is_not_that_neck_is_refused_and_nothing_written(broken, words, tmp_path):
    theirs, _ = pair()
    torch.save(checkpoint_of(broken(theirs.state_dict())), tmp_path / 'in.pth')
    with pytest.raises(ConversionError, match=words):
        convert_checkpoint('mmdet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['in.pth']


def test_what_is_no_detector_is_refused(tmp_path):
    for saved, error, words in (
            (dict(state_dict={'w': torch.ones(1)}), ConversionError, 'no weights of a neck'),
            (dict(state_dict=3), CheckpointError, 'no weights by name'),
            (dict(state_dict={'neck.x': 3}), CheckpointError, 'no weights by name')):
        torch.save(saved, tmp_path / 'in.pth')
        with pytest.raises(error, match=words):
            convert_checkpoint('mmdet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    (tmp_path / 'in.pth').write_bytes((tmp_path / 'in.pth').read_bytes()[:100])
    with pytest.raises(CheckpointError, match='not a complete'):
        convert_checkpoint('mmdet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert not (tmp_path / 'out.pth').exists()


def test_the_tool_converts_and_overwrites_nothing(tmp_path, tool_env):
    theirs, _ = pair()
    torch.save(checkpoint_of(theirs.state_dict()), tmp_path / 'in.pth')
    command = [REPO / 'tools/convert_checkpoint.py', '--from', 'mmdet', tmp_path / 'in.pth',
               tmp_path / 'out.pth']
    assert re.search(r'out\.pth: \d+ tensors, 2 @ 16', run_python(*command, env=tool_env))
    before = (tmp_path / 'out.pth').read_bytes()
    with pytest.raises(FileExistsError, match=r'out\.pth exists'):
        convert_checkpoint('mmdet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert (tmp_path / 'out.pth').read_bytes() == before


def test_the_tool_converts_the_authors_arrays(tmp_path):
    out = tmp_path / 'out.pth'
    assert '2 @ 16' in convert_checkpoint('tf', REPO / 'tests/data/authors_neck_small.npz', out)
    neck = NASFPN([8, 12, 20], 16, 5, 2, init_cfg=dict(type='Pretrained', prefix='neck.',
                                                      checkpoint=str(out)))
    neck.init_weights()
    saved = torch.load(out)['state_dict']
    assert all(torch.equal(value, saved[f'neck.{name}']) for name, value in neck.state_dict().items())
