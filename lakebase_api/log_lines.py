"""How log lines look: text or JSON, times in UTC, and no secret in them, whoever put it there."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from lakebase_api.redaction import redact

logger = logging.getLogger(__name__)


class UtcTime(logging.Formatter):
    """Writes times as RFC 3339 does: 2026-11-22T10:34:44.313Z."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"


class TextLines(UtcTime):
    """Lines of text; below one a traceback, if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line without secrets."""
        return redact(super().format(record))


class JsonLines(UtcTime, JsonFormatter):
    """Lines of JSON."""

    def serialize_log_record(self, log_data: dict[str, Any]) -> str:
        """The line without secrets. Cut out of the texts in it: one of digits may be part of a number."""
        line = super().serialize_log_record(log_data)
        return line if redact(line) == line else super().serialize_log_record(_redact_within(log_data))


def _redact_within(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _redact_within(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_redact_within(each) for each in value]
    return value if value is None or isinstance(value, int | float) else redact(str(value))


def log_uncaught() -> None:
    """Log the exceptions and warnings that Python would write to standard error as they are."""

    def log(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, where: str
    ) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            logger.critical("Uncaught in %s", where, exc_info=(kind, error, trace))

    sys.excepthook = lambda kind, error, trace: log(kind, error, trace, "the main thread")
    threading.excepthook = lambda args: log(
        args.exc_type, args.exc_value, args.exc_traceback, args.thread.name if args.thread else "a thread"
    )
    sys.unraisablehook = lambda args: log(
        args.exc_type, args.exc_value, args.exc_traceback, repr(args.object)
    )
    logging.captureWarnings(True)
