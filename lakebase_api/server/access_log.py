"""gunicorn's log, without a line for each request unless ``--access-logfile`` asks for it."""

from datetime import timedelta
from typing import Any

from gunicorn.http.message import Request
from gunicorn.http.wsgi import Response
from gunicorn.instrument.statsd import Statsd


class Logger(Statsd):
    """The service has a line of its own for each request; to put together gunicorn's costs more than that.

    It is gunicorn's logger for statsd, which without ``--statsd-host`` is like its usual one.
    """

    @property
    def access_log_enabled(self) -> bool:
        """Whether there is an access log; to gunicorn ``logconfig_dict`` would say so."""
        return bool(self.cfg.accesslog)

    def access(self, resp: Response, req: Request, environ: dict[str, Any], request_time: timedelta) -> None:
        """Log and count one request, where that is wanted."""
        if self.access_log_enabled or self.cfg.statsd_host:
            super().access(resp, req, environ, request_time)
