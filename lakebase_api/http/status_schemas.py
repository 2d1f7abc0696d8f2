"""What is answered of how the service is doing, as the document has it."""

from typing import Any

from marshmallow import Schema, fields

from lakebase_api.http.fingerprints import FingerprintsSchema
from lakebase_api.telemetry.sentence import Condition

ROUTE = "Its method and its path, as the document has it."


def _number(meaning: str, example: float, *, may_be_null: bool = False) -> fields.Float:
    metadata = {"description": meaning, "example": example}
    return fields.Float(required=True, allow_none=may_be_null, metadata=metadata)


def _whole(meaning: str, example: int) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": meaning, "example": example})


def _text(meaning: str, example: str, *, may_be_null: bool = False) -> fields.String:
    metadata = {"description": meaning, "example": example}
    return fields.String(required=True, allow_none=may_be_null, metadata=metadata)


def _one(schema: type[Schema], meaning: str, **more: Any) -> fields.Nested:
    return fields.Nested(schema, metadata={"description": meaning}, **more)


def _several(schema: type[Schema], meaning: str) -> "fields.List[Any]":
    return fields.List(fields.Nested(schema), required=True, metadata={"description": meaning})


def _seconds(meaning: str) -> "fields.List[Any]":
    item = fields.Float(allow_none=True, metadata={"example": 0.004})
    return fields.List(item, required=True, metadata={"description": meaning})


def _numbers(meaning: str) -> "fields.List[Any]":
    item = fields.Integer(metadata={"example": 120})
    return fields.List(item, required=True, metadata={"description": meaning})


class ServerPoolSchema(Schema):
    """Connections of a worker's pool."""

    open = _whole("Those that are open.", 5)
    in_use = _whole("Those that a request has now.", 3)
    most = _whole("As many as there may be.", 17)
    waiting = _whole("Requests that wait for one.", 0)


class ServerConnectsSchema(Schema):
    """How connecting to the database goes."""

    has_connected = fields.Boolean(required=True, metadata={"example": True})
    away_seconds = _number("Since when the database is away; `null` if it is not.", 12.5, may_be_null=True)
    fault = _text("Why the last attempt failed.", "the host cannot be found", may_be_null=True)
    wakes = _whole("How often the database came back after it had been away.", 2)
    quiet_seconds = _number("Since when nobody has asked for a connection.", 3.2)


class ServerTokenSchema(Schema):
    """The token that logs in to the database."""

    seconds_left = _number("How long it is still good for.", 2280, may_be_null=True)
    life = _number("How long it was good for when it was new.", 3600, may_be_null=True)
    minted = _whole("How often there was a new one.", 4)
    fault = _text("Why there is none.", "the workspace gave no token at the last try", may_be_null=True)


class ServerWorkerSchema(Schema):
    """A worker. Of one that does not answer there is nothing but its number."""

    number = _whole("From 0 on; the one that takes its place has the same.", 0)
    is_silent = fields.Boolean(required=True, metadata={"description": "It does not answer."})
    pid = fields.Integer(metadata={"example": 4711})
    up_seconds = fields.Float(metadata={"example": 86400})
    is_draining = fields.Boolean(metadata={"description": "It is stopping."})
    pool = _one(ServerPoolSchema, "Its connections.")
    connects = _one(ServerConnectsSchema, "How connecting goes.")
    token = _one(ServerTokenSchema, "`null` where a password logs in.", allow_none=True)


class ServerCountsSchema(Schema):
    """Answers, and the seconds within which half, 95 % and 99 % of them were given."""

    requests = _whole("How many.", 1200)
    refused = _whole("Those with a status from 400 to 499.", 3)
    failed = _whole("Those with a status from 500 on.", 0)
    p50 = _number("`null` where there were none.", 0.003, may_be_null=True)
    p95 = _number("`null` where there were none.", 0.012, may_be_null=True)
    p99 = _number("`null` where there were none.", 0.041, may_be_null=True)


class ServerRouteSchema(ServerCountsSchema):
    """The same of one method of a path."""

    route = _text(ROUTE, "GET /orders/{order_key}")


class ServerTrafficSchema(Schema):
    """The last 15 minutes in parts, the oldest first."""

    part_seconds = _number("Of one part.", 15)
    last_seconds = _number("Those of the last part that are over.", 7.2)
    requests = _numbers("How many there were.")
    refused = _numbers("Those answered with a status from 400 to 499.")
    failed = _numbers("Those answered with a status from 500 on.")
    p50 = _seconds("Within which half of the answers were given; `null` where there were none.")
    p95 = _seconds("The same of 95 %.")
    p99 = _seconds("The same of 99 %.")
    total = _one(ServerCountsSchema, "All of it.", required=True)


class ServerCallerSchema(Schema):
    """A caller in the last 15 minutes."""

    subject = _text("What rights and limits know them by.", "key:billing")
    requests = _whole("How often they asked.", 812)
    limited = _whole("How often they were refused for asking too often.", 0)


class ServerProblemSchema(Schema):
    """An answer that was a problem."""

    at = _text("When.", "2026-11-22T10:00:00.123+00:00")
    status = _whole("Of the answer.", 503)
    problem = _text("Its kind: `/problems/<kind>` explains it.", "pool-exhausted")
    route = _text(ROUTE, "GET /orders/{order_key}")
    subject = _text("Who asked.", "key:billing")
    request_id = _text("As the log and the answer have it.", "0b6ff4f5-5c55-4a0e-a1a7-7ee1a3a2a6f4")


class ServerExportSchema(Schema):
    """An export under way."""

    table = _text("Of which table.", "orders")
    subject = _text("For whom.", "key:billing")
    request_id = _text("Of which request.", "0b6ff4f5-5c55-4a0e-a1a7-7ee1a3a2a6f4")
    rows = _whole("Sent so far.", 150000)
    seconds = _number("Since it began.", 4.2)
    worker = _whole("The number of the worker that sends it.", 0)


class ServerStatusSchema(Schema):
    at = _text("When this was put together.", "2026-11-22T10:00:00.123+00:00")
    version = _text("Of the service.", "1.0.0")
    fingerprints = _one(FingerprintsSchema, "What must be the same on every host.", required=True)
    condition = fields.String(
        required=True, metadata={"enum": list(Condition), "description": "How the database is."}
    )
    sentence = _text("The same for people.", "Awake: 5 of 30 connections in use; token good for 38 min.")
    workers = _several(ServerWorkerSchema, "All of this server.")
    traffic = _one(ServerTrafficSchema, "Requests and how long they took.", required=True)
    routes = _several(ServerRouteSchema, "Those with the most requests first.")
    callers = _several(ServerCallerSchema, "The ten who asked most.")
    limited = _several(ServerCallerSchema, "The ten who were refused most often for asking too often.")
    problems = _several(ServerProblemSchema, "The last 20, the newest first.")
    exports = _several(ServerExportSchema, "Those under way.")
    freshness = fields.Dict(
        required=True, metadata={"description": "By table, how fresh its data is, where that is known."}
    )
    cache = fields.Dict(
        required=True, metadata={"description": "Of results, where they are kept: hits, bytes and the like."}
    )
