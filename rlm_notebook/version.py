"""The version of this package, apart from `__init__` so that no module imports the whole package for it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
