"""What callers may do: roles, the rights they give, and what of a table they leave out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache

from lakebase_api.access.caller import ANONYMOUS, Caller, Method
from lakebase_api.access.rate_limit import Policy
from lakebase_api.access.row_filters import OfCaller, RowFilter, fill_one_of, find_claim
from lakebase_api.sql.predicates import EVERYTHING, Predicates
from lakebase_api.table.declaration import Table

# The table that rights on the service itself name.
SERVICE = "service"
# Whoever is known.
EVERYBODY = "*"
# Callers, and sets of roles, of whom is remembered what they have: to find it out took a tenth of a look-up.
CALLERS_KEPT, ROLE_SETS_KEPT = 4096, 1024
# What names of callers begin with who are known by an API key, and by a claim of their token.
OF_KEY, OF_CLAIM = "key:", "claim:"


class Action(StrEnum):
    """What may be done with a table."""

    READ = "read"
    EXPORT = "export"
    CHANGE = "change"
    HISTORY = "history"


class Duty(StrEnum):
    """What may be done with the service itself."""

    OBSERVE = "observe"
    AUDIT = "audit"


class Audience(StrEnum):
    """Who may do what no right is needed for."""

    CALLERS = "whoever is known"
    EVERYBODY = "everybody"


Need = Action | Duty | Audience


@dataclass(frozen=True)
class Right:
    """A right as the file of rights spells it, such as ``orders:read``."""

    place: str
    action: str

    def __str__(self) -> str:
        return f"{self.place}:{self.action}"


@dataclass(frozen=True)
class Access:
    """What a caller has of a table: rows that ``rows`` lets through, without the columns ``hidden``."""

    rows: Predicates = EVERYTHING
    hidden: frozenset[str] = frozenset()


ALL_OF_IT = Access()


@dataclass(frozen=True, eq=False)
class Role:
    """What one role gives. ``rows`` and ``hidden`` are by the name of the table."""

    name: str
    rights: frozenset[Right] = frozenset()
    rows: Mapping[str, RowFilter] = field(default_factory=dict)
    hidden: Mapping[str, frozenset[str]] = field(default_factory=dict)
    quota: Policy | None = None


@dataclass(frozen=True)
class Grant:
    """What a set of roles has of a table: row filters of which one is to let a row through."""

    filters: tuple[RowFilter, ...]
    hidden: frozenset[str]

    @property
    def is_shared(self) -> bool:
        """Whether all callers with the roles have the same rows."""
        return not any(isinstance(each.value, OfCaller) for filter in self.filters for each in filter)

    def fill(self, caller: Caller) -> Access:
        """What the caller has."""
        return Access(fill_one_of(self.filters, caller), self.hidden)


class Rights:
    """Who may do what. Immutable, and so safe to share between threads.

    ``roles`` is ``None`` where there is no file of rights: then whoever is known may do everything.
    ``anonymous`` is what callers may do whom nobody knows: ``read`` tables, ``all``, or nothing.
    """

    def __init__(
        self,
        roles: Mapping[str, Role] | None = None,
        callers: Mapping[str, frozenset[str]] | None = None,
        anonymous: str | None = None,
    ) -> None:
        self.roles = roles
        self.callers = callers = callers or {}
        self.anonymous = anonymous
        self._everybody = callers.get(EVERYBODY, frozenset())
        self._by_subject = {who: named for who, named in callers.items() if who != EVERYBODY}
        self._by_claim = [
            (tuple(path.split(".")), value, named)
            for who, named in callers.items()
            if who.startswith(OF_CLAIM)
            for path, _, value in [who.removeprefix(OF_CLAIM).partition("=")]
        ]
        self._assign_kept = lru_cache(CALLERS_KEPT)(self._assign)
        self._combine_kept = lru_cache(ROLE_SETS_KEPT)(self._combine)

    @property
    def role_names(self) -> frozenset[str]:
        """The roles that there are."""
        return frozenset(self.roles or ())

    @property
    def restricts(self) -> bool:
        """Whether a role leaves rows or columns out."""
        return any(role.rows or role.hidden for role in (self.roles or {}).values())

    def list_unassigned(self) -> list[str]:
        """The roles that nobody has, unless tokens name them."""
        named = self._everybody.union(*self._by_subject.values())
        return sorted(self.role_names - named)

    def find_roles(self, caller: Caller) -> frozenset[str]:
        """The roles that are known here of a caller who is known."""
        if self.roles is None or caller.method in (Method.ANONYMOUS, Method.LOCAL):
            return frozenset()
        found = self._everybody | (caller.roles & self.roles.keys())
        # Only a key is a key, whatever a subject is called.
        if caller.subject.startswith(OF_KEY) is (caller.method is Method.API_KEY):
            found |= self._by_subject.get(caller.subject, frozenset())
        for path, value, named in self._by_claim:
            if value in find_claim(caller.claims, path):
                found |= named
        return found

    def assign(self, caller: Caller) -> Caller:
        """The caller with their roles."""
        # Callers are equal whose claims are not.
        return self._assign(caller) if caller.claims else self._assign_kept(caller)

    def _assign(self, caller: Caller) -> Caller:
        roles = self.find_roles(caller)
        return caller if roles == caller.roles else replace(caller, roles=roles)

    def allows(self, caller: Caller, duty: Duty) -> bool:
        """Whether the caller may do this with the service itself."""
        if (general := self._find_general(caller, duty)) is not None:
            return general
        return any(self._find_granting(caller.roles, Right(SERVICE, duty)))

    def find_access(self, caller: Caller, table: Table, action: Action) -> Access | None:
        """What the caller has of a table for this; ``None`` if nothing.

        Rights of several roles add up: a row is there that one of them lets through, and a column is hidden
        that all of them hide.
        """
        if (general := self._find_general(caller, action)) is not None:
            return ALL_OF_IT if general else None
        found = self._combine_kept(caller.roles, Right(table.name, action))
        return found.fill(caller) if isinstance(found, Grant) else found

    def find_open(self, stranger: Caller | None) -> frozenset[Need]:
        """What may be asked for without a word who calls, if ``stranger`` is who that is then."""
        if stranger is None:
            return frozenset()
        needs = (need for need in (*Action, *Duty) if self._find_general(stranger, need))
        return frozenset({Audience.CALLERS, *needs})

    def find_quota(self, caller: Caller) -> Policy | None:
        """The most that one of the roles gives, if one says how much."""
        if self.roles is None or not caller.roles:
            return None
        quotas = [role.quota for role in self.roles.values() if role.quota and role.name in caller.roles]
        return max(quotas, key=lambda policy: policy.quota / policy.window, default=None)

    def list_rights(self, caller: Caller, tables: Sequence[Table]) -> list[str]:
        """Everything that the caller may do, as the file of rights spells it."""
        of_tables = [
            Right(table.name, action)
            for table in tables
            for action in Action
            if self.find_access(caller, table, action) is not None
        ]
        of_service = [Right(SERVICE, duty) for duty in Duty if self.allows(caller, duty)]
        return [str(right) for right in (*of_tables, *of_service)]

    def _find_general(self, caller: Caller, action: Action | Duty) -> bool | None:
        """Whether the caller may do it wherever it may be done; ``None`` if that is for roles to say."""
        if caller.method is Method.LOCAL:
            return True
        if caller.method is Method.ANONYMOUS:
            return self.anonymous == "all" or (self.anonymous == "read" and action is Action.READ)
        return True if self.roles is None else None

    def _combine(self, names: frozenset[str], right: Right) -> Access | Grant | None:
        """What the roles have of a table: for all callers, or for each to be filled; ``None`` if nothing."""
        granting = list(self._find_granting(names, right))
        if not granting:
            return None
        hidden = frozenset.intersection(*(role.hidden.get(right.place, frozenset()) for role in granting))
        filters = tuple([role.rows.get(right.place, ()) for role in granting])
        if () in filters:
            return Access(hidden=hidden) if hidden else ALL_OF_IT
        grant = Grant(filters, hidden)
        return grant.fill(ANONYMOUS) if grant.is_shared else grant

    def _find_granting(self, names: frozenset[str], right: Right) -> Iterator[Role]:
        roles = self.roles or {}
        # In one order: the same rights make the same statement.
        return (role for role in roles.values() if role.name in names and right in role.rights)
