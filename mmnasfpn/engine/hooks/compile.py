"""Compile the networks of a training or a test."""
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmnasfpn.checkpoints.fit import unwrapped
from mmnasfpn.models.compile import check_options, compile_networks
from mmnasfpn.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile backbone, neck and heads: :func:`~mmnasfpn.models.compile.compile_networks`.

    Checkpoints are the same with and without. Its place among the hooks does not matter: the work is
    done when the first batch comes, after all that other hooks do to the model.

    Args:
        mode (str | None): ``'default'``, ``'reduce-overhead'`` or ``'max-autotune'``. Defaults to None.
        dynamic (bool | None): Whether for all sizes of images from the start. Defaults to None: for the
            first size alone, and once more for all others.
        backend (str): A backend of ``torch.compile``. Defaults to ``'inductor'``.

    Raises:
        ValueError: If an argument is impossible; or, when the run starts, if the config has MMEngine's
            own ``compile`` too, or a compiler is missing.
    """

    def __init__(self, mode: str | None = None, dynamic: bool | None = None,
                 backend: str = 'inductor') -> None:
        check_options(mode, dynamic, backend)
        self.mode = mode
        self.dynamic = dynamic
        self.backend = backend

    def before_run(self, runner: Runner) -> None:
        """Compile the networks of the model, distributed or not."""
        if runner.cfg.get('compile', False) not in (None, False):
            raise ValueError(f'the config has compile={runner.cfg.compile!r}, by which MMEngine '
                             'compiles whole steps, and CompileHook (--compile), which compiles '
                             'networks: leave one out')
        compile_networks(unwrapped(runner.model), self.mode, self.dynamic, self.backend)
