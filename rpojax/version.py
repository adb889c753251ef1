"""The version of the package; between releases that of the next one, with the suffix `.dev0`."""

__version__ = "0.3.0.dev0"
