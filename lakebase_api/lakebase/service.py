"""Everything that reaches Lakebase, put together and opened and closed as one."""

import logging
from collections.abc import Callable, Sequence

from apscheduler.schedulers.background import BackgroundScheduler

from lakebase_api.lakebase.caller import Caller
from lakebase_api.lakebase.connection import PRIMARY, Connection
from lakebase_api.lakebase.credentials import CredentialHolder, TokenTimes
from lakebase_api.lakebase.database import Database
from lakebase_api.lakebase.dedicated import DedicatedConnections
from lakebase_api.lakebase.failures import classify
from lakebase_api.lakebase.findings import Check
from lakebase_api.lakebase.freshness import Ask
from lakebase_api.lakebase.meter import NO_METER, Meter
from lakebase_api.lakebase.pool import Pool
from lakebase_api.lakebase.replica import ReplicaReads
from lakebase_api.lakebase.rotation import REPLICA_JOB, Rotation
from lakebase_api.lakebase.setup_faults import SetupLog
from lakebase_api.lakebase.setup_logs import Examiner, SetupLogs
from lakebase_api.lakebase.slots import Slots
from lakebase_api.lakebase.target import Target
from lakebase_api.lakebase.watchdog import Watchdog
from lakebase_api.settings import Settings, TargetKind

logger = logging.getLogger(__name__)


class Lakebase:
    """The database of the settings, with credentials that renew themselves.

    Building it does no I/O and starts no thread. ``open`` it after the fork, ``close`` it on the way
    out; in between it is safe to share between threads. ``find_caller`` gives the caller of the current
    thread; ``examiner`` looks at the declared tables; ``greet`` is called with each new connection of the
    pool, before anybody uses it. ``own_tables`` are served as declared ones are, but do not count for
    readiness. ``meter`` is told how connections and tokens are had and used.
    """

    def __init__(
        self,
        settings: Settings,
        scheduler: BackgroundScheduler,
        find_caller: Callable[[], Caller],
        examiner: Examiner,
        greet: Callable[[Connection], None] = lambda connection: None,
        own_tables: Sequence[str] = (),
        meter: Meter = NO_METER,
    ) -> None:
        target, self._holder = build_target(settings, meter)
        self._unused_variables = target.unused_variables
        self._rotations = [Rotation(self._holder, scheduler)] if self._holder else []
        self.setups = SetupLogs(examiner)

        def greet_and_report(connection: Connection) -> None:
            greet(connection)
            self.setups.report(connection)

        self.pool = Pool(settings, target, greet_and_report, meter)
        own = {name: SetupLog(_examine_nothing, table=name) for name in own_tables}
        setups = {**self.setups.by_table, **own}
        watchdog = Watchdog()
        self.replica: ReplicaReads | None = None
        replica_slots = None
        if settings.has_replica:
            its_settings = settings.for_replica()
            its_target, its_holder = build_replica_target(its_settings, settings, self._holder, meter)
            if its_holder:
                self._rotations.append(Rotation(its_holder, scheduler, REPLICA_JOB))
            # Looked at by itself: it shows the tables as they were a moment ago.
            its_setups = {**SetupLogs(examiner).by_table, **own}
            self.replica = ReplicaReads(its_settings, its_target, find_caller, its_setups, watchdog, meter)
            replica_slots = Slots(its_settings, self.replica.pool, its_setups)
        self.database = Database(
            settings,
            self.pool,
            SetupLog(_examine_nothing),
            find_caller,
            setups,
            watchdog,
            self.replica,
            PRIMARY if self.replica else "",
        )
        self.dedicated = DedicatedConnections(
            settings, Slots(settings, self.pool, setups), watchdog, replica_slots
        )

    def open(self) -> None:
        """Start rotating and connecting in the background; returns at once."""
        if self._unused_variables:
            names = ", ".join(self._unused_variables)
            logger.warning("Not settings of this service, and not used: %s", names)
        for rotation in self._rotations:
            rotation.start()
        self.database.open()
        if self.replica:
            self.replica.pool.open()

    def close(self) -> None:
        """Close every connection."""
        self.dedicated.close()
        if self.replica:
            self.replica.pool.close()
        self.database.close()

    def stats(self) -> dict[str, int]:
        """psycopg_pool's counters, and ``tokens_minted`` and ``retries`` so far."""
        minted = self._holder.minted if self._holder else 0
        return {**self.pool.stats(), "tokens_minted": minted, "retries": self.database.retries}

    @property
    def holder(self) -> CredentialHolder | None:
        """Who holds the token; ``None`` where a password logs in."""
        return self._holder

    def tell_token(self) -> TokenTimes | None:
        """Times of the current token; ``None`` where there is none. Does not block."""
        return self._holder.find_times() if self._holder else None

    def check_token(self) -> str | None:
        """Why no login is possible for want of a token, or ``None``. Does not block."""
        holder = self._holder
        if holder is None or holder.error is None or (holder.current and holder.current.is_live()):
            return None
        return "the workspace gave no token at the last try"

    def check_connect(self) -> str | None:
        """Why the last connect failed, or ``None`` when it did not or there was none. Does not block."""
        error = self.pool.connects.error
        return classify(error).said if error else None

    def check_reachable(self) -> str | None:
        """As ``check_connect``, but ``None`` once connecting is not tried any more, since nobody asks.

        A proxy that sends no requests to who is not ready would else never have it tried again.
        """
        return self.check_connect() if self.pool.is_asked_for else None

    def check_tables(self) -> str | None:
        """Why no table at all can be read, or ``None``. Does not block."""
        return "every table is at fault" if self.setups.are_all_at_fault() else None

    def tell_parts(self) -> dict[str, str | None]:
        """What was found wrong with each table, by its name where there are several, and with the replica.

        Does not block.
        """
        logs = self.setups.by_table
        are_several = len(logs) > 1
        tables = {f"table {name}" if are_several else "table": log.fault for name, log in logs.items()}
        return {**tables, "replica": self.replica.check()} if self.replica else tables


