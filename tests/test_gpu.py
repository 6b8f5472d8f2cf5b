"""What runs on a GPU (``pytest -m gpu``). ``pytest -m gpu --device cpu`` tries these tests on a CPU."""
import time

import numpy as np
import pytest
import torch
from mmcv.ops import nms
from mmdet.apis import inference_detector, init_detector
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.anytime.calibrate import calibrate
from mmnasfpn.anytime.latency import time_exits
from mmnasfpn.engine.run import load_config, train
from mmnasfpn.models.precision import keep_boxes_float32
from mmnasfpn.prediction import predict
from mmnasfpn.search import run, template
from mmnasfpn.search.settings import SearchSettings
from tests.conftest import REPO, write_tiny_config
from tests.test_engine.test_hooks.test_speed import assert_near, config_of, detected, trained, weights
from tests.test_engine.test_hooks.test_speed import build as build_with_statistics
from tests.test_models import test_anytime as anytime
from tests.test_prediction.conftest import save_lively

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures('device', 'full_precision')]

CONFIGS = REPO / 'configs/nasfpn'
NARROW = dict(backbone=dict(base_channels=4, init_cfg=None), neck=dict(
    in_channels=[16, 32, 64, 128], out_channels=16, stack_times=1), bbox_head=dict(
        in_channels=16, feat_channels=16, stacked_convs=1))
#: A config of each family, and what makes it tiny.
FAMILIES = {
    'R-50 NAS-FPN': ('retinanet_r50_nasfpn-3x128_crop640-50e_coco.py', NARROW),
    'MobileNetV2 Lite': ('retinanet-lite_mobilenetv2-w025_nasfpnlite-3x48_7e_shapes.py', {}),
    'AmoebaNet': ('retinanet_amoebanet-n3f32_nasfpn-3x64_7e_shapes.py', {}),
    'FPN': ('retinanet_r18-w16_fpn-64_7e_shapes.py', {}),
    'anytime': ('retinanet_r18-w16_nasfpn-5x32-gn-anytime_24e_shapes.py', {}),
}


@pytest.fixture(scope='module')
def device(request):
    """Where the tests run."""
    options = request.config.option
    if options.device == 'cpu':
        return torch.device('cpu')
    if options.markexpr != 'gpu':
        pytest.skip('GPUs are hidden from the tests that run on a CPU: pytest -m gpu')
    if not torch.cuda.is_available():
        pytest.skip('there is no GPU that PyTorch can use')
    return torch.device('cuda')


@pytest.fixture
def cuda(device):
    """A GPU, for what a CPU cannot do."""
    if device.type == 'cpu':
        pytest.skip('training in float16 and CUDA graphs need a GPU')
    return device


