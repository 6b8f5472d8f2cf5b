"""Errors of the user that concern no one module. Every exception that this package defines is one."""


class UsageError(ValueError):
    """An option that cannot be, or options that exclude each other: says which and what to do."""


class ConfigError(ValueError):
    """A config that cannot be read, or that nothing can be built from: says where and why."""
