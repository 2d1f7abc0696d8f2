"""The role the API logs in with: no superuser, and only what it needs on one database."""

import secrets

import psycopg
from psycopg import sql

ROLE = "orders_app"
ROLE_EXISTS = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %s)"


def admit_app(connection: psycopg.Connection) -> str:
    """Let the role into the connected database, with a new random password, which is returned.

    It may make its own schema, as the platform lets an app, and read and update orders_synced, which on the
    platform is for reading only.
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
        connection.execute(sql.SQL("GRANT SELECT, UPDATE ON public.orders_synced TO {}").format(role))
    return password
