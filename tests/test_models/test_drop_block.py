"""DropBlock: what it keeps, what it drops, and when."""
import math

import pytest
import torch
import torch._dynamo.testing
import torch.nn.functional as F

from mmnasfpn.models.necks import NASFPN, DropBlock
from mmnasfpn.models.ops import drop_block
from tests.test_models.test_nasfpn import make_inputs


def draw(keep_prob, block_size, size, maps):
    """Return which positions of so many maps are kept, (maps, rows, columns)."""
    x = torch.ones(1, maps, *size)
    return drop_block(x, keep_prob, block_size)[0] > 0


@pytest.mark.parametrize('size', [(32, 32), (7, 19), (40, 3), (2, 2), (1, 1), (1, 6), (2, 9)])
@pytest.mark.parametrize(('keep_prob', 'block_size'), [(0.9, 3), (0.7, 3), (0.9, 1), (0.8, 5), (0.9, 2)])
def test_the_kept_share_is_the_one_asked_for_at_every_position(keep_prob, block_size, size):
    torch.manual_seed(0)
    kept = draw(keep_prob, block_size, size, 20_000).float()
    assert abs(kept.mean() - keep_prob) < 0.01
    # Five standard deviations of a mean of 20,000 draws, at corners and borders too.
    assert (kept.mean(0) - keep_prob).abs().max() < 5 * math.sqrt(keep_prob * (1 - keep_prob) / 20_000)


@pytest.mark.parametrize('size', [(9, 9), (5, 12)])
def test_what_is_dropped_are_whole_blocks_that_only_the_border_cuts(size):
    torch.manual_seed(0)
    dropped = ~draw(0.85, 3, size, 500)
    padded = F.pad(dropped.float(), (2, 2, 2, 2), value=1.0)[None]  # what lies outside may be in a block
    whole = -F.max_pool2d(-padded, 3, stride=1)  # 1 where a whole block is dropped
    opened = F.max_pool2d(whole, 3, stride=1)[0]  # the union of the blocks
    assert torch.equal(opened > 0, dropped)
    assert dropped.any() and not dropped.all()


@pytest.mark.parametrize('size', [(2, 2), (1, 4), (2, 7)])
def test_the_block_is_clipped_on_maps_smaller_than_it(size):
    torch.manual_seed(0)
    dropped = ~draw(0.5, 5, size, 2000)
    assert dropped.flatten(1).all(1).any()
    if size == (1, 4):  # a whole row of 4, cut by the border only
        runs = {''.join(map(str, row.int().tolist())) for row in dropped[:, 0]}
        assert '0110' not in runs and '0100' not in runs


def test_what_is_kept_is_scaled_to_the_same_mean():
    torch.manual_seed(0)
    x = torch.rand(4, 8, 16, 16)
    out = drop_block(x, 0.8, 3)
    kept = out != 0
    torch.testing.assert_close(out[kept], x[kept] / kept.float().mean())
    ones = drop_block(torch.ones_like(x), 0.8, 3)
    torch.testing.assert_close(ones.mean(), torch.tensor(1.0))


def test_channels_and_images_drop_different_blocks():
    torch.manual_seed(0)
    out = drop_block(torch.ones(2, 2, 32, 32), 0.8, 3)
    maps = [out[i, j] > 0 for i in range(2) for j in range(2)]
    assert all(not torch.equal(a, b) for i, a in enumerate(maps) for b in maps[:i])


def test_a_map_of_which_nothing_is_kept_is_zero_not_nan():
    torch.manual_seed(0)
    outs = [drop_block(torch.ones(1, 1, 1, 1), 0.5, 3) for _ in range(20)]
    assert {out.item() for out in outs} == {0.0, 1.0}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_map_stays(dtype):
    out = drop_block(torch.ones(2, 64, 40, 40, dtype=dtype), torch.tensor(0.9), 3)
    assert out.dtype == dtype and out.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_keeps_the_share_asked_for(dtype):
    torch.manual_seed(0)
    layer = DropBlock(0.95, 3).to(dtype).train()
    kept = (layer(torch.ones(1, 4000, 20, 20, dtype=dtype)) > 0).float().mean().item()
    assert kept == pytest.approx(0.95, abs=0.01)


def test_a_compiled_layer_is_not_compiled_anew_at_each_step_of_the_ramp():
    counter = torch._dynamo.testing.CompileCounter()
    layer = DropBlock(0.5, 3).train()
    compiled = torch.compile(layer, backend=counter, fullgraph=True)
    kept = []
    for progress in (0.0, 0.3, 0.6, 1.0):
        layer.progress.fill_(progress)
        kept.append((compiled(torch.ones(1, 2000, 10, 10)) > 0).float().mean().item())
    assert kept == pytest.approx([1.0, 0.85, 0.7, 0.5], abs=0.01)
    assert counter.frame_count == 1


def test_evaluation_is_the_identity():
    x = torch.rand(2, 3, 8, 8)
    layer = DropBlock(0.5, 3).eval()
    assert layer(x) is x
    torch.manual_seed(0)
    plain = NASFPN([4, 4, 4], 8, 5, 2).eval()
    dropping = NASFPN([4, 4, 4], 8, 5, 2, dropblock_cfg=dict(keep_prob=0.5)).eval()
    dropping.load_state_dict(plain.state_dict())  # strict: DropBlock adds nothing to checkpoints
    maps = make_inputs([4, 4, 4], 16, 24)
    assert all(torch.equal(x, y) for x, y in zip(plain(maps), dropping(maps), strict=True))


@pytest.mark.parametrize('progress', [0.0, 0.25, 0.5, 1.0])
def test_progress_ramps_the_dropping_linearly(progress):
    torch.manual_seed(0)
    layer = DropBlock(0.6, 3).train()
    layer.progress.fill_(progress)
    kept = (layer(torch.ones(1, 4000, 20, 20)) > 0).float().mean().item()
    assert kept == pytest.approx(1 - 0.4 * progress, abs=0.01)


def test_the_neck_drops_after_each_cell_and_nowhere_else_while_training():
    torch.manual_seed(0)
    neck = NASFPN([4, 4, 4], 8, 5, 2, dropblock_cfg=dict(keep_prob=0.7, block_size=3)).train()
    layers = [m for m in neck.modules() if isinstance(m, DropBlock)]
    assert len(layers) == 2 * 7
    assert all(cell.drop_block in layers for net in neck.pyramids for cell in net.cells)
    outs = neck(make_inputs([4, 4, 4], 64, 48, batch=2))
    for out in outs[:3]:
        assert abs((out != 0).float().mean() - 0.7) < 0.1
    sum(out.square().sum() for out in outs).backward()
    assert all(p.grad is not None for p in neck.parameters())


@pytest.mark.parametrize(('kwargs', 'words'), [
    (dict(keep_prob=0), 'keep_prob is 0'), (dict(keep_prob=1.1), 'keep_prob is 1.1'),
    (dict(keep_prob='0.9'), "keep_prob is '0.9'"), (dict(block_size=0), 'block_size is 0'),
    (dict(block_size=2.5), 'block_size is 2.5')])
def test_impossible_arguments_are_refused_by_name(kwargs, words):
    with pytest.raises(ValueError, match=words):
        DropBlock(**kwargs)
