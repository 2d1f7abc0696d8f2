"""How a PostgreSQL server is told to ask the stand-in about logins."""

import psycopg
from psycopg import sql

from .workspace import Workspace


def pg_hba(workspace: Workspace, admin: str = "postgres") -> list[str]:
    """The lines of a pg_hba.conf: ``admin`` comes in with its own password, all others with a token.

    A refused login says "RADIUS authentication failed", where Lakebase says "password
    authentication failed". A password of over 128 bytes is refused without asking the workspace.
    """
    asking = {
        "radiusservers": "127.0.0.1",
        "radiussecrets": workspace.radius_secret,
        "radiusports": workspace.radius_port,
    }
    options = " ".join(f'{name}="{value}"' for name, value in asking.items())
    return [f'host all "{admin}" 127.0.0.1/32 scram-sha-256', f"host all all 127.0.0.1/32 radius {options}"]


def create_login_role(connection: psycopg.Connection, name: str) -> None:
    """Create the role that the identity of this name logs in as, unless it is there."""
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
