"""The version of redy; results name the version that made them."""

__version__ = "0.1.0"
