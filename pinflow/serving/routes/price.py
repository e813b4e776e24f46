"""The route of the snap price: what the things in a photo would cost."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from pinflow.retrieval.price import PriceAnswer, PriceQuery, price
from pinflow.serving.asking import described, read
from pinflow.serving.problems import responses
from pinflow.serving.services import Services

_EXAMPLES = {
    "whatever stands out": {"positive": [{"url": "https://example.com/photo.jpg"}]},
    "what a person drew a box around": {
        "positive": [{"url": "https://example.com/photo.jpg"}],
        "boxes": [{"box": [120, 80, 340, 500], "category": "Footwear"}],
        "currency": "USD",
    },
}


def router(services: Services) -> APIRouter:
    """`POST /v1/collections/{name}/price`."""
    routes = APIRouter(prefix="/v1", tags=["search"])

    @routes.post(
        "/collections/{name}/price",
        summary="Prices of the things in a photo, by what is like them",
        response_model=PriceAnswer,
        responses=responses(400, 404, 408, 413, 415, 422, 429, 502, 503, 504),
        openapi_extra=described(PriceQuery, _EXAMPLES),
    )
    async def snap_price(name: str, request: Request) -> Response:
        searcher = services.searcher(name)
        wanted = await read(request, PriceQuery)
        found = await run_in_threadpool(services.gate, lambda: price(searcher, wanted))
        return Response(found.model_dump_json(), media_type="application/json")

    return routes
