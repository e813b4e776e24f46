"""The route of the attribute look-up: which style, period, school, author is this closest to."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from pinflow.retrieval.lookup import LookedUp, LookUp, look_up
from pinflow.serving.asking import described, read
from pinflow.serving.problems import responses
from pinflow.serving.services import Services

_EXAMPLES = {
    "all attributes of a pin": {"positive": [{"id": "1234"}]},
    "two of a picture": {
        "positive": [{"url": "https://example.com/photo.jpg"}],
        "attributes": ["school", "year"],
    },
}


def router(services: Services) -> APIRouter:
    """`POST /v1/collections/{name}/lookup`."""
    routes = APIRouter(prefix="/v1", tags=["search"])

    @routes.post(
        "/collections/{name}/lookup",
        summary="Attributes of a picture, by the votes of its neighbours",
        response_model=LookedUp,
        responses=responses(400, 404, 408, 413, 415, 422, 429, 502, 503, 504),
        openapi_extra=described(LookUp, _EXAMPLES),
    )
    async def lookup(name: str, request: Request) -> Response:
        searcher = services.searcher(name)
        wanted = await read(request, LookUp)
        found = await run_in_threadpool(look_up, searcher, wanted)
        return Response(found.model_dump_json(), media_type="application/json")

    return routes
