"""What the command that grants did, and a clock that moves only while it waits."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lakebase_api.doctor.granting import GrantCommand, GrantOptions, GrantRefused


@dataclass(frozen=True)
class Ran:
    """What one run of the command wrote, and why it refused to end well, if it did."""

    out: str
    told: str
    refusal: str

    @property
    def statements(self) -> list[str]:
        """What it ran, or showed, without the semicolons."""
        return [line.removesuffix(";") for line in self.out.splitlines()]


@dataclass
class Waits:
    """A clock, and a sleep that takes no time: the n-th does the n-th of the steps, where there is one."""

    steps: Sequence[Callable[[], object]] = ()
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return sum(self.slept)

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.slept.append(seconds)
        if len(self.slept) <= len(self.steps):
            self.steps[len(self.slept) - 1]()


def grant(
    environment: dict[str, str],
    role: str = "",
    *,
    app: str = "",
    options: GrantOptions = GrantOptions(),  # noqa: B008  is frozen
    waits: Waits | None = None,
) -> Ran:
    """Run the command for a role, or for an app."""
    out, told, refusal = io.StringIO(), io.StringIO(), ""
    waits = waits or Waits()
    try:
        command = GrantCommand(environment, options, out, told, waits.clock, waits.sleep)
        if app:
            command.grant_app(app)
        else:
            command.grant_role(role)
    except GrantRefused as error:
        refusal = str(error)
    return Ran(out.getvalue(), told.getvalue(), refusal)
