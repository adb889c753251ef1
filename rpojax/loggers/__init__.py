"""Where the metrics of a run go: one small protocol, and five places behind it."""

from rpojax.loggers.base import COLUMNS, TAGS, Logger, LogRecord
from rpojax.loggers.charts import TensorBoardLogger, WandbLogger
from rpojax.loggers.text import ConsoleLogger, CSVLogger, JSONLinesLogger

__all__ = [
    "COLUMNS",
    "TAGS",
    "CSVLogger",
    "ConsoleLogger",
    "JSONLinesLogger",
    "LogRecord",
    "Logger",
    "TensorBoardLogger",
    "WandbLogger",
]
