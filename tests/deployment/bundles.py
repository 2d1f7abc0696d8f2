"""What can be told of a Databricks Asset Bundle without the CLI and without a workspace."""

import copy
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ruamel.yaml import YAML

from lakebase_api.table.declaration import Table

REFERENCE = re.compile(r"\$\{([^}]*)\}")
# What the CLI knows by itself, of what is used here.
OF_THE_CLI = ("bundle.name", "bundle.target", "workspace.current_user.userName")

Path = tuple[str | int, ...]


def read_yaml(text: str) -> Any:
    """A document of YAML 1.2, in which `on` and `no` are texts. Refuses a key that is there twice."""
    return YAML(typ="safe", pure=True).load(text)


def walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Each value of a document with its path, the document itself first."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from walk(item, (*path, key))


def find_references(bundle: dict[str, Any]) -> dict[Path, list[str]]:
    """What the texts refer to, such as ``var.name``, by their path."""
    return {
        path: found
        for path, value in walk(bundle)
        if isinstance(value, str) and (found := REFERENCE.findall(value))
    }


def find_dangling(bundle: dict[str, Any]) -> list[str]:
    """References to what is not there."""
    return [
        f"{'.'.join(map(str, path))}: {reference}"
        for path, found in find_references(bundle).items()
        for reference in found
        if not _is_there(bundle, reference)
    ]


def _is_there(bundle: dict[str, Any], reference: str) -> bool:
    match reference.split("."):
        case ["var", name]:
            return name in bundle["variables"]
        case ["resources", kind, key, attribute]:
            resource = bundle["resources"].get(kind, {}).get(key, {})
            return bool(resource) and (attribute == "id" or attribute in resource)
        case _:
            return reference in OF_THE_CLI


def resolve(bundle: dict[str, Any], target: str, **given: str) -> dict[str, Any]:
    """The bundle of a target, with variables and attributes of resources put in; an `id` stays a reference.

    ``given`` are the variables of the command line. A variable that has no value at all is a ``KeyError``.
    """
    chosen = bundle["targets"][target]
    defaults = {name: variable.get("default") for name, variable in bundle["variables"].items()}
    variables = defaults | chosen.get("variables", {}) | given
    missing = [name for name, value in variables.items() if value is None]
    if missing:
        raise KeyError(", ".join(missing))
    merged = _merge(bundle, {key: chosen[key] for key in chosen if key in ("resources", "workspace")})
    fixed: dict[str, str] = {"bundle.name": merged["bundle"]["name"], "bundle.target": target}

    def find(match: re.Match[str]) -> str:
        match match[1].split("."):
            case ["var", name]:
                return str(variables[name])
            case ["resources", kind, key, attribute] if attribute != "id":
                return put_in(str(merged["resources"][kind][key][attribute]))
        return fixed.get(match[1]) or match[0]

    def put_in(text: str) -> str:
        return REFERENCE.sub(find, text)

    return {key: _map_texts(value, put_in) for key, value in merged.items() if key != "targets"}


def _merge(one: Any, other: Any) -> Any:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return copy.deepcopy(other)
    return one | {key: _merge(one[key], value) if key in one else value for key, value in other.items()}


def _map_texts(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: _map_texts(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_map_texts(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def compare_with_tables(bundle: dict[str, Any], tables: Sequence[Table]) -> list[str]:
    """How synced tables of a resolved bundle differ from declared tables; a line for each mistake.

    A table that is changed directly is none that is synced.
    """
    synced = {
        tuple(declared["synced_table_id"].split(".")[-2:]): declared
        for declared in bundle["resources"].get("postgres_synced_tables", {}).values()
    }
    mistakes = []
    for table in tables:
        if table.writes == "direct":
            continue
        declared = synced.get((table.schema, table.source))
        if declared is None:
            mistakes.append(f"{table.name}: {table.schema}.{table.source} has no synced table in the bundle")
            continue
        keys = declared["primary_key_columns"]
        if set(keys) != set(table.key_names):
            mistakes.append(f"{table.name}: its key is {list(table.key_names)}, and {keys} in the bundle")
        if table.synced_table not in (None, declared["synced_table_id"]):
            mistakes.append(f"{table.name}: is {table.synced_table} or {declared['synced_table_id']}")
    return mistakes
