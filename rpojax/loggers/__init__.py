"""Loggers: a small protocol, and five implementations."""

from rpojax.loggers.base import TAGS, Logger, LogRecord, columns
from rpojax.loggers.charts import TensorBoardLogger, WandbLogger
from rpojax.loggers.text import ConsoleLogger, CSVLogger, JSONLinesLogger

__all__ = [
    "TAGS",
    "CSVLogger",
    "ConsoleLogger",
    "JSONLinesLogger",
    "LogRecord",
    "Logger",
    "TensorBoardLogger",
    "WandbLogger",
    "columns",
]
