"""Collections, their pins, and thumbnails."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi import Query as Parameter
from starlette.responses import JSONResponse

from pinflow.errors import SearchError
from pinflow.retrieval.query import MAX_LIMIT, Answer, Example, PinDetail, Query
from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services

_YEAR_SECONDS = 31_536_000


def router(services: Services) -> APIRouter:
    """`GET /v1/collections` and what is below it."""
    routes = APIRouter(prefix="/v1", tags=["collections"])
    cacheable = "private" if services.settings.tokens else "public"

    @routes.get("/collections", summary="All collections that are served")
    def collections() -> Response:
        """`{"collections": [{"name", "description", "release", "created_at", "pictures", "labels", "covers":
        [{"id", "thumb_url"}]}]}`"""
        listed = []
        for name in services.releases.names():
            about = services.searcher(name).about()
            covers = [label["cover"] for label in about["labels"] if label["cover"]]
            kept = ("name", "description", "release", "created_at", "pictures")
            listed.append(
                {**{key: about[key] for key in kept}, "labels": len(about["labels"]), "covers": covers[:4]}
            )
        return JSONResponse({"collections": listed})

    @routes.get(
        "/collections/{name}",
        summary="One collection: labels, price ranges, figures",
        responses=responses(404, 503),
    )
    def collection(name: str) -> Response:
        return JSONResponse(services.searcher(name).about())

    @routes.get(
        "/collections/{name}/pins/{id:path}/neighbours",
        summary="The pins most like one",
        response_model=Answer,
        responses=responses(400, 404, 503),
    )
    def neighbours(
        name: str,
        id: str,
        limit: Annotated[int, Parameter(ge=1, le=MAX_LIMIT)] = 20,
        cursor: Annotated[str | None, Parameter(max_length=500)] = None,
        label: Annotated[str | None, Parameter(max_length=500)] = None,
        space: Literal["shared", "local", "style"] = "shared",
        min_score: float | None = None,
    ) -> Response:
        """The same as a search with the pin as its only example, as an address that can be kept."""
        searcher = services.releases.paging(name, cursor) or services.searcher(name)
        _known(searcher, id)
        query = Query(
            positive=[Example(id=id)],
            limit=limit,
            cursor=cursor,
            label=label,
            space=space,
            min_score=min_score,
        )
        answer = searcher.search(query)
        services.metrics.stages(answer.timings_ms)
        return Response(answer.model_dump_json(), media_type="application/json")

    @routes.get(
        "/collections/{name}/pins/{id:path}",
        summary="Everything about one pin",
        response_model=PinDetail,
        responses=responses(404, 503),
    )
    def pin(name: str, id: str) -> Response:
        found = _known(services.searcher(name), id)
        return Response(found.model_dump_json(), media_type="application/json")

    @routes.get(
        "/collections/{name}/thumbnails/{id:path}",
        summary="Thumbnail, WebP, longest side at most 256 px",
        response_class=Response,
        responses={
            **responses(404, 503),
            200: {"content": {"image/webp": {}}},
            304: {"description": "Not Modified"},
        },
    )
    def thumbnail(name: str, id: str, request: Request, v: str | None = None) -> Response:
        searcher = services.searcher(name)
        try:
            webp, digest = searcher.thumbnail(id)
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

    return routes


def _known(searcher: Any, id: str) -> PinDetail:
    try:
        found: PinDetail = searcher.pin(id)
    except SearchError as error:
        raise not_found(str(error)) from error
    return found