def _examine_nothing(connection: Connection) -> Sequence[Check]:
    return ()


def build_target(settings: Settings, meter: Meter = NO_METER) -> tuple[Target, CredentialHolder | None]:
    """The database of the settings, and who holds the credentials for it unless it is a static password."""
    if settings.target is TargetKind.STATIC:
        return Target(settings), None
    # Imports the SDK, which a PostgreSQL with a password does without.
    from lakebase_api.lakebase.workspace import Workspace

    workspace = Workspace(settings)
    holder = CredentialHolder(workspace.mint, meter)
    return Target(settings, holder, workspace), holder


def build_replica_target(
    settings: Settings, primary: Settings, holder: CredentialHolder | None, meter: Meter = NO_METER
) -> tuple[Target, CredentialHolder | None]:
    """The replica of its settings, and who holds its credentials unless those are the primary's."""
    if holder is None:
        return Target(settings), None
    from lakebase_api.lakebase.workspace import Workspace

    workspace = Workspace(settings, is_of_replica=True)
    if settings.lakebase_endpoint == primary.lakebase_endpoint:
        return Target(settings, holder, workspace), None
    own = CredentialHolder(workspace.mint, meter)
    return Target(settings, own, workspace), own


def build_ask(settings: Settings) -> Ask | None:
    """What asks how far a synced table is, if there is a workspace.

    With a client of its own: calls that hang keep nobody from a token.
    """
    if settings.target is TargetKind.STATIC:
        return None
    from lakebase_api.lakebase.workspace import Workspace

    return Workspace(settings).find_synced_table


def find_principal(settings: Settings, app: str) -> str:
    """The client id of the service principal of a Databricks App. Raises ``CredentialError``.

    It is asked for by the login of the settings, or the one that the SDK finds.
    """
    from lakebase_api.lakebase.workspace import Workspace

    return Workspace(settings).find_principal(app)
