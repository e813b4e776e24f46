"""The web app, assembled by one factory from its releases and settings. No globals."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

import pinflow
from pinflow.errors import SearchError
from pinflow.retrieval.lookup import LookUp
from pinflow.retrieval.query import Answer, PinDetail, Query
from pinflow.serving import lookup, pages, problems
from pinflow.serving.asking import described, read, searcher_of
from pinflow.serving.problems import Problem, not_found, responses
from pinflow.serving.releases import Releases
from pinflow.serving.security import Guard, authorised
from pinflow.settings import Settings

STATIC = Path(__file__).parent / "static"
_YEAR_SECONDS = 31_536_000

_EXAMPLES = {
    "words": {"positive": [{"text": "red apples"}], "limit": 10},
    "more like a pin, under a price": {"positive": [{"id": "1234"}], "filter": {"price_max": 50}},
}


def make_app(releases: Releases, settings: Settings) -> FastAPI:
    """The app over `releases`, which it starts and stops following with its own life.

    With `settings.api_token` set, everything but `/healthz`, `/readyz` and `/version` asks for it.
    """

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        releases.start()
        yield
        await run_in_threadpool(releases.stop)

    app = FastAPI(
        title="pinflow",
        version=pinflow.__version__,
        description="Search collections of pictures by picture, by words, or by both. "
        "Errors are application/problem+json (RFC 9457).",
        docs_url=None,
        redoc_url=None,
        lifespan=life,
    )
    problems.install(app)
    app.include_router(_probes(releases, settings))
    app.include_router(_api(releases, cacheable="private" if settings.api_token else "public"))
    app.include_router(lookup.router(releases))
    app.include_router(pages.router(app))
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_middleware(Guard, token=settings.api_token)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # the way FastAPI documents
    return app


def _probes(releases: Releases, settings: Settings) -> APIRouter:
    router = APIRouter(tags=["probes"])

    @router.get("/healthz", summary="The process answers")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/version", summary="Version of pinflow")
    def version() -> dict[str, str]:
        return {"pinflow": pinflow.__version__}

    @router.get("/readyz", summary="A release is loaded, or 503", responses=responses(503))
    def readyz(request: Request) -> Response:
        served = {name: searcher.release.id for name in releases.names() if (searcher := releases.get(name))}
        troubles = releases.problems()
        if releases.problem is not None:
            troubles["storage"] = releases.problem
        # Reasons may name storage and collections: not for those who lack the token.
        insider = authorised(request.headers, settings.api_token)
        if not served:
            reasons = [{"field": name, "message": reason} for name, reason in troubles.items()]
            return problems.problem(request, 503, "no release is loaded yet", reasons if insider else None)
        body: dict[str, Any] = {"status": "ready"}
        if insider:
            body |= {"releases": served, "problems": troubles}
        return _json(body)

    return router


def _api(releases: Releases, cacheable: str) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["collections"])

    @router.get("/collections", summary="All collections that are served")
    def collections() -> Response:
        listed = []
        for name in releases.names():
            about = searcher_of(releases, name).about()
            covers = [label["cover"] for label in about["labels"] if label["cover"]]
            kept = ("name", "description", "release", "created_at", "pictures")
            listed.append(
                {**{key: about[key] for key in kept}, "labels": len(about["labels"]), "covers": covers[:4]}
            )
        return _json({"collections": listed})

    @router.get(
        "/collections/{name}",
        summary="One collection: labels, price ranges, figures",
        responses=responses(404),
    )
    def collection(name: str) -> Response:
        return _json(searcher_of(releases, name).about())

    @router.post(
        "/collections/{name}/search",
        summary="Search by pictures, words or pins",
        response_model=Answer,
        responses=responses(400, 404, 413, 415, 422, 503),
        openapi_extra=described(Query, _EXAMPLES),
    )
    async def search(name: str, request: Request) -> Response:
        searcher = searcher_of(releases, name)
        query = await read(request, Query)
        answer = await run_in_threadpool(searcher.search, query)
        return Response(answer.model_dump_json(), media_type="application/json")

    @router.get(
        "/collections/{name}/pins/{id:path}",
        summary="Everything about one pin",
        response_model=PinDetail,
        responses=responses(404),
    )
    def pin(name: str, id: str) -> Response:
        try:
            return Response(
                searcher_of(releases, name).pin(id).model_dump_json(), media_type="application/json"
            )
        except SearchError as error:
            raise not_found(str(error)) from error

    @router.get(
        "/collections/{name}/thumbnails/{id:path}",
        summary="Thumbnail, WebP, longest side at most 256 px",
        response_class=Response,
        responses={
            **responses(404),
            200: {"content": {"image/webp": {}}},
            304: {"description": "Not Modified"},
        },
    )
    def thumbnail(name: str, id: str, request: Request, v: str | None = None) -> Response:
        try:
            webp, digest = searcher_of(releases, name).thumbnail(id)
        except SearchError as error:
            raise not_found(str(error)) from error
        etag = f'"{digest}"'
        # The address with the digest never changes its content; the bare one may, so it is asked about.
        lasting = (
            f"{cacheable}, max-age={_YEAR_SECONDS}, immutable" if v == digest else f"{cacheable}, no-cache"
        )
        headers = {"ETag": etag, "Cache-Control": lasting}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(webp, media_type="image/webp", headers=headers)

    return router


def _json(content: dict[str, Any]) -> Response:
    return JSONResponse(content)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The schema with the models that routes refer to by hand: questions and the problem."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (Query, LookUp, Problem):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        app.openapi_schema = made
    return app.openapi_schema
