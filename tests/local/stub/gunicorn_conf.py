"""gunicorn's settings for the stub: at the end it looks whether PostgreSQL is still there."""

import os
import sys

import psycopg

bind = os.environ["BIND"]
control_socket_disable = True


def on_exit(server: object) -> None:
    """Called when every worker is gone."""
    psycopg.connect("").close()
    sys.stdout.write("gunicorn ends and PostgreSQL is up\n")
    sys.stdout.flush()
