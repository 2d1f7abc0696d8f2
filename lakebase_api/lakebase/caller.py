"""On whose behalf queries run."""

from dataclasses import dataclass
from typing import Protocol

from lakebase_api.lakebase.pool import BACKGROUND


class Caller(Protocol):
    """On whose behalf a query runs."""

    @property
    def deadline(self) -> float:
        """When the answer is of no more use, by ``time.monotonic()``."""
        ...

    @property
    def flow(self) -> str:
        """Whose work it is: what is free goes to the flow that has least."""
        ...

    @property
    def operation(self) -> str:
        """What it is for, which its statements say; it may be empty."""
        ...

    @property
    def request_id(self) -> str:
        """The request that it is for, or empty."""
        ...

    @property
    def reads_after(self) -> str | None:
        """How far in the write-ahead log a replica must be that answers its reads; ``None``: none may."""
        ...

    def record_use(self, waited: float, held: float) -> None:
        """Note one use of a connection: the seconds waited for it and the seconds it was held."""
        ...

    def note_server(self, server: str) -> None:
        """Note which server answered, where there are two."""
        ...

    def note_commit(self, position: str) -> None:
        """Note how far in the write-ahead log a replica must be that shows the change just made."""
        ...


@dataclass(frozen=True)
class Background:
    """On whose behalf a query runs that several requests wait for, or none."""

    deadline: float
    operation: str = ""
    flow: str = BACKGROUND
    request_id: str = ""
    reads_after: str | None = None

    def record_use(self, waited: float, held: float) -> None:
        """It is nobody's own."""

    def note_server(self, server: str) -> None:
        """It is nobody's own."""

    def note_commit(self, position: str) -> None:
        """It is nobody's own."""
