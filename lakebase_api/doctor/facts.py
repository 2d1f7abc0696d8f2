"""What is known of a role and the tables it needs, before it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """The role, the orders table and the schemas, as far as they exist: ``None`` stands for what does not."""

    role_oid: int
    role: str
    may_log_in: bool
    database: str
    may_connect: bool
    may_create: bool
    schema_owner: str | None
    may_use_schema: bool | None
    oid: int | None
    kind: str | None
    owner: str | None
    is_updatable: bool | None
    status_schema_owner: str | None
    may_use_status_schema: bool | None
    may_create_in_status_schema: bool | None


@dataclass(frozen=True)
class Column:
    """A column of the orders table: its type, of a domain the type below, and what the role may do."""

    name: str
    type: str
    is_not_null: bool
    may_select: bool
    may_update: bool


@dataclass(frozen=True)
class Index:
    """Whether a usable index, valid and of all rows, begins with a column; and what is in the column."""

    column: str
    # How many tables (the partitions, of a partitioned one) have none.
    lacking: int
    # Names of indexes that the server does not use yet, or never will.
    invalid: list[str]
    # By the statistics: rows of the table, and different values in the column; ``None`` without statistics.
    rows: int
    distinct: int | None


@dataclass(frozen=True)
class Key:
    """What the catalogues say of the key: in how many tables (partitions) no index makes it unique.

    Of views, and of tables that consist of others in other ways than by key, none can.
    """

    lacking: int
    is_beyond_indexes: bool


@dataclass(frozen=True)
class Seen:
    """The keys that were looked at: of how many rows, how many not NULL, and how many different ones."""

    rows: int
    keys: int
    different: int
    is_all: bool


@dataclass(frozen=True)
class Privilege:
    """Whether the role has a privilege on one of the app's own tables; ``None`` where there is no table."""

    table: str
    privilege: str
    is_granted: bool | None


@dataclass(frozen=True)
class Facts:
    """All there is to know before judging."""

    relation: Relation
    columns: Mapping[str, Column]
    indexes: Mapping[str, Index]
    key: Key
    # Looked at where the catalogues cannot say what the keys are like; else, or if that failed, ``None``.
    seen: Seen | None
    privileges: list[Privilege]
    # Migrations applied to the app's own tables; ``None`` when this session cannot read it.
    version: int | None
    # Schemas and names of tables with the columns of orders; looked for when the one named is not there.
    similar: list[tuple[str, str]]
