"""How changes of a table are called: names of schemas and operations, messages, and reasons to refuse."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from lakebase_api.http import problem_types as kinds
from lakebase_api.http.problem_types import ProblemType, build_not_found
from lakebase_api.http.resource import FIRST, Resource
from lakebase_api.sql.change_request import ItemResult, Outcome
from lakebase_api.sql.change_transitions import NULL
from lakebase_api.table.collisions import OWN_PREFIX
from lakebase_api.table.declaration import Column, Table

REFUSALS: dict[Outcome, ProblemType] = {
    Outcome.UNCONDITIONAL: kinds.PRECONDITION_REQUIRED,
    Outcome.STALE: kinds.PRECONDITION_FAILED,
    Outcome.ILLEGAL: kinds.ILLEGAL_TRANSITION,
    Outcome.OUTSIDE: kinds.OUTSIDE,
}


class ShortForm(NamedTuple):
    """The only column that may change, in a history that names it by its path."""

    column: Column
    path: str


class ChangeTexts:
    """The words for one table. Immutable."""

    def __init__(self, resource: Resource) -> None:
        self.table: Table = resource.table
        self._is_first = self.table.name == FIRST
        self.schema = resource.name_schema
        self.row = self.table.one.replace("_", " ")
        self.a_row = f"{'an' if self.row[0] in 'aeiou' else 'a'} {self.row}"

    @cached_property
    def operations(self) -> "OperationTexts":
        """The words of the document."""
        return OperationTexts(self)

    @property
    def off(self) -> str:
        """That nothing is changed."""
        if self._is_first:
            return "This service does not change the status of orders."
        return f"This service does not change {self.table.name.replace('_', ' ')}."

    @property
    def short_form(self) -> ShortForm | None:
        """Of the table that was there first: its history is older than those of several columns."""
        [column, *others] = self.table.changeable
        return ShortForm(column, path_of(column)) if self._is_first and not others else None

    @property
    def not_found(self) -> ProblemType:
        """That there is no such row."""
        return build_not_found(self.table)

    def beside(self, name: str) -> str:
        """What a member of ours is called, beside columns: one of them may have its name."""
        taken = (*self.table.key, *self.table.changeable)
        return f"{OWN_PREFIX}{name}" if any(column.name == name for column in taken) else name

    def schema_of(self, column: Column, name: str) -> str:
        """The name of a component that is of one column."""
        path = "".join(part.capitalize() for part in path_of(column).replace("-", "_").split("_"))
        if self.short_form:
            return f"{path}{name}" if name in ("Update", "") else name
        return self.schema(f"{path}{name}")

    def label(self, column: Column) -> str:
        """What a column is called in sentences."""
        return path_of(column) if self._is_first else column.name

    def takes_null(self, column: Column) -> bool:
        """Whether the column may be changed to NULL. A status of the first table is one of its values."""
        return column.may_be_null and not (self._is_first and column.values)

    def updated(self, columns: Sequence[Column]) -> str:
        """That they were changed."""
        return f"{self._begin(columns)} updated successfully"

    def withdrawn(self, columns: Sequence[Column]) -> str:
        """That their change was withdrawn."""
        return f"{self._begin(columns)} change withdrawn"

    def unknown(self, key: Sequence[str]) -> str:
        """That there is no such row."""
        return f"There is no {self.row} {'/'.join(key)}."

    def refusal(self, item: ItemResult) -> ProblemType | None:
        """Why the item was refused, if it was."""
        return self.not_found if item.outcome is Outcome.UNKNOWN else REFUSALS.get(item.outcome)

    def explain(self, item: ItemResult) -> str:
        """Why the item was refused, for the client to read."""
        if item.outcome is Outcome.UNKNOWN:
            return self.unknown(item.key)
        if item.outcome is Outcome.ILLEGAL and item.illegal:
            return self._explain_transitions(item, self.table.by_name[item.illegal])
        if item.outcome is Outcome.OUTSIDE:
            key = "/".join(item.key)
            return f"With this {self.row} {key} would be none of those that you may see."
        if item.outcome is Outcome.UNCONDITIONAL:
            return f"A change must say in If-Match which version of the {self.row} it was made from."
        return (
            f"No ETag in If-Match is that of the {self.row}: it has changed since, or the ETag is not as the "
            "service sent it."
        )

    def not_withdrawable(self, column: Column) -> str:
        """That there is nothing to show in the place of the column's value."""
        return (
            f"The {self.label(column)} is changed in the {self.table.name} table itself: no earlier one is "
            "kept that could be shown again."
        )

    def _explain_transitions(self, item: ItemResult, column: Column) -> str:
        now = NULL if (value := item.values[column.name]) is None else value
        transitions = column.change.transitions if column.change else ()
        allowed = [then for before, then in transitions if before == now]
        named = f"only to {' or '.join(allowed)}" if allowed else "no more"
        key = "/".join(item.key)
        return f"The {self.label(column)} of {self.row} {key} is {now} and may change {named}."

    def _begin(self, columns: Sequence[Column]) -> str:
        return f"{self.row.capitalize()} {', '.join(map(self.label, columns))}"


class OperationTexts:
    """The operations' names, and what the document says of each: a summary and a description."""

    def __init__(self, texts: ChangeTexts) -> None:
        table = texts.table
        self._label, self._columns = texts.label, table.changeable
        self._table = table.name.replace("_", " ")
        self._name = table.one
        self._a = texts.a_row
        only = self._label(self._columns[0]) if len(self._columns) == 1 else ""
        self.patch, self.history = f"patch_{table.one}", f"get_{table.one}_history"
        which = (
            f"Only the {only} can be changed."
            if only
            else f"{', '.join(map(self._label, self._columns))} can be changed, as many of them as one likes "
            "in one version."
        )
        self.describe_patch = f"Change {self._a}.\n\nA JSON merge patch (RFC 7396). {which}"
        whose = f"{self._a}'s {only}" if only else self._a
        self.describe_history = (
            f"List the changes of {whose}.\n\nThe newest first, also of {self._a} that is gone."
        )

    def update(self, column: Column) -> str:
        """Of the change of a column."""
        return f"update_{self._name}_{_spell_path(column)}"

    def withdraw(self, column: Column) -> str:
        """Of its withdrawal."""
        return f"withdraw_{self._name}_{_spell_path(column)}"

    def update_many(self, column: Column) -> str:
        """Of the change of many rows."""
        path = _spell_path(column)
        return f"update_{self._name}_{path}{'es' if path.endswith('s') else 's'}"

    def describe_update(self, column: Column) -> str:
        """What a change does."""
        label = self._label(column)
        again = "status" if label == "status" else "value"
        return f"Change the {label} of {self._a}.\n\nThe same {again} again changes nothing and answers 200."

    def describe_withdrawal(self, column: Column) -> str:
        """What a withdrawal does."""
        label = self._label(column)
        return (
            f"Withdraw the change of {self._a}'s {label}.\n\nThe {label} of the {self._table} table shows "
            "again, and the history keeps what was. Where nothing was changed\nnothing happens."
        )

    def describe_batch(self, column: Column) -> str:
        """What a batch does."""
        return (
            f"Change the {self._label(column)} of up to 1,000 {self._table}.\n\nIn one transaction. When one "
            "of them is refused none is changed, and the problem lists the first of those\nin `errors`; with "
            "`atomic=false` the others are changed, and the answer says what became of each. The body\n"
            "may have 64 KiB."
        )


def _spell_path(column: Column) -> str:
    return path_of(column).replace("-", "_")


def path_of(column: Column) -> str:
    """Where a column is changed, below its row."""
    assert column.change is not None
    return column.change.path
