"""The application: paths, the shape of errors, the page for people."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from producers.store.api.account_routes import AccountRoutes
from producers.store.api.auth import Doorman
from producers.store.api.entrance import Entrance
from producers.store.api.express import Express
from producers.store.api.limits import EVENTS, Guard, RateLimit
from producers.store.api.models import invalid
from producers.store.api.problem_response import internal, respond
from producers.store.api.routes import TransferRoutes
from producers.store.clerk import Clerk
from producers.store.desk import Desk
from producers.store.problems import FieldError, Kind, Problem
from producers.store.settings import ServeSettings

PAGE = Path(__file__).parent / "page"
METHODS = ("GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")  # of the whole Store
STATIC = "/static-offline-docs"
SWAGGER = Path(fastapi_offline.__file__).parent / "static"
DESCRIPTION = """\
Send payments and see what became of them. A `transfer_id` is yours: keep it before
you send, and send the same one again when in doubt; twice the same payment has one
effect.

**202** means that nothing can make us forget it: Kafka (or this Store's journal) has
it. It is not paid yet: the Bank posts it or declines it.

Every error is [problem details](/problems) with a stable `code`.
"""
_OURS = (
    "default-src 'none'; script-src 'self'{more}; style-src 'self'{styles}; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_PAGE_HEADERS = {"Content-Security-Policy": _OURS.format(more="", styles="")}

Observe = Callable[[str, str, int, float], None]


def create_app(
    desk: Desk,
    clerk: Clerk,
    doorman: Doorman,
    settings: ServeSettings,
    observe: Observe = lambda method, route, status, seconds: None,
) -> Guard:
    """The ASGI application; `observe` hears of every request that ended."""
    app = FastAPI(
        title="Once Store",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        docs_url=None,  # served below, from here and with a policy of its own
        redirect_slashes=False,  # it would lead to wherever Host says
        separate_input_output_schemas=False,
    )
    entrance = Entrance(desk, doorman, RateLimit(settings.rate_limit), settings)
    routes = TransferRoutes(entrance, settings)
    app.include_router(routes.router())
    app.include_router(AccountRoutes(entrance, clerk).router())
    _complete_document(app, tokens=not settings.demo)
    _handle_errors(app)
    _serve_pages(app, settings)
    return Guard(Express(app, routes), settings, observe)


def _complete_document(app: FastAPI, tokens: bool) -> None:
    """What FastAPI does not say by itself: the type of errors, and tokens."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = make()
        for methods in document["paths"].values():
            for operation in methods.values():
                for code, response in operation["responses"].items():
                    if int(code) >= 400:
                        (schema,) = response["content"].values()
                        response["content"] = {"application/problem+json": schema}
        if tokens:
            scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            document["components"]["securitySchemes"] = {"token": scheme}
            document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _handle_errors(app: FastAPI) -> None:
    """Whatever is raised becomes a problem; a mistake of ours tells nothing."""

    async def problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem), "registered for it"
        return respond(error)

    async def invalid_request(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError), "registered for it"
        wrong = [
            FieldError(str(e["loc"][-1]), e["msg"].removeprefix("Value error, "))
            for e in error.errors()
        ]
        return respond(invalid(wrong))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for it"
        kinds = {404: Kind.NOT_FOUND, 405: Kind.METHOD_NOT_ALLOWED}
        kind = kinds.get(error.status_code, Kind.INVALID_REQUEST)
        if request.method == "OPTIONS" and request.scope["path"] == "*":
            return Response(status_code=204, headers={"Allow": ", ".join(METHODS)})
        headers = None
        if error.status_code == 405:
            headers = {"Allow": _methods(app, request)}
            if request.method == "OPTIONS":
                return Response(status_code=204, headers=headers)
        return respond(Problem(kind, "See /docs for what there is."), headers)

    async def mistake(request: Request, error: Exception) -> Response:
        return internal(request.url.path, error)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, mistake)


def _methods(app: FastAPI, request: Request) -> str:
    """All that can be done with this path (RFC 9110, 10.2.1), by whatever route."""
    allowed = {"OPTIONS"}
    # A mount that has matched made its own path the root.
    root = request.scope.get("app_root_path", request.scope["root_path"])
    for method in ("GET", "PUT", "POST", "PATCH", "DELETE"):
        scope = {**request.scope, "method": method, "root_path": root}
        matches = (
            route.matches(scope)[0] is Match.FULL
            for route in app.routes
            if method == "GET" or not isinstance(route, Mount)
        )
        if any(matches):
            allowed.add(method)
    if "GET" in allowed and not request.url.path.endswith(EVENTS):
        allowed.add("HEAD")
    return ", ".join(sorted(allowed))


class Assets(StaticFiles):
    """Files for browsers; what pages are made from is none of them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        if not path.endswith((".css", ".js", ".svg", ".png")):
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.setdefault("Cache-Control", "no-cache")  # by its ETag
        return response


def _documents(app: FastAPI) -> None:
    """The page of the API: its one script of its own is named by its hash."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=app.title,
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url="/page/icon.svg",
    )
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    hashes = (b64encode(sha256(script).digest()).decode() for script in scripts)
    more = "".join(f" 'sha256-{each}'" for each in hashes)
    policy = _OURS.format(more=more, styles=" 'unsafe-inline'")
    page.headers["Content-Security-Policy"] = policy

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return page


def _serve_pages(app: FastAPI, settings: ServeSettings) -> None:
    pages = Environment(loader=FileSystemLoader(PAGE), autoescape=True)

    def page(name: str, **values: object) -> HTMLResponse:
        text = pages.get_template(name).render(settings=settings, **values)
        return HTMLResponse(text, headers=_PAGE_HEADERS)

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return page("home.html")

    @app.get("/problems", include_in_schema=False)
    async def problems() -> Response:
        return page("problems.html", kinds=list(Kind))

    app.mount("/page", Assets(directory=PAGE), name="page")
    app.mount(STATIC, Assets(directory=SWAGGER), name="swagger")
    _documents(app)
