"""What workers say that were never there."""

from msgspec.structs import replace

from lakebase_api.telemetry.recent import Recent
from lakebase_api.telemetry.worker_report import ConnectReport, PoolReport, TokenReport, WorkerReport

WORKER = WorkerReport(
    number=0,
    pid=4711,
    up_seconds=60.0,
    is_draining=False,
    pool=PoolReport(open=5, in_use=2, most=5, waiting=0),
    connects=ConnectReport(True, None, None, 0, 0.5),
    token=TokenReport(seconds_left=38 * 60.0, life=3600.0, minted=1, fault=None),
    exports=(),
    recent=Recent(()).report(),
)


def report(**changed: object) -> WorkerReport:
    """What a worker says that is well, but for what is given."""
    return replace(WORKER, **changed)


def report_connects(**changed: object) -> ConnectReport:
    """The same of how connecting goes."""
    return replace(WORKER.connects, **changed)
