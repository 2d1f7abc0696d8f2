"""The front page, and a page for each kind of problem: in JSON, and for people in a browser."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from flask import Blueprint, Flask, Response

from lakebase_api import __version__
from lakebase_api.access.rights import Action, Rights
from lakebase_api.http import problem_types as kinds
from lakebase_api.http.base_path import API_BASE
from lakebase_api.http.json_response import answer_json
from lakebase_api.http.links import find_prefix
from lakebase_api.http.negotiation import VARY
from lakebase_api.http.pages import answer_page, prefers_page
from lakebase_api.http.problem_types import ProblemType
from lakebase_api.http.problems import CONTENT_TYPE, Problem
from lakebase_api.http.request_context import current_exchange
from lakebase_api.http.service_name import describe_service, name_service
from lakebase_api.http.validation import refuse_query
from lakebase_api.table.declaration import Table


def register_home(
    app: Flask, tables: Sequence[Table], problem_types: Mapping[str, ProblemType], rights: Rights
) -> None:
    """Serve ``/`` and ``/problems``: to browsers pages, and to programs JSON."""
    home = Blueprint("home", __name__, template_folder="templates")
    # Whoever leads a browser here may add parameters of their own, as a workspace does.
    home.before_request(lambda: None if prefers_page() else refuse_query())
    front_page = _describe_front_page(tables)
    home.after_request(partial(_answer_people, front_page["name"]))
    problems = {slug: _describe(kind) for slug, kind in problem_types.items()}

    @home.get("/")
    def show_home() -> Response:
        """What this is, and where to go."""
        caller, prefix = current_exchange().caller, find_prefix()
        readable = [table for table in tables if rights.find_access(caller, table, Action.READ) is not None]
        if prefers_page():
            return answer_page("home.html", **front_page, tables=readable, caller=caller)
        links = {name: prefix + path for name, path in _list_links(readable).items()}
        return answer_json({**front_page, "links": links})

    @home.get("/problems")
    def list_problems() -> Response:
        """Every kind of problem."""
        if prefers_page():
            return answer_page("problems.html", name=front_page["name"], kinds=problem_types.values())
        return answer_json({"problems": list(problems.values())})

    @home.get("/problems/<slug>")
    def show_problem(slug: str) -> Response:
        """What a kind of problem means and what to do."""
        if slug not in problems:
            raise Problem(kinds.NOT_FOUND, "There is no such kind of problem; /problems lists them.")
        if prefers_page():
            return answer_page("problem.html", name=front_page["name"], kind=problem_types[slug])
        return answer_json(problems[slug])

    app.register_blueprint(home)


def _answer_people(name: str, response: Response) -> Response:
    """The response; a page in its place if it is a problem and a browser asked."""
    response.headers.add(*VARY)
    if response.mimetype == CONTENT_TYPE and prefers_page():
        problem = msgspec.json.decode(response.get_data())
        page = answer_page("refusal.html", name=name, problem=problem)
        response.set_data(page.get_data())
        response.headers.update(page.headers)
    return response


def _describe_front_page(tables: Sequence[Table]) -> dict[str, str]:
    return {
        "name": name_service(tables),
        "version": __version__,
        "description": f"{describe_service(tables)} over HTTP.",
    }


def _list_links(tables: Sequence[Table]) -> dict[str, str]:
    return {
        "documentation": "/docs",
        "openapi": "/openapi.json",
        **{table.name: f"/{table.name}/stream" for table in tables},
        "health": "/health",
        "problems": "/problems",
        "bearer_token_base": API_BASE,
    }


def _describe(kind: ProblemType) -> dict[str, str | int]:
    return {
        "type": kind.path,
        "title": kind.title,
        "status": kind.status,
        "meaning": kind.meaning,
        "what_to_do": kind.remedy,
    }
