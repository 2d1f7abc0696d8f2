"""Pages for people: what they are made of, what may run in them, and who gets them in place of JSON."""

from urllib.parse import quote

from flask import Blueprint, Flask, Response, render_template, request

from lakebase_api.http.json_response import JSON
from lakebase_api.http.links import find_origin, find_prefix
from lakebase_api.http.negotiation import negotiate

HTML = "text/html"
ASSETS = "pages"
# Nothing may run or be loaded that is not of this host, no other page may show these, and none may send a
# form anywhere. https://www.w3.org/TR/CSP3/
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS_POLICY = "default-src 'none'; frame-ancestors 'none'"
# Java's own client names HTML first, in every request that does not say otherwise, and is no browser.
# https://github.com/openjdk/jdk/blob/master/src/java.base/share/classes/sun/net/www/protocol/http/HttpURLConnection.java
OF_JAVA = "text/html, image/gif, image/jpeg"


def register_pages(app: Flask) -> None:
    """Serve what the pages are made of."""
    assets = Blueprint(ASSETS, __name__, static_folder="static", static_url_path=f"/{ASSETS}")
    assets.after_request(lambda response: protect(response, ASSETS_POLICY))
    app.register_blueprint(assets)


def prefers_page() -> bool:
    """Whether the current request is one of a browser that is to show the answer."""
    accept = request.environ.get("HTTP_ACCEPT", "")
    return not accept.startswith(OF_JAVA) and negotiate(JSON, HTML) == HTML


def answer_page(template: str, **values: object) -> Response:
    """The page of a template, with these values in it.

    Its links are below ``root``: relative ones, so that they hold behind proxies that say nothing of the path
    they serve it below; absolute where they do, since they may leave out the slash behind that path. ``base``
    is where clients reach the service, for people to copy.
    """
    environ, prefix = request.environ, find_prefix()
    root = "../" * (environ["PATH_INFO"].count("/") - 1)
    if prefix:
        root = f"{quote(environ['SCRIPT_NAME'].encode('latin-1'))}/"
    page = render_template(template, root=root, base=find_origin() + prefix, **values)
    return protect(Response(page, mimetype=HTML), PAGE_POLICY)


def protect(response: Response, policy: str) -> Response:
    """The response, shown in no page of others and running nothing but what the policy allows."""
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Frame-Options"] = "DENY"  # for browsers that do not know frame-ancestors
    return response
