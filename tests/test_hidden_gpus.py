"""All but the tests marked ``gpu`` compute on a CPU, whatever the machine has."""
import os

import torch
from mmengine.device import get_device


def test_gpus_are_hidden_from_tests_that_are_not_marked_for_them():
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''
    assert not torch.cuda.is_available() and get_device() == 'cpu'
