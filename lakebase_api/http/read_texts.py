"""What the document says of the operations that read a table: a summary each, and a description."""

from lakebase_api.table.declaration import Table

COUNT = """Count the {rows}, or those that the filters let through.

Exactly if that is quick, and once for all who ask within seconds; else the number is the database's
estimate, until an exact count that goes on meanwhile is done. `accuracy` and `as_of` say which it is.
"""
SAMPLE = """Draw five random {row} keys, of all {rows} or of those that the filters let through.

Others at each call, and fast on any table.{gaps}
"""
GAPS = """ Keys after a gap in the keys are drawn more often, unless the
filters leave few {rows}."""
GET = """Get one {row}.

Its ETag is that of the whole {row}, whichever fields are asked for.
"""
SEVERAL = """Get several {rows} by their keys.

In the order in which they are asked for; `missing` has the keys of which there is none.
"""
PAGES = """List {rows} by page number.

In the order of the keys unless `sort` says otherwise. The further a page is from both ends of a large
table, the longer it takes; `{path}/stream` takes the same everywhere, and is the better choice to read
more than a few pages in turn.
"""
STREAM = """List the {rows} after a cursor.

In the order of the keys unless `sort` says otherwise, equally fast at any depth. Follow `next_cursor` for
the next page and `previous_cursor` for the page before, or rather the `links`, which need no reading;
`null` where there is none.
"""


def name_rows(table: Table) -> str:
    """The part of an operation's name that is of many rows."""
    return table.name.replace("-", "_")


def write_text(text: str, table: Table) -> str:
    """A text in the words of a table."""
    words = {
        "row": table.one.replace("_", " "),
        "rows": name_rows(table).replace("_", " "),
        "path": f"/{table.name}",
    }
    return text.format(gaps=GAPS.format(**words) if table.has_integer_key else "", **words)
