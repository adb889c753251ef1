"""The version of the package, with a suffix `.dev` between releases."""

__version__ = "0.2.0.dev0"
