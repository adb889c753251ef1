"""Settings written for skrl, for PureJaxRL or in a file, as the fields of a `Config`.

`Config.from_skrl`, `Config.from_dict` and `Config.to_dict` are the way in; `fit_arguments` reads
what skrl's settings say of log files and checkpoints.
"""

from rpojax.compat.purejaxrl import fields_from_dict
from rpojax.compat.skrl.experiment import FitArguments, fit_arguments
from rpojax.compat.skrl.fields import fields_from_skrl

__all__ = [
    "FitArguments",
    "fields_from_dict",
    "fields_from_skrl",
    "fit_arguments",
]
