"""What is logged and where to: one handler for all, the request id in each line, gunicorn's own included."""

import logging
from typing import Any

from flask import g, has_request_context

from lakebase_api.log_lines import JsonLines, TextLines
from lakebase_api.settings import Settings

TEXT_FORMAT = "%(asctime)s %(levelname)s [%(process)d] [%(request_id)s] %(name)s: %(message)s"
JSON_FIELDS = ("asctime", "levelname", "process", "request_id", "trace_id", "name", "message")


class RequestIdFilter(logging.Filter):
    """Gives each record the ids of its request and of that one's trace; outside one ``-`` and ``None``."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add ``request_id`` and ``trace_id``, unless it was logged with them; keeps every record."""
        if hasattr(record, "request_id"):
            return True
        exchange = g.get("exchange") if has_request_context() else None
        record.request_id = exchange.request_id if exchange else "-"
        record.trace_id = exchange.trace.trace_id if exchange else None
        return True


def build_logging_config(settings: Settings) -> dict[str, Any]:
    """A configuration for ``logging.config.dictConfig``: one handler, to standard error."""
    formatters = {
        "text": {"()": TextLines, "fmt": TEXT_FORMAT},
        "json": {
            "()": JsonLines,
            "fmt": ",".join(JSON_FIELDS),
            "style": ",",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"request_id": {"()": RequestIdFilter}},
        "formatters": {"line": formatters[settings.log_format]},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "line",
                "filters": ["request_id"],
            }
        },
        "root": {"level": settings.log_level, "handlers": ["stderr"]},
        "loggers": {
            "gunicorn.error": {"level": settings.log_level, "handlers": [], "propagate": True},
            # A line for each connection borrowed, each attempt of an outage and each job run.
            "psycopg.pool": {"level": "DEBUG" if settings.log_level == "DEBUG" else "ERROR"},
            "apscheduler": {"level": "DEBUG" if settings.log_level == "DEBUG" else "ERROR"},
            # Several lines for each try while a collector is away; otlp_exporters.py has one for all.
            "opentelemetry": {"level": "DEBUG" if settings.log_level == "DEBUG" else "CRITICAL"},
        },
    }
