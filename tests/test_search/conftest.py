"""Fixtures of searches."""
import pytest

from mmnasfpn.search import results


@pytest.fixture
def no_graphs(monkeypatch):
    """Leave architectures.png out, which takes longer than the searches of tests."""
    monkeypatch.setattr(results, 'draw_architectures', lambda *_: None)
