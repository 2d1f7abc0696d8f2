"""The real SDK pointed at the stand-in, with time limits that suit tests."""

from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from google.protobuf.duration_pb2 import Duration

from . import Identity, Workspace


def sign_in(
    workspace: Workspace, identity: Identity, *, http_timeout: float = 2, retry_timeout: int = 1
) -> WorkspaceClient:
    """A client for ``identity``. The SDK cuts ``retry_timeout`` to whole seconds, and takes 0 for 300."""
    credentials: dict[str, Any] = {**identity.sdk_arguments()}
    config = Config(
        host=workspace.url,
        http_timeout_seconds=http_timeout,
        retry_timeout_seconds=retry_timeout,
        **credentials,
    )
    return WorkspaceClient(config=config)


def mint(client: WorkspaceClient, workspace: Workspace, kind: str = "autoscaling", ttl: int = 3600) -> str:
    """A database token for the workspace's endpoint or, if ``kind`` is "provisioned", its instance."""
    if kind == "provisioned":
        token = client.database.generate_database_credential(instance_names=[workspace.instance]).token
    else:
        token = client.postgres.generate_database_credential(
            workspace.endpoint, ttl=Duration(seconds=ttl)
        ).token
    return token or ""
