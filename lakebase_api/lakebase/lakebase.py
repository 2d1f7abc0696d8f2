"""Everything that reaches Lakebase, put together and opened and closed as one."""

from apscheduler.schedulers.background import BackgroundScheduler

from lakebase_api.lakebase.credentials import CredentialHolder
from lakebase_api.lakebase.database import Database, Recorder
from lakebase_api.lakebase.pool import ConnectLog, build_pool
from lakebase_api.lakebase.rotation import Rotation
from lakebase_api.lakebase.target import Target
from lakebase_api.settings import Settings, TargetKind


class Lakebase:
    """The database of the settings, with credentials that renew themselves.

    Building it does no I/O and starts no thread. ``open`` it after the fork, ``close`` it on the way
    out; in between it is safe to share between threads. ``record`` is called after each use of a
    connection with the seconds waited for it and held.
    """

    def __init__(self, settings: Settings, scheduler: BackgroundScheduler, record: Recorder) -> None:
        self._connect_log = ConnectLog()
        self._holder: CredentialHolder | None = None
        self._rotation: Rotation | None = None
        if settings.target is TargetKind.STATIC:
            self._target = Target(settings, lambda: settings.pg_password or "", None)
        else:
            # Imports the SDK, which a PostgreSQL with a password does without.
            from lakebase_api.lakebase.workspace import Workspace

            workspace = Workspace(settings)
            self._holder = CredentialHolder(workspace.mint)
            self._rotation = Rotation(self._holder, scheduler)
            self._target = Target(settings, self._holder.token, workspace)
        pool = build_pool(settings, self._target, self._connect_log)
        self.database = Database(pool, self._connect_log, record)

    def open(self) -> None:
        """Start rotating and connecting in the background; returns at once."""
        if self._rotation:
            self._rotation.start()
        self.database.open()

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    @property
    def role(self) -> str | None:
        """The role that logs in, once it is known."""
        return self._target.user

    @property
    def tokens_minted(self) -> int:
        """How many tokens were minted so far."""
        return self._holder.minted if self._holder else 0

    def check_token(self) -> str | None:
        """Why no login is possible for want of a token, or ``None``. Does not block."""
        holder = self._holder
        if holder is None or holder.error is None or (holder.current and holder.current.is_live()):
            return None
        return "the workspace gave no token at the last try"

    def check_connect(self) -> str | None:
        """Why the last connect failed, or ``None`` when it did not or there was none. Does not block."""
        return "the last connect failed" if self._connect_log.error else None
