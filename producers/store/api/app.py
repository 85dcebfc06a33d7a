"""The application: paths, the shape of errors, the page for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from jinja2 import Environment, FileSystemLoader
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from producers.store.api.auth import Doorman
from producers.store.api.express import Express
from producers.store.api.limits import Guard, RateLimit
from producers.store.api.models import invalid
from producers.store.api.problem_response import internal, respond
from producers.store.api.routes import TransferRoutes
from producers.store.desk import Desk
from producers.store.problems import FieldError, Kind, Problem
from producers.store.settings import ServeSettings

PAGE = Path(__file__).parent / "page"
DESCRIPTION = """\
Send payments and see what became of them. A `transfer_id` is yours: keep it before
you send, and send the same one again when in doubt; twice the same payment has one
effect.

**202** means that nothing can undo it any more: Kafka (or this Store's journal) has
it. Every error is [problem details](/problems) with a stable `code`.
"""
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    "style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Observe = Callable[[str, str, int, float], None]


def create_app(
    desk: Desk,
    doorman: Doorman,
    settings: ServeSettings,
    observe: Observe = lambda method, route, status, seconds: None,
) -> Guard:
    """The ASGI application; `observe` hears of every request that ended."""
    app = FastAPIOffline(
        title="Once Store",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        favicon_url="/page/icon.svg",
        separate_input_output_schemas=False,
    )
    rates = RateLimit(settings.rate_limit)
    routes = TransferRoutes(desk, doorman, rates, settings)
    app.include_router(routes.router())
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
        wrong = [FieldError(str(e["loc"][-1]), e["msg"]) for e in error.errors()]
        return respond(invalid(wrong))

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for it"
        kinds = {404: Kind.NOT_FOUND, 405: Kind.METHOD_NOT_ALLOWED}
        kind = kinds.get(error.status_code, Kind.INVALID_REQUEST)
        return respond(Problem(kind, "See /docs for what there is."), error.headers)

    async def mistake(request: Request, error: Exception) -> Response:
        return internal(request.url.path, error)

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(RequestValidationError, invalid_request)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, mistake)


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

    app.mount("/page", StaticFiles(directory=PAGE), name="page")
