"""The front page, and a page for each kind of problem."""

from flask import Blueprint, Flask, Response

from lakebase_api import __version__
from lakebase_api.web import problem_types as kinds
from lakebase_api.web.answers import answer_json
from lakebase_api.web.base_path import API_BASE
from lakebase_api.web.problem_types import PROBLEM_TYPES, ProblemType
from lakebase_api.web.problems import Problem
from lakebase_api.web.validation import refuse_query

home = Blueprint("home", __name__)
home.before_request(refuse_query)


def register_home(app: Flask) -> None:
    """Serve ``/`` and ``/problems``."""
    app.register_blueprint(home)


@home.get("/")
def show_home() -> Response:
    """What this is, and where to go."""
    links = {
        "documentation": "/docs",
        "openapi": "/openapi.json",
        "orders": "/orders/stream",
        "health": "/health",
        "problems": "/problems",
        "bearer_token_base": API_BASE,
    }
    return answer_json(
        {
            "name": "Lakebase Orders API",
            "version": __version__,
            "description": "Orders of a Databricks Lakebase database over HTTP.",
            "links": links,
        }
    )


@home.get("/problems")
def list_problems() -> Response:
    """Every kind of problem."""
    return answer_json({"problems": [_describe(kind) for kind in PROBLEM_TYPES.values()]})


@home.get("/problems/<slug>")
def show_problem(slug: str) -> Response:
    """What a kind of problem means and what to do."""
    if slug not in PROBLEM_TYPES:
        raise Problem(kinds.NOT_FOUND, "There is no such kind of problem; /problems lists them.")
    return answer_json(_describe(PROBLEM_TYPES[slug]))


def _describe(kind: ProblemType) -> dict[str, str | int]:
    return {
        "type": kind.path,
        "title": kind.title,
        "status": kind.status,
        "meaning": kind.meaning,
        "what_to_do": kind.remedy,
    }
