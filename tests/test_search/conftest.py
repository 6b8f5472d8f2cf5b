"""Fixtures of searches."""
import contextlib

import pytest

from mmnasfpn.search import evaluators, results, storage, template
from tests.test_search.searches import forbid_file_locks


@pytest.fixture
def no_graphs(monkeypatch):
    """Leave architectures.png out, which takes longer than the searches of tests."""
    monkeypatch.setattr(results, 'draw_architectures', lambda *_: None)


@pytest.fixture
def closed():
    """Close evaluators in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda evaluator: stack.enter_context(contextlib.closing(evaluator))


@pytest.fixture
def told(monkeypatch):
    """What is logged, line by line."""
    lines = []
    for module in (evaluators, storage, template):
        monkeypatch.setattr(module, 'print_log', lambda line, **_: lines.append(line))
    return lines


@pytest.fixture(params=['search.db', 'search.journal'])
def record_file(request, monkeypatch):
    """Have new searches record in each of the two files."""
    if request.param == 'search.journal':
        forbid_file_locks(monkeypatch)
    return request.param
