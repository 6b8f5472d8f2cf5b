"""A tiny detector that finds many boxes, and images and videos for it."""
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from mmnasfpn.datasets import CLASSES, make_shapes
from mmnasfpn.engine.config import load_config
from mmnasfpn.prediction import Predictor
from tests.conftest import write_tiny_config
from tests.test_export.test_export import make_lively


def save_lively(config, path, classes=CLASSES):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    model = make_lively(MODELS.build(load_config(config).model))
    palette = [(230, 80, 60), (60, 140, 230), (9, 9, 9)]
    meta = dict(dataset_meta=dict(classes=tuple(classes), palette=palette))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope='package')
def tiny(tmp_path_factory):
    """Config, checkpoint and images of a plain detector, and config and checkpoint of an anytime one."""
    folder = tmp_path_factory.mktemp('tiny')
    base = write_tiny_config(folder)
    make_shapes(folder / 'shapes', num_train=12, num_val=4, image_size=128, seed=0)
    config, anytime = folder / 'plain.py', folder / 'anytime.py'
    config.write_text(f"""_base_ = {str(base)!r}
model = dict(test_cfg=dict(max_per_img=8))
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
    dict(type='mmdet.LoadAnnotations', with_bbox=True),
    dict(type='mmdet.PackDetInputs',
         meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""")
    anytime.write_text(f"_base_ = {str(config)!r}\nmodel = dict(type='mmnasfpn.AnytimeDetector')\n")
    return SimpleNamespace(
        config=config, checkpoint=save_lively(config, folder / 'plain.pth'), anytime=anytime,
        anytime_checkpoint=save_lively(anytime, folder / 'anytime.pth'), images=folder / 'shapes/val',
        ann_file=folder / 'shapes/annotations/val.json')


@pytest.fixture(scope='package')
def predictor(tiny):
    return Predictor(tiny.config, tiny.checkpoint)


@pytest.fixture(scope='package')
def picture(tiny):
    """One image, (128, 128, 3)."""
    return cv2.imread(str(min(tiny.images.iterdir())))


def write_video(path, picture, num_frames, fps=12.5, size=(96, 64), codec='mp4v'):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
    for frame in range(num_frames):
        writer.write(cv2.resize(np.roll(picture, 5 * frame, axis=1), size))
    writer.release()
    return path


def frames_of(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    return frames, capture.get(cv2.CAP_PROP_FPS)
