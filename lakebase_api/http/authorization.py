"""Lets callers do what they have a right to, with what they may see of it.

The answers are those of RFC 6750: https://www.rfc-editor.org/rfc/rfc6750#section-3.1
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NoReturn

from flask import Flask, Response

from lakebase_api.access.authenticator import NO_CREDENTIAL
from lakebase_api.access.caller import Method
from lakebase_api.access.refusals import Unauthenticated
from lakebase_api.access.rights import SERVICE, Action, Audience, Duty, Right, Rights
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.authentication import OPEN, answer_unauthenticated, challenge
from lakebase_api.http.openapi import Document
from lakebase_api.http.operation import DEMAND_KEY, Operation
from lakebase_api.http.problems import build_response
from lakebase_api.http.request_context import current_exchange
from lakebase_api.table.declaration import Table

# What whoever is known may ask for, beside operations that say so themselves.
OF_CALLERS = frozenset({"home.show_home"})

# Gives the operation as the caller of the current request has it, or refuses them.
Admit = Callable[[Operation], Operation]


class Forbidden(Exception):
    """The caller lacks a right. ``says`` which, for the caller to read: ASCII without quotes."""

    def __init__(self, right: Right, says: str) -> None:
        super().__init__(says)
        self.right = right
        self.says = says


# Makes the operations of a table, or of what of it is left to callers to whom columns are hidden.
Build = Callable[[Table], Sequence[Operation]]


class TableOperations:
    """The operations of a table as each caller has them. Safe to share between threads.

    To whom columns are hidden the table is one without them. ``build`` makes the operations of such a table.
    """

    def __init__(self, rights: Rights, table: Table, build: Build) -> None:
        self.all = build(table)
        self.table = table
        self._rights = rights
        self._build = build
        # By the columns that are hidden: as many as there are sets of roles that hide different ones.
        self._narrowed: dict[frozenset[str], Mapping[str, Operation]] = {}

    def admit(self, operation: Operation) -> Operation:
        """The operation as the caller has it. Raises ``Forbidden``."""
        exchange = current_exchange()
        action = Action(operation.needs)
        access = self._rights.find_access(exchange.caller, self.table, action)
        if access is None:
            forbid(Right(self.table.name, action))
        exchange.within = access.rows
        admitted = self._find_narrowed(operation, access.hidden) if access.hidden else operation
        # Looked for here, where the exchange is at hand: to find it again takes longer than all the rest.
        return (admitted.demanding or admitted) if DEMAND_KEY in exchange.environ else admitted

    def _find_narrowed(self, operation: Operation, hidden: frozenset[str]) -> Operation:
        # Two threads that build the same at once do no harm.
        narrowed = self._narrowed.get(hidden) or self._narrow(hidden)
        if operation.name not in narrowed:
            forbid(Right(self.table.name, str(operation.needs)), "The column is hidden from you.")
        return narrowed[operation.name]

    def _narrow(self, hidden: frozenset[str]) -> Mapping[str, Operation]:
        operations = self._build(self.table.hide(hidden))
        self._narrowed[hidden] = narrowed = {operation.name: operation for operation in operations}
        return narrowed


def build_admit(rights: Rights) -> Admit:
    """What admits callers to operations that are of no table."""

    def admit(operation: Operation) -> Operation:
        if isinstance(operation.needs, Duty) and not rights.allows(
            current_exchange().caller, operation.needs
        ):
            forbid(Right(SERVICE, operation.needs))
        return operation

    return admit


def forbid(right: Right, says: str = "") -> NoReturn:
    """Refuse the caller of the current request. Raises ``Forbidden``."""
    raise Forbidden(right, says or f"You lack the right {right}.")


def require_rights(app: Flask, document: Document, *, reads_credentials: bool) -> None:
    """Have every route say who may ask for it. Raises ``LookupError`` for one that does not.

    ``reads_credentials``: callers may say by a key or token who they are.
    """
    declared = {
        f"{name}.{operation.name}": operation.needs
        for name, _, operations in document.parts
        for operation in operations
    }
    is_open = {name for name, needs in declared.items() if needs is Audience.EVERYBODY}
    undeclared = app.view_functions.keys() - declared.keys() - OPEN - OF_CALLERS
    if undeclared or is_open - OPEN:
        raise LookupError(f"nothing says who may ask for {', '.join(sorted(undeclared | (is_open - OPEN)))}")
    app.register_error_handler(Forbidden, partial(_answer_forbidden, reads_credentials))


def _answer_forbidden(reads_credentials: bool, refusal: Forbidden) -> Response:
    """Answer who lacks a right: with 401 who sent nothing, and may have it under another name.

    403 says that what was sent does not suffice, and that to send the same again is of no use; clients take
    out a key or token when they are asked for one, by 401. Where only the proxy says who calls they have
    nothing to send. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.2
    """
    if reads_credentials and current_exchange().caller.method is Method.ANONYMOUS:
        says = f"Who is not known lacks the right {refusal.right}. {NO_CREDENTIAL}"
        return answer_unauthenticated(Unauthenticated(says))
    response = build_response(kinds.FORBIDDEN, refusal.says)
    scope = str(refusal.right)
    response.headers["WWW-Authenticate"] = challenge("insufficient_scope", refusal.says, scope=scope)
    return response
