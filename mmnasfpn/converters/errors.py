"""What converters raise."""


class ConversionError(ValueError):
    """Weights that are not those of the neck they should be of: says which, and what was expected."""
