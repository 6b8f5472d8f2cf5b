"""Processes of trials are copies of one that has imported what they need: the template.

It is the fork server of :mod:`multiprocessing`. That imports this module, which then imports the
others: it would take each trial some seconds to import them. The template does not start CUDA, which
does not survive a fork: each copy starts it by itself, on the GPU that it is given.
"""
import importlib
import json
import logging
import multiprocessing
import multiprocessing.forkserver
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from mmengine.logging import print_log

#: What a trial imports.
_MODULES = ('mmnasfpn.search.proxy_task', 'mmnasfpn.search.evaluators', 'mmnasfpn.models.backbones',
            'mmnasfpn.models.dense_heads',
            'torch._dynamo',  # which optimizers import
            'torch.utils.cpp_extension', 'yapf.yapflib.yapf_api', 'matplotlib.backends.backend_agg')
_ASKED_FOR = 'MMNASFPN_TEMPLATE'  # the environment variable that tells the template what to import


def start_template(modules: Iterable[str]) -> Any:
    """Start the template, unless it runs, and return the context of ``multiprocessing`` that copies it.

    Args:
        modules (Iterable[str]): Modules to import besides those that every trial needs. One that cannot
            be imported is left to the trials.
    """
    context: Any = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    asked_for = dict(path=list(map(str, sys.path)), modules=[*_MODULES, *modules])
    # MMEngine asks whether there is a GPU as it is imported; by default PyTorch starts CUDA to answer.
    with environment(**{_ASKED_FOR: json.dumps(asked_for), 'PYTORCH_NVML_BASED_CUDA_CHECK': '1'}):
        multiprocessing.forkserver.ensure_running()
    return context


def context_for_gpus(template: Any) -> Any:
    """Return the context for processes that use a GPU: the template's, if CUDA works in its copies.

    It does not where NVML, by which GPUs are counted without CUDA, is missing, or an imported module has
    used a GPU. Then each process imports everything by itself.
    """
    probe = template.Process(target=_fail_in_bad_fork)
    probe.start()
    probe.join()
    if probe.exitcode == 0:
        return template
    print_log('CUDA does not work in processes that are forked: PyTorch cannot ask NVML for the GPUs, '
              'or a module of custom_imports uses a GPU as it is imported. So each trial imports '
              'everything by itself, and starts some seconds later',
              logger='current', level=logging.WARNING)
    return multiprocessing.get_context('spawn')


def _fail_in_bad_fork() -> None:
    import torch

    sys.exit(int(torch.cuda._is_in_bad_fork()))


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _import_what_is_asked_for() -> None:
    asked_for = json.loads(os.environ.pop(_ASKED_FOR, '{"modules": []}'))
    sys.path[:] = asked_for.get('path', sys.path)
    for name in asked_for['modules']:
        with suppress(BaseException):  # whatever it raises, a trial that needs it says so
            importlib.import_module(name)


_import_what_is_asked_for()
