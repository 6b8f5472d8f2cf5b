"""The demo leaves everything that it promises."""
import json

from mmnasfpn.engine.demo import run_demo
from tests.conftest import SMALL_OPTIONS


def test_the_demo_leaves_checkpoint_metrics_and_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_demo('demo', options=[*SMALL_OPTIONS, 'model.test_cfg.score_thr=0.0'])
    for name in ('epoch_1.pth', 'metrics.json', 'predictions.png', 'curves.png'):
        assert (tmp_path / 'demo' / name).is_file(), name
    ap = json.loads((tmp_path / 'demo/metrics.json').read_text())['metrics']['coco/bbox_mAP']
    shown = capsys.readouterr().out
    assert f'{ap:.3f}' in shown
    assert 'demo/predictions.png' in shown
