"""How far a synced table is, as the workspace says it, and what is known of that."""

from datetime import datetime

import msgspec

# What states of the workspace mean for who reads the data: whether nothing newer exists, `None` where that is
# not known, and why. https://docs.databricks.com/api/workspace/postgres/getsyncedtable
BEHIND = "Something newer exists, or may: "
MEANINGS: dict[str | None, tuple[bool | None, str]] = {
    "ONLINE_NO_PENDING_UPDATE": (True, "Nothing newer exists in the source, however old the data is."),
    "ONLINE_CONTINUOUS_UPDATE": (None, "What changes in the source follows continuously."),
    "ONLINE_TRIGGERED_UPDATE": (False, f"{BEHIND}it is being copied."),
    "ONLINE_PIPELINE_FAILED": (False, f"{BEHIND}the last sync failed. The data is of the one before."),
    "ONLINE_UPDATING_PIPELINE_RESOURCES": (None, "The pipeline that copies is being changed."),
    "ONLINE": (None, "The table is there; whether something newer exists is not said."),
    "PROVISIONING": (False, "The table is being made."),
    "PROVISIONING_PIPELINE_RESOURCES": (False, "The table is being made."),
    "PROVISIONING_INITIAL_SNAPSHOT": (False, "The table is being filled for the first time."),
    "OFFLINE_FAILED": (False, f"{BEHIND}the sync failed, and the workspace counts the table as offline."),
    "OFFLINE": (False, f"{BEHIND}the workspace counts the table as offline."),
}
UNKNOWN_STATE = (None, "The workspace says nothing about it that is known here.")
CONTINUOUS = "ONLINE_CONTINUOUS_UPDATE"


class SyncProgress(msgspec.Struct, frozen=True):
    """A sync that goes on: the part that is done, from 0 to 1, rows, and seconds until its end."""

    done: float | None = None
    rows: int | None = None
    total_rows: int | None = None
    seconds_left: float | None = None


class CopyStatus(msgspec.Struct, frozen=True):
    """What the workspace says of one synced table.

    ``as_of``: when the source committed what is copied; ``available_since``: when that sync ended. The state
    is the workspace's, without what all have in common. ``processing`` is the version being copied.
    """

    state: str | None = None
    as_of: datetime | None = None
    available_since: datetime | None = None
    source_version: int | None = None
    processing: int | None = None
    sync: SyncProgress | None = None

    def keep(self, before: "CopyStatus") -> "CopyStatus":
        """This, with the position of the status before where this has none.

        There is none during a full refresh, and the data is what it was until that ends.
        """
        if self.as_of is not None or (before.as_of is None and self.source_version is not None):
            return self
        return msgspec.structs.replace(
            self,
            as_of=before.as_of,
            available_since=before.available_since,
            source_version=before.source_version,
        )

    @property
    def meaning(self) -> tuple[bool | None, str]:
        """Whether nothing newer exists, ``None`` if that is not known; and why, as a sentence."""
        version, processing = self.source_version, self.processing
        if self.state == CONTINUOUS and None not in (version, processing) and processing != version:
            return False, f"{BEHIND}it is being copied."
        return MEANINGS.get(self.state, UNKNOWN_STATE)


class Freshness(msgspec.Struct, frozen=True):
    """What is known of how fresh a table is.

    ``asked_at`` is when the workspace was last asked, by ``time.monotonic()``, which all processes of a host
    have in common; ``checked_at`` when it last answered. ``problem`` is why nothing newer is known than
    that, in words for callers. ``is_late``: it has been warned of.
    """

    copy: CopyStatus = CopyStatus()
    asked_at: float = float("-inf")
    checked_at: datetime | None = None
    problem: str | None = None
    is_late: bool = False

    @property
    def is_current(self) -> bool | None:
        """Whether nothing newer exists in the source; ``None`` where that is not known."""
        return None if self.problem else self.copy.meaning[0]

    @property
    def meaning(self) -> str:
        """The same as a sentence."""
        return self.problem or self.copy.meaning[1]

    def find_age(self, now: datetime) -> float | None:
        """Seconds since the source committed what is copied, which need not be stale for all that."""
        return None if self.copy.as_of is None else (now - self.copy.as_of).total_seconds()


NOT_ASKED = Freshness(problem="The workspace has not been asked yet.")
