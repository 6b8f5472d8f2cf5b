"""The version of mmnasfpn."""
__version__ = '0.1.0'