@pytest.fixture(scope='module')
def full_precision():
    """Have convolutions compute in float32: by default, GPUs round their inputs to 10 bits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.backends.cudnn, 'allow_tf32', False)
        yield


def losses_and_gradients(model, data):
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    loss, _ = model.parse_losses(losses)
    model.zero_grad()
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten().cpu() for p in model.parameters()
                                   if p.grad is not None])


@pytest.mark.parametrize('family', FAMILIES)
def test_a_training_step_of_each_family_is_that_of_a_cpu(family, device):
    name, changes = FAMILIES[family]
    cfg = Config.fromfile(CONFIGS / name)
    cfg.merge_from_dict(dict(model=changes))
    init_default_scope('mmdet')
    torch.manual_seed(0)
    # In float32, normalisation magnifies rounding to percents of some gradients.
    model = MODELS.build(cfg.model).train().double()
    data = demo_mm_inputs(2, [[3, 256, 256]] * 2, num_items=[2, 3],
                          num_classes=cfg.model.bbox_head.num_classes)
    expected_loss, expected = losses_and_gradients(model, data)
    loss, gradients = losses_and_gradients(model.to(device), data)
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    assert (gradients - expected).norm() < 1e-4 * expected.norm()
    loss, gradients = losses_and_gradients(keep_boxes_float32(model.float()), data)
    assert loss == pytest.approx(expected_loss, rel=1e-3)
    with torch.autocast(device.type, torch.bfloat16):
        loss, gradients = losses_and_gradients(model, data)
    assert loss == pytest.approx(expected_loss, rel=0.1)
    assert gradients.isfinite().all()


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('gpu')


@pytest.fixture(scope='module')
def tiny_config(folder):
    path = folder / 'one_stack.py'
    path.write_text(f"_base_ = {str(write_tiny_config(folder))!r}\n"
                    "model = dict(backbone=dict(type='mmnasfpn.ResNet10', depth=10),\n"
                    "             neck=dict(stack_times=1))\n")
    return path


@pytest.fixture(scope='module')
def checkpoint(tiny_config, folder):
    """Weights of a CPU."""
    path = folder / 'checkpoint.pth'
    torch.save(dict(state_dict=build_with_statistics(tiny_config).state_dict()), path)
    return path


@pytest.fixture(scope='module')
def start(checkpoint):
    """Options of trainings to compare: their weights, and an optimizer that magnifies no rounding."""
    return {'load_from': str(checkpoint), 'optim_wrapper.optimizer.type': 'SGD'}


@pytest.fixture(scope='module')
def plain(tiny_config, folder, start, device, full_precision):
    """The work dir of a training without any switch."""
    trained(tiny_config, folder / 'plain', options=start)
    return folder / 'plain'


def kinds_of_maps(seen, mode='train'):
    return {entry[2:] for entry in seen if entry[:2] == (mode, 'map')}


def test_channels_last_trains_the_same(tiny_config, tmp_path, checkpoint, start, plain):
    found, seen = trained(tiny_config, tmp_path / 'last', options=start, channels_last=True)
    assert kinds_of_maps(seen) == {(torch.float32, 'last')}
    assert_near(found, weights(plain, 1), checkpoint)


def test_bfloat16_trains_and_tests_with_all_else_that_is_fast(tiny_config, tmp_path):
    found, seen = trained(tiny_config, tmp_path / 'w', dtype='bf16')
    assert kinds_of_maps(seen) == {(torch.bfloat16, 'first')} == kinds_of_maps(seen, 'test')
    assert all(x.isfinite().all() for x in found.values())
    metrics, _, seen = detected(tiny_config, tmp_path / 'test', tmp_path / 'w/epoch_1.pth', dtype='bf16',
                                channels_last=True, fuse=True)
    assert kinds_of_maps(seen, 'test') == {(torch.bfloat16, 'last')} and 'norm' not in seen
    assert 0 <= metrics['coco/bbox_mAP'] <= 1


def test_amp_trains_in_float16_with_scaled_losses(tiny_config, tmp_path, cuda):
    found, seen = trained(tiny_config, tmp_path / 'w', amp=True)
    assert kinds_of_maps(seen) == {(torch.float16, 'first')}
    assert all(x.isfinite().all() for x in found.values())
    assert 'loss_scaler' in torch.load(tmp_path / 'w/epoch_1.pth', weights_only=False)['optimizer']


@pytest.mark.parametrize('mode', ['default', 'reduce-overhead'])
def test_compiled_models_train_the_same(
        mode, tiny_config, tmp_path, checkpoint, start, plain, device, request):
    if mode == 'reduce-overhead':
        request.getfixturevalue('cuda')
    cfg = config_of(tiny_config, tmp_path / 'compiled', **start, **{
        'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1})
    # On a CPU, without what takes inductor a minute there.
    options = dict(mode=mode) if device.type == 'cuda' else dict(backend='aot_eager')
    cfg.custom_hooks = [dict(type='mmnasfpn.CompileHook', **options)]
    train(cfg)
    assert_near(weights(tmp_path / 'compiled', 1), weights(plain, 1), checkpoint)


def test_nms_keeps_what_it_keeps_on_a_cpu(device):
    torch.manual_seed(0)
    corners = 100 * torch.rand(2000, 2)
    boxes = torch.cat([corners, corners + 5 + 30 * torch.rand(2000, 2)], dim=1)
    scores = torch.rand(2000)
    expected, expected_indices = nms(boxes, scores, 0.5)
    found, indices = nms(boxes.to(device), scores.to(device), 0.5)
    assert found.device.type == device.type and 0 < len(indices) < 2000
    assert torch.equal(indices.cpu(), expected_indices)
    torch.testing.assert_close(found.cpu(), expected)


def assert_same_best(found, expected, number=20):
    """Check that the best detections are there: of nearly equal scores, either may come first."""
    assert len(expected['scores']) >= number
    for box, score in zip(expected['bboxes'][:number], expected['scores'][:number], strict=True):
        distances = (found['bboxes'] - box).abs().amax(1) + (found['scores'] - score).abs()
        assert distances.min() < 0.1


@pytest.mark.parametrize('made_by', ['a CPU', 'the device'])
def test_a_checkpoint_detects_the_same_here_and_on_a_cpu(
        made_by, tiny_config, tmp_path, checkpoint, plain):
    if made_by == 'the device':
        checkpoint = plain / 'epoch_1.pth'
        saved = torch.load(checkpoint, weights_only=False)  # onto the device that it was saved from
        states = [*saved['state_dict'].values(), *(
            x for state in saved['optimizer']['state'].values() for x in state.values()
            if isinstance(x, torch.Tensor))]
        assert {x.device.type for x in states} == {'cpu'}
    _, samples, _ = detected(tiny_config, tmp_path / 'test', checkpoint)
    cfg = config_of(tiny_config, tmp_path / 'cpu')
    images = [sample['img_path'] for sample in load(str(tmp_path / 'test/out.pkl'))]
    on_cpu = inference_detector(init_detector(cfg, str(checkpoint), device='cpu'), images)
    for found, expected in zip(samples, on_cpu, strict=True):
        assert_same_best(found, expected.pred_instances)


def test_one_process_of_a_distributed_training_trains_the_same(
        tiny_config, tmp_path, checkpoint, start, plain, device, monkeypatch):
    for name, value in dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='localhost',
                            MASTER_PORT='29531').items():
        monkeypatch.setenv(name, value)
    try:
        found, _ = trained(tiny_config, tmp_path / 'w', options={**start, 'launcher': 'pytorch'})
        assert torch.distributed.get_backend() == dict(cuda='nccl', cpu='gloo')[device.type]
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert_near(found, weights(plain, 1), checkpoint)


def test_two_workers_of_a_search_share_the_gpu(tmp_path, device, monkeypatch):
    told = []
    monkeypatch.setattr(template, 'print_log', lambda line, **_: told.append(line))
    options = {f'{key}_dataloader.{option}': value for key in ('train', 'val') for option, value in {
        'num_workers': 0, 'persistent_workers': False, 'dataset.data_root': str(tmp_path / 'shapes'),
        'dataset.shapes.num_train': 8, 'dataset.shapes.num_val': 4,
        'dataset.shapes.image_size': 128}.items()}
    cfg = load_config(CONFIGS / 'search/retinanet_r10-w16_nasfpn-3x32_4e_shapes.py', cfg_options={
        **options, 'train_cfg.max_epochs': 1,
        'val_evaluator.ann_file': str(tmp_path / 'shapes/annotations/val.json')})
    summary = run.search(cfg, tmp_path / 'w', SearchSettings(num_trials=3, num_workers=2))
    assert (summary['completed'], summary['failed']) == (3, 0)
    assert told == []  # the processes are copies, in which CUDA works
    for path in (tmp_path / 'w/trials').glob('*/log.txt'):
        assert f'CUDA available: {device.type == "cuda"}' in path.read_text()


def keep_busy(device, seconds):
    """Return at once on a GPU, which then works for some time."""
    if device.type == 'cpu':
        time.sleep(seconds)
    else:
        torch.cuda._sleep(int(seconds * 2e9))  # of about 2 GHz


def test_the_time_that_a_gpu_works_for_a_part_is_that_parts(tmp_path, device):
    model = anytime.build(anytime.config(tmp_path)).to(device)
    model.neck.pyramids[0].register_forward_hook(lambda *_: keep_busy(device, 0.2))
    runs = time_exits(model, [anytime.batch(1)] * 2)
    assert {run.exit_stack for run in runs} == set(model.exits)
    for timed in runs:
        assert timed.neck > 100 > timed.head  # milliseconds
        assert timed.total >= timed.backbone + timed.neck + timed.head


def test_a_calibration_is_of_the_device(tmp_path, device):
    cfg = anytime.config(tmp_path)
    calibration, _ = calibrate(cfg, image_size=(96, 96), num_runs=2)
    assert calibration.machine['device'] == device.type
    calibration.check_machine(anytime.build(cfg).to(device))
    [inputs] = calibration.inputs
    assert all(0 < ms < 60_000 for ms in inputs.exits.values())


def test_predictions_read_ahead_are_those_of_a_cpu(device, tmp_path):
    config = write_tiny_config(tmp_path)
    checkpoint = save_lively(config, tmp_path / 'random.pth')
    images = list(np.random.default_rng(0).integers(0, 256, (5, 96, 128, 3), dtype=np.uint8))
    expected = predict(config, checkpoint, images, device='cpu')
    found = predict(config, checkpoint, images, batch_size=2, device=device.type)
    for one, other in zip(found, expected, strict=True):
        assert one.path == other.path and len(one.scores) == len(other.scores) > 20
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)
