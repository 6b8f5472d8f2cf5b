"""The check of the OpenMMLab packages underneath."""
import pytest

from mmnasfpn import _requirements
from mmnasfpn._requirements import check_requirements


@pytest.mark.parametrize(('module', 'requirement', 'words'), [
    ('nosuchmodule', ('1.0', '2.0', ('nosuch',)), 'nosuchmodule is not installed(.|\n)*onedl-mmcv'),
    ('mmdet', ('99.0', '100.0', ('mmdet',)), r'mmdet is 3\.\S+, but must be >=99\.0,<100\.0')])
def test_what_is_missing_or_does_not_fit_is_named_with_what_to_install(
        monkeypatch, module, requirement, words):
    monkeypatch.setitem(_requirements.REQUIREMENTS, module, requirement)
    with pytest.raises(ImportError, match=words):
        check_requirements()


def test_both_lines_at_once_are_warned_of(monkeypatch):
    monkeypatch.setitem(_requirements.REQUIREMENTS, 'mmcv', ('2.0.0', '3.0', ('numpy', 'torch')))
    with pytest.warns(UserWarning, match='numpy and torch both install the module mmcv'):
        check_requirements()
