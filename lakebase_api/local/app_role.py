"""The role the API logs in with: no superuser, and only what it needs on one database."""

import secrets
from collections.abc import Iterable

import psycopg
from psycopg import sql

from lakebase_api.local.sample_tables import list_schemas
from lakebase_api.table.declaration import Table

ROLE = "orders_app"
ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"


def admit_app(connection: psycopg.Connection, tables: Iterable[Table]) -> str:
    """Let the role into the connected database, with a new random password, which is returned.

    It may make its own schema, as the platform lets an app, and read and update the tables, which on the
    platform are for reading only.
    """
    password = secrets.token_urlsafe(32)
    # A verifier, not the password: the server logs statements that fail.
    verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
    role, database = sql.Identifier(ROLE), sql.Identifier(connection.info.dbname)
    with connection.transaction():
        if connection.execute(ROLE_EXISTS, [ROLE]).fetchone() != (True,):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(verifier)))
        connection.execute(sql.SQL("GRANT CREATE ON DATABASE {} TO {}").format(database, role))
        for table in tables:
            for schema in list_schemas(table):
                connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
            name = sql.Identifier(table.schema, table.source)
            connection.execute(sql.SQL("GRANT SELECT, UPDATE ON {} TO {}").format(name, role))
    return password
