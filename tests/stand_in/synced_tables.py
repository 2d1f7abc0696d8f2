"""Synced tables, in any state, as the two APIs of Lakebase describe them."""

from dataclasses import dataclass
from typing import Any

# Every state there is, without what all begin with.
STATES = (
    "PROVISIONING",
    "PROVISIONING_PIPELINE_RESOURCES",
    "PROVISIONING_INITIAL_SNAPSHOT",
    "ONLINE",
    "ONLINE_CONTINUOUS_UPDATE",
    "ONLINE_TRIGGERED_UPDATE",
    "ONLINE_NO_PENDING_UPDATE",
    "ONLINE_PIPELINE_FAILED",
    "ONLINE_UPDATING_PIPELINE_RESOURCES",
    "OFFLINE",
    "OFFLINE_FAILED",
)


@dataclass(frozen=True)
class Progress:
    """A sync that goes on."""

    version: int
    done: float = 0.4
    rows: int = 600_000
    total_rows: int = 1_500_000
    seconds_left: float | None = 42.0

    def describe(self) -> dict[str, Any]:
        """As both APIs have it: numbers of 64 bits are texts in JSON of protobuf."""
        eta = {} if self.seconds_left is None else {"estimated_completion_time_seconds": self.seconds_left}
        return {
            "latest_version_currently_processing": str(self.version),
            "sync_progress_completion": self.done,
            "synced_row_count": str(self.rows),
            "total_row_count": str(self.total_rows),
            **eta,
        }


@dataclass(frozen=True)
class SyncedTable:
    """One synced table. Without a version it has no last sync, as one that is made or wholly refreshed."""

    state: str = "ONLINE_NO_PENDING_UPDATE"
    version: int | None = 4711
    committed: str = "2026-11-26T11:58:03Z"
    synced: str = "2026-11-26T11:58:20Z"
    progress: Progress | None = None

    def describe(self, name: str) -> dict[str, Any]:
        """As the API of Lakebase Autoscaling has it."""
        status: dict[str, Any] = {"detailed_state": f"SYNCED_TABLE_{self.state}", "pipeline_id": "p-1"}
        if self.version is not None:
            status |= {
                "last_processed_commit_version": str(self.version),
                "last_sync": {
                    "delta_table_sync_info": {
                        "delta_commit_version": str(self.version),
                        "delta_commit_time": self.committed,
                    },
                    "sync_start_time": self.committed,
                    "sync_end_time": self.synced,
                },
                "last_sync_time": self.synced,
            }
        if self.progress:
            status["ongoing_sync_progress"] = self.progress.describe()
        return {"name": f"synced_tables/{name}", "status": status}

    def describe_provisioned(self, name: str, instance: str) -> dict[str, Any]:
        """As the API of Lakebase Provisioned has it, which spells one state otherwise."""
        prefix = "SYNCED_TABLED_" if self.state == "OFFLINE" else "SYNCED_TABLE_"
        status: dict[str, Any] = {"detailed_state": f"{prefix}{self.state}", "pipeline_id": "p-1"}
        position: dict[str, Any] = {}
        if self.version is not None:
            position = {"last_processed_commit_version": self.version, "timestamp": self.synced}
            status["last_sync"] = {
                "delta_table_sync_info": {
                    "delta_commit_version": self.version,
                    "delta_commit_timestamp": self.committed,
                },
                "sync_start_timestamp": self.committed,
                "sync_end_timestamp": self.synced,
            }
        status |= self._detail(position)
        return {
            "name": name,
            "database_instance_name": instance,
            "data_synchronization_status": status,
        }

    def _detail(self, position: dict[str, Any]) -> dict[str, Any]:
        progress = self.progress.describe() if self.progress else None
        if self.state.startswith("PROVISIONING"):
            return {"provisioning_status": {"initial_pipeline_sync_progress": progress}}
        if "FAILED" in self.state:
            return {"failed_status": position}
        if self.state in ("ONLINE_CONTINUOUS_UPDATE", "ONLINE_UPDATING_PIPELINE_RESOURCES"):
            initial = {"initial_pipeline_sync_progress": progress}
            return {"continuous_update_status": {**position, **initial}}
        return {"triggered_update_status": {**position, "triggered_update_progress": progress}}
