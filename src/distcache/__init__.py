"""A container registry that is a pull-through cache."""

__version__ = "0.1.0"
