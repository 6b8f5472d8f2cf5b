"""The check of the OpenMMLab packages underneath."""
import pytest

from mmnasfpn import _requirements
from mmnasfpn._requirements import check_requirements


def requirements(**changes):
    return {**_requirements.REQUIREMENTS, **changes}


def test_a_missing_package_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(_requirements, 'REQUIREMENTS', requirements(
        nosuchmodule=('1.0', '2.0', ('nosuch',))))
    with pytest.raises(ImportError, match='nosuchmodule is not installed(.|\n)*onedl-mmcv'):
        check_requirements()


def test_a_version_that_does_not_fit_is_named(monkeypatch):
    monkeypatch.setattr(_requirements, 'REQUIREMENTS', requirements(
        mmdet=('99.0', '100.0', ('onedl-mmdetection', 'mmdet'))))
    with pytest.raises(ImportError, match=r'mmdet is 3\.\S+, but must be >=99\.0,<100\.0'):
        check_requirements()


def test_both_lines_at_once_are_warned_of(monkeypatch):
    monkeypatch.setattr(_requirements, 'REQUIREMENTS', requirements(
        mmcv=('2.0.0', '3.0', ('numpy', 'torch'))))
    with pytest.warns(UserWarning, match='numpy and torch both install the module mmcv'):
        check_requirements()
