"""The web app, assembled by one factory from its releases and settings. No globals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

import pinflow
from pinflow.retrieval.lookup import LookUp
from pinflow.retrieval.price import PriceQuery
from pinflow.retrieval.query import Query
from pinflow.retrieval.tags import TagQuestion
from pinflow.serving import pages, problems
from pinflow.serving.observed import HEADER, Observed
from pinflow.serving.problems import Problem
from pinflow.serving.rates import Rates
from pinflow.serving.releases import Releases
from pinflow.serving.routes import (
    admin,
    atlas,
    boards,
    collections,
    evaluations,
    history,
    lookup,
    price,
    probes,
    saved,
    search,
    tags,
    why,
)
from pinflow.serving.security import Guard
from pinflow.serving.services import Services
from pinflow.settings import Settings

STATIC = Path(__file__).parent / "static"

# A longer path before the shorter one that would swallow it: ids of pins may have slashes.
ROUTERS = (
    probes.router,
    search.router,
    why.router,
    tags.router,
    lookup.router,
    price.router,
    atlas.router,
    boards.router,
    history.router,
    saved.router,
    evaluations.router,
    admin.router,
    collections.router,
)
# Models that routes read by hand, so that FastAPI does not see them.
MODELS = (Query, TagQuestion, LookUp, PriceQuery, Problem)
# Requests that are worked on at once; the rest waits in line. More would decode more pictures at a time than
# memory is for, and gain nothing: it is as many as one pass of a network takes (`batching.MOST`).
THREADS = 16
_GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 5  # 9 takes twice the time for a hundredth of the size


def make_app(
    releases: Releases,
    settings: Settings,
    *,
    services: Services | None = None,
    only_this_machine: bool = False,
) -> FastAPI:
    """The app over `releases`, which it starts and stops following with its own life.

    With `settings.api_token` set, everything but `/healthz`, `/readyz` and `/version` asks for it. Raises
    `PinflowError` for settings that cannot be used.
    """
    services = services or Services.of(releases, settings)
    releases.tell_removed(services.forget)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        releases.start()
        yield
        await services.links.close()
        await run_in_threadpool(releases.stop)
        services.database.dispose()

    app = FastAPI(
        title="pinflow",
        version=pinflow.__version__,
        description="Search collections of pictures by picture, by words, or by both. "
        "Errors are application/problem+json (RFC 9457).",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    app.state.releases, app.state.links, app.state.services = releases, services.links, services
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router(services))
    app.include_router(pages.router(app, services))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    _layers(app, services, only_this_machine)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # the way FastAPI documents
    return app


def _layers(app: FastAPI, services: Services, only_this_machine: bool) -> None:
    """What stands between the server and the routes, from the inside out."""
    settings = services.settings
    origins = [one.strip() for one in (settings.cors_origins or "").split(",") if one.strip()]
    app.add_middleware(GZipMiddleware, minimum_size=_GZIP_FROM_BYTES, compresslevel=_GZIP_LEVEL)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", HEADER],
            expose_headers=[HEADER, "Retry-After"],
        )
    app.add_middleware(
        Guard,
        tokens=settings.tokens,
        rates=Rates(settings.rate_limit),
        origins=origins,
        only_this_machine=only_this_machine,
    )
    app.add_middleware(Observed, metrics=services.metrics)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema with the models that routes refer to by hand: questions and the problem."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in MODELS:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        _tell_problems(made)
        app.openapi_schema = made
    return app.openapi_schema


def _tell_problems(schema: dict[str, Any]) -> None:
    """FastAPI describes its own shape of a 422, which no route of ours answers with."""
    for methods in schema["paths"].values():
        for route in methods.values():
            if "422" in route["responses"]:
                route["responses"]["422"] = problems.responses(422)[422]
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"]["schemas"].pop(name, None)
