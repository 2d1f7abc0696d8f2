"""What is known of a role and the tables it needs, before it is judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lakebase_api.sql.overlay_state import Found
from lakebase_api.table.declaration import Table


@dataclass(frozen=True)
class Role:
    """The role, and what it may do in the database and in the schema of the app's own tables.

    ``None`` stands for what is not there.
    """

    role_oid: int
    role: str
    may_log_in: bool
    database: str
    may_connect: bool
    may_create: bool
    status_schema_owner: str | None
    may_use_status_schema: bool | None
    may_create_in_status_schema: bool | None


@dataclass(frozen=True)
class Relation:
    """The table or view of a declared table, and its schema; ``None`` stands for what is not there."""

    name: str
    schema_owner: str | None
    may_use_schema: bool | None
    oid: int | None
    kind: str | None
    owner: str | None
    is_updatable: bool | None


@dataclass(frozen=True)
class Column:
    """A column that is declared: its type as it is below domains, and what the role may do.

    ``quoted`` is its name as SQL has it. The type's own name, and schema, are those of an array's elements.
    """

    name: str
    quoted: str
    type: str
    type_schema: str
    type_name: str
    is_type_visible: bool
    may_use_type: bool
    is_not_null: bool
    may_select: bool
    may_update: bool


class Use(StrEnum):
    """What an index is wanted for."""

    KEY = "key"
    ANY = "any"
    RANGE = "range"
    PREFIX = "prefix"
    CONTAINS = "contains"


@dataclass(frozen=True)
class Index:
    """Whether a usable index, valid and of all rows, is of use; and what is in its first column."""

    # Names of columns that it must begin with.
    columns: tuple[str, ...]
    use: Use
    # How many tables (the partitions, of a partitioned one) have none.
    lacking: int
    # Names of indexes that the server does not use yet, or never will.
    invalid: tuple[str, ...]
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
class Own:
    """The app's own tables: what the role may do with each, and their version.

    The version is that of the migrations applied; ``None`` when this session cannot read it.
    """

    privileges: Mapping[tuple[str, str], bool | None]
    # The columns of each that is there, with their types.
    found: Found
    version: int | None


@dataclass(frozen=True)
class Facts:
    """All there is to know of a declared table before judging it."""

    table: Table
    role: Role
    relation: Relation
    columns: Mapping[str, Column]
    indexes: Mapping[tuple[tuple[str, ...], Use], Index]
    key: Key
    # Looked at where the catalogues cannot say what the keys are like; else, or if that failed, ``None``.
    seen: Seen | None
    own: Own
    # Schemas and names of tables that have its columns; looked for when the one named is not there.
    similar: list[tuple[str, str]]

    @property
    def has_key(self) -> bool:
        """Whether every column of the key is there."""
        return all(name in self.columns for name in self.table.key_names)

    @property
    def quoted_key(self) -> str:
        """The columns of the key as SQL has them in a list, as far as they are there."""
        return ", ".join(self.columns[name].quoted for name in self.table.key_names if name in self.columns)
