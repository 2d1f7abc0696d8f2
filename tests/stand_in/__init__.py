"""A stand-in for the Databricks control plane, so that tests need no workspace.

It is reached over real HTTP by the real SDK, and the tokens it issues are real passwords:
PostgreSQL asks it, by RADIUS, at each login. Only this package pretends; nothing is mocked.
"""

from .accounts import Identity
from .postgres import create_login_role, pg_hba
from .synced_tables import SyncedTable
from .workspace import Workspace

__all__ = ["Identity", "SyncedTable", "Workspace", "create_login_role", "pg_hba"]
