"""The types of PostgreSQL that no column can be served as, and what can be done instead."""

import re

GEOMETRY = "a view can have it as text, or as jsonb by ST_AsGeoJSON(…)::jsonb"
TEXT = "a view can have it as text, by ::text"
# A pattern of names, what they are, and the way out.
UNSERVED = (
    (r"interval.*", "an interval has no one form", "a view can have its seconds, by extract(epoch FROM …)"),
    (r"\w+(range|multirange)", "a range is two values", "a view can have them, by lower(…) and upper(…)"),
    (r"money", "what money prints depends on the server", "a view can have it as numeric, by ::numeric"),
    (r"xml", "xml cannot be compared", TEXT),
    (
        r"(point|line|lseg|box|path|polygon|circle|geometry|geography|box2d|box3d)(\(.*\))?",
        "geometry is not served",
        GEOMETRY,
    ),
    (
        r"timetz(\(\d\))?|time(\(\d\))? with time zone",
        "a time of day with a zone has no day to tell summer time by",
        "use timestamptz or time",
    ),
    (r"tsvector|tsquery", "what is made for text search is not served", TEXT),
    (r"inet|cidr|macaddr8?", "addresses of networks are not served", TEXT),
    (r"bit(\(\d+\))?|varbit(\(\d+\))?|bit varying(\(\d+\))?", "strings of bits are not served", TEXT),
    (r"hstore", "hstore is not served", "a view can have it as jsonb, by to_jsonb(…)"),
    (r"citext", "citext is an extension's", TEXT),
    (r"(small|big)?serial", "serial is no type of a column", "say smallint, integer or bigint"),
    (r"record|row\(.*\)", "a composite is several values", "a view can have its parts as columns"),
    (
        r"oid|reg\w+|xid8?|cid|tid|pg_lsn|pg_snapshot|name|\"char\"|txid_snapshot",
        "types of the system's catalogues are not served",
        TEXT,
    ),
)


def explain_refusal(name: str) -> str | None:
    """Why a type of that name is not served, and the way out, in a sentence; ``None`` if it may be one."""
    for pattern, reason, way_out in UNSERVED:
        if re.fullmatch(rf"(pg_catalog\.)?({pattern})", name):
            return f"{reason}; {way_out}."
    return None
