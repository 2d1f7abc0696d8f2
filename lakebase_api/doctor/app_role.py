"""Which role the deployed app logs in as, as far as the settings say."""

from lakebase_api.settings import Settings, TargetKind


def find_app_role(settings: Settings) -> str | None:
    """The app's role, or ``None`` when the settings do not say it.

    A service principal is the app wherever the command runs. PGUSER alone may as well be the person at the
    terminal, whose role on Lakebase is an e-mail address.
    """
    if settings.target is TargetKind.STATIC:
        return settings.pg_user
    if settings.databricks_client_id:
        return settings.databricks_client_id
    return settings.pg_user if settings.pg_user and "@" not in settings.pg_user else None
