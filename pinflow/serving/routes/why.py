"""Why a pin answers a query."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Query as Parameter
from starlette.concurrency import run_in_threadpool

from pinflow.errors import SearchError
from pinflow.retrieval.query import Example, Query
from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.why import Why, parse, why, why_picture
from pinflow.serving.asking import described, read
from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services

_REFUSALS = {**responses(400, 404, 415, 422, 429, 503), 200: {"content": {"image/png": {}}}}


def router(services: Services) -> APIRouter:
    """`/v1/collections/{name}/pins/{id}/why`, JSON or, asked for by `Accept`, PNG."""
    routes = APIRouter(prefix="/v1", tags=["search"])
    path = "/collections/{name}/pins/{id:path}/why"

    @routes.get(path, summary="Why a pin answers a query", response_model=Why, responses=_REFUSALS)
    def by_address(
        name: str,
        id: str,
        request: Request,
        query: Annotated[
            str,
            Parameter(
                max_length=4000,
                openapi_examples={
                    "another pin": {"value": "1234"},
                    "words": {"value": "red apples"},
                    "a whole query": {"value": '{"positive": [{"id": "1234"}, {"text": "red"}]}'},
                },
            ),
        ],
    ) -> Response:
        """`query`: the id of a pin, else words, or the JSON of a search. With `Accept: image/png` both
        pictures side by side, with what joins them."""
        searcher = services.searcher(name)
        return answered(searcher, _asked(searcher, query), id, request)

    @routes.post(
        path,
        summary="Why a pin answers a query that is sent, with its picture",
        response_model=Why,
        responses=_REFUSALS,
        openapi_extra=described(Query, {"a pin": {"positive": [{"id": "1234"}]}}),
    )
    async def by_body(name: str, id: str, request: Request) -> Response:
        searcher = services.searcher(name)
        query = await read(request, Query)
        return await run_in_threadpool(answered, searcher, query, id, request)

    def answered(searcher: Searcher, query: Query, id: str, request: Request) -> Response:
        try:
            searcher.pin(id)
        except SearchError as error:
            raise not_found(str(error)) from error

        def explained() -> Why:
            return why(searcher, query, id, services.load_lens)

        if "image/png" in request.headers.get("accept", ""):
            png = services.gate(lambda: why_picture(searcher, query, id, services.load_lens))
            return Response(png, media_type="image/png")
        looks = any(one.text is None for one in query.positive)  # words alone take no network, so no turn
        found = services.gate(explained) if looks else explained()
        return Response(found.model_dump_json(), media_type="application/json")

    return routes


def _asked(searcher: Searcher, query: str) -> Query:
    try:
        searcher.pin(query)
    except SearchError:
        return parse(query)
    return Query(positive=[Example(id=query)])
