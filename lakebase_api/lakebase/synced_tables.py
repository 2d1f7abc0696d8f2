"""Reads what the two APIs of Lakebase say of a synced table, by way of the Databricks SDK."""

import math
from datetime import UTC, datetime
from urllib.parse import quote

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import database, postgres

from lakebase_api.lakebase.copy_status import CopyStatus, SyncProgress

# What all states begin with; one of the older API has a D too many.
PREFIXES = ("SYNCED_TABLE_", "SYNCED_TABLED_")

GREATEST = 2**63 - 1

Progress = postgres.SyncedTablePipelineProgress | database.SyncedTablePipelineProgress


def ask_autoscaling(client: WorkspaceClient, name: str) -> CopyStatus:
    """What the API of Lakebase Autoscaling says. Raises the SDK's errors."""
    status = client.postgres.get_synced_table(f"synced_tables/{quote(name, safe='')}").status
    if status is None:
        return CopyStatus()
    last = status.last_sync or postgres.SyncedTablePosition()
    source = last.delta_table_sync_info or postgres.DeltaTableSyncInfo()
    ended = last.sync_end_time or status.last_sync_time
    return CopyStatus(
        _name_state(status.detailed_state),
        source.delta_commit_time and source.delta_commit_time.ToDatetime(tzinfo=UTC),
        ended and ended.ToDatetime(tzinfo=UTC),
        _choose(source.delta_commit_version, status.last_processed_commit_version),
        *_read_progress(status.ongoing_sync_progress),
    )


def ask_provisioned(client: WorkspaceClient, name: str) -> CopyStatus:
    """What the API of Lakebase Provisioned says. Raises the SDK's errors."""
    found = client.database.get_synced_database_table(quote(name, safe=""))
    status = found.data_synchronization_status
    if status is None:
        return CopyStatus()
    last = status.last_sync or database.SyncedTablePosition()
    source = last.delta_table_sync_info or database.DeltaTableSyncInfo()
    continuous = status.continuous_update_status or database.SyncedTableContinuousUpdateStatus()
    triggered = status.triggered_update_status or database.SyncedTableTriggeredUpdateStatus()
    failed = status.failed_status or database.SyncedTableFailedStatus()
    made = status.provisioning_status or database.SyncedTableProvisioningStatus()
    progress = (
        triggered.triggered_update_progress
        or continuous.initial_pipeline_sync_progress
        or made.initial_pipeline_sync_progress
    )
    return CopyStatus(
        _name_state(status.detailed_state),
        _read_time(source.delta_commit_timestamp),
        _read_time(
            last.sync_end_timestamp or continuous.timestamp or triggered.timestamp or failed.timestamp
        ),
        _choose(
            source.delta_commit_version,
            continuous.last_processed_commit_version,
            triggered.last_processed_commit_version,
            failed.last_processed_commit_version,
        ),
        *_read_progress(progress),
    )


def _name_state(state: postgres.SyncedTableState | database.SyncedTableState | None) -> str | None:
    name: str | None = state and state.value
    for prefix in PREFIXES:
        name = name and name.removeprefix(prefix)
    return name


def _choose(*versions: int | None) -> int | None:
    """The first that is there: that of the last sync is the one whose time is known."""
    return _read_whole(next((version for version in versions if version is not None), None))


def _read_time(text: str | None) -> datetime | None:
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _read_progress(progress: Progress | None) -> tuple[int | None, SyncProgress | None]:
    """The version that is being copied, and how far that is."""
    if progress is None:
        return None, None
    return _read_whole(progress.latest_version_currently_processing), SyncProgress(
        _read_number(progress.sync_progress_completion),
        _read_whole(progress.synced_row_count),
        _read_whole(progress.total_row_count),
        _read_number(progress.estimated_completion_time_seconds),
    )


def _read_whole(value: int | None) -> int | None:
    """A number that is counted with: the SDK makes one of any digits. Raises ``ValueError``."""
    if value is not None and not 0 <= value <= GREATEST:
        raise ValueError("no version or number of rows is so great, or below 0")
    return value


def _read_number(value: float | None) -> float | None:
    """A number that can be reckoned with: the SDK passes on what JSON has. Raises ``ValueError``."""
    return None if value is None or not math.isfinite(float(value)) else float(value)
