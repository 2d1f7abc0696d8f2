"""The kinds of problem that an error answer names, each with a page of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from lakebase_api.table.declaration import Table


@dataclass(frozen=True)
class ProblemType:
    """A kind of problem. Clients are told to wait for ``retry_after`` to twice as many seconds.

    ``None`` where waiting does not help, also of a 503 that lasts until a person mends it: nobody knows when.
    urllib3 and what is built on it, such as requests, repeat a 503 because it has ``Retry-After``, ten times
    by default; who called would wait for minutes before they hear what has to be done.
    https://urllib3.readthedocs.io/en/stable/reference/urllib3.util.html#urllib3.util.Retry
    """

    slug: str
    status: int
    title: str
    meaning: str
    remedy: str
    retry_after: int | None = None

    @property
    def path(self) -> str:
        """The ``type`` of the problem, a path that answers with its description."""
        return f"/problems/{self.slug}" if self.slug else "about:blank"


MALFORMED = ProblemType(
    "malformed-request",
    400,
    "Bad Request",
    "The request cannot be read, or its path has a key that cannot be one.",
    "Send valid JSON, and a key as the documentation at /docs describes it.",
)
FOREIGN_CURSOR = ProblemType(
    "foreign-cursor",
    400,
    "Foreign Cursor",
    "The cursor is not one of this list, of these filters, in this order; or the service has started since.",
    "Give the cursor of an earlier answer as it was, with the same filters and sort, or begin without one.",
)
UNAUTHENTICATED = ProblemType(
    "unauthenticated",
    401,
    "Unauthenticated",
    "The service does not know who calls, or does not accept what was sent to say so.",
    "Send an API key, or a token of the identity provider, as Authorization: Bearer …; `detail` says more.",
)
FORBIDDEN = ProblemType(
    "forbidden",
    403,
    "Forbidden",
    "The caller is known, and lacks a right that this needs.",
    "Ask whoever runs the service for the right that `detail` names; /me lists those you have.",
)
STATUS_WRITES_OFF = ProblemType(
    "status-writes-off",
    403,
    "Status Changes Are Off",
    "This service does not change rows of this table.",
    "Whoever runs the service decides: STATUS_WRITES for orders, `writes` in the declaration of others.",
)
OUTSIDE = ProblemType(
    "outside-your-rows",
    403,
    "Outside Your Rows",
    "With this change the row would no longer be one of those that the caller may see.",
    "Ask somebody whose rights are wider to make it; /me says what yours are.",
)
NOT_FOUND = ProblemType(
    "not-found",
    404,
    "Not Found",
    "There is no such path.",
    "Look the path up in /docs.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "Method Not Allowed",
    "The path exists, but not for this method.",
    "Use one of the methods that the Allow header names.",
)
REQUEST_TIMEOUT = ProblemType(
    "request-timeout",
    408,
    "Request Timeout",
    "The request took too long to arrive.",
    "Send it again, all of it at once.",
)
ILLEGAL_TRANSITION = ProblemType(
    "illegal-transition",
    409,
    "Illegal Transition",
    "The value that the row has now may not be changed to this one.",
    "Ask for one of those that `detail` names.",
)
NOT_WITHDRAWABLE = ProblemType(
    "not-withdrawable",
    409,
    "Not Withdrawable",
    "Changes are made in the table itself: no earlier value is kept that could be shown again.",
    "Change the value back to what it was: the history of the row has it.",
)
STILL_RUNNING = ProblemType(
    "still-running",
    409,
    "Still Running",
    "The first request with this Idempotency-Key has not ended yet.",
    "Send the request again after the seconds of Retry-After, to get the answer of the first.",
    retry_after=1,
)
PRECONDITION_FAILED = ProblemType(
    "precondition-failed",
    412,
    "Precondition Failed",
    "No ETag in If-Match is the one of the row: it has changed since, or was altered on its way.",
    "Get the row, decide again, and send the change with the ETag it has now. A proxy that compresses may "
    "have marked that with W/ before it or -gzip at its end: leave the mark out.",
)
TOO_LARGE = ProblemType(
    "content-too-large",
    413,
    "Content Too Large",
    "The body is larger than the service reads.",
    "Send at most 64 KiB.",
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "Unsupported Media Type",
    "The body is not of a media type that the path takes.",
    "Send JSON with Content-Type: application/json.",
)
INVALID = ProblemType(
    "invalid-request",
    422,
    "Unprocessable Content",
    "A parameter or a field of the body has a value, or a name, that is not allowed.",
    "Correct what `errors` lists, by place and name.",
)
KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "Idempotency Key Reused",
    "The Idempotency-Key was used for another path or body in the last 24 hours.",
    "Take a new key for each change.",
)
PRECONDITION_REQUIRED = ProblemType(
    "precondition-required",
    428,
    "Precondition Required",
    "A change must say in If-Match which version of the row it was made from.",
    "Get the row, and send its ETag in If-Match.",
)
QUOTA_EXCEEDED = ProblemType(
    "quota-exceeded",
    429,
    "Quota Exceeded",
    "The caller has used up what it may ask for within a time; `violated-policies` names the quota.",
    "Try again after the seconds of Retry-After; RateLimit says in each answer how much is left.",
    retry_after=1,
)
INTERNAL = ProblemType(
    "internal-error",
    500,
    "Internal Server Error",
    "The service has a bug.",
    "Report the request_id to whoever runs the service: the log has the rest.",
)
DATABASE_UNAVAILABLE = ProblemType(
    "database-unavailable",
    503,
    "Database Unavailable",
    "The database is away, waking up, failing over or refusing logins.",
    "Try again after the seconds of Retry-After; the service reconnects by itself.",
    retry_after=2,
)
AUTHENTICATION_UNAVAILABLE = ProblemType(
    "authentication-unavailable",
    503,
    "Authentication Unavailable",
    "What was sent to say who calls cannot be checked now: the API keys, or the keys of the identity "
    "provider, cannot be had.",
    "Try again after the seconds of Retry-After.",
    retry_after=2,
)
POOL_EXHAUSTED = ProblemType(
    "pool-exhausted",
    503,
    "Too Many Requests At Once",
    "All database connections were in use for as long as the request could wait.",
    "Try again after the seconds of Retry-After, with fewer requests at once.",
    retry_after=1,
)
EXPORTS_BUSY = ProblemType(
    "exports-busy",
    503,
    "Too Many Exports At Once",
    "The limit of exports at the same time is reached, or no connection for exports became free.",
    "Try again after the seconds of Retry-After.",
    retry_after=5,
)
EXPORT_UNFINISHED = ProblemType(
    "export-unfinished",
    503,
    "Export Unfinished",
    "The export had to end before it found its first row.",
    "Go on with `cursor` as the key that `detail` names.",
    retry_after=1,
)
NOT_YET_SYNCED = ProblemType(
    "not-yet-synced",
    503,
    "Not Yet Synced",
    "The table does not have the version of its source that was asked for, or is not known to have it.",
    "Try again after the seconds of Retry-After; /<table>/freshness says how far the copy is.",
    retry_after=5,
)
CONFLICT = ProblemType(
    "transaction-conflict",
    503,
    "Transaction Conflict",
    "Another change of the same rows got in the way, and nothing was changed.",
    "Send the request again.",
    retry_after=1,
)
OUTCOME_UNKNOWN = ProblemType(
    "outcome-unknown",
    503,
    "Outcome Unknown",
    "The connection to the database was lost during the change: it may have been made, or not.",
    "Get the row, and send the change again if it was not made.",
    retry_after=2,
)
NOT_SET_UP = ProblemType(
    "database-not-set-up",
    503,
    "Database Not Set Up",
    "The service lacks a grant, or the table is missing or is not as it was declared.",
    "Whoever runs the service finds what mends it in the log, or with `python -m lakebase_api doctor`.",
)
CHANGES_NOT_SET_UP = ProblemType(
    "status-changes-not-set-up",
    503,
    "Status Changes Not Set Up",
    "The tables that keep changes are missing, or not granted to the service's role.",
    "Whoever runs the service runs `python -m lakebase_api doctor`, which says what is missing, "
    "or `python -m lakebase_api setup`.",
)
DEADLINE = ProblemType(
    "deadline-exceeded",
    504,
    "Deadline Exceeded",
    "The database took longer than a statement may.",
    "Ask for less at a time, or try again later.",
)
NOT_KEPT = ProblemType(
    "not-in-memory",
    504,
    "Not in Memory",
    "There is no answer in memory that would do, and the request has Cache-Control: only-if-cached.",
    "Leave only-if-cached out, or say with max-stale how old the answer may be.",
)

# In the order in which they stand above.
COMMON_TYPES = tuple(kind for kind in tuple(vars().values()) if isinstance(kind, ProblemType))


def build_not_found(table: Table) -> ProblemType:
    """That no row of the table has a key."""
    one = table.one.replace("_", " ")
    return ProblemType(
        f"{table.one.replace('_', '-')}-not-found",
        404,
        f"{one.title()} Not Found",
        f"No {one} has this key.",
        f"Take a key from /{table.name}/sample or /{table.name}/stream.",
    )


def list_problem_types(tables: Sequence[Table]) -> dict[str, ProblemType]:
    """Every kind of problem of a service that serves these tables, by its slug."""
    kinds = list(COMMON_TYPES)
    place = kinds.index(NOT_FOUND) + 1
    kinds[place:place] = map(build_not_found, tables)
    return {kind.slug: kind for kind in kinds}
