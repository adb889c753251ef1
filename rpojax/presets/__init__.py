"""Settings that are known to work, by name: see `Config.preset` and `Config.presets`."""

from rpojax.presets.table import Preset

__all__ = ["Preset"]
