"""Settings written for other libraries, as a `Config`.

`from_skrl`, `from_purejaxrl` and `from_cleanrl` return a `Config`; `fit_arguments` reads what
skrl's settings say about log files and checkpoints.
"""

from rpojax.compat.cleanrl import from_cleanrl
from rpojax.compat.purejaxrl import from_purejaxrl
from rpojax.compat.skrl.experiment import FitArguments, fit_arguments
from rpojax.compat.skrl.fields import from_skrl

__all__ = ["FitArguments", "fit_arguments", "from_cleanrl", "from_purejaxrl", "from_skrl"]
