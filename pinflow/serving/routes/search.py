"""The search itself, and by style alone."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from pinflow.errors import PinflowError
from pinflow.retrieval.query import Answer, Query
from pinflow.serving.asking import described, read
from pinflow.serving.problems import responses
from pinflow.serving.services import Services, owner
from pinflow.serving.state import history

log = logging.getLogger(__name__)

_REFUSALS = responses(400, 404, 408, 413, 415, 422, 429, 502, 503, 504)
_EXAMPLES = {
    "words": {"positive": [{"text": "red apples"}], "limit": 10},
    "more like a pin, under a price": {"positive": [{"id": "1234"}], "filter": {"price_max": 50}},
    "by a link, and not like another": {
        "positive": [{"url": "https://www.pinterest.com/pin/1234/"}],
        "negative": [{"id": "1234"}],
    },
    "the next page": {"positive": [{"text": "red apples"}], "limit": 10, "cursor": "WyJy..."},
}


def router(services: Services) -> APIRouter:
    """`POST /v1/collections/{name}/search` and `/style`."""
    routes = APIRouter(prefix="/v1", tags=["search"])

    @routes.post(
        "/collections/{name}/search",
        summary="Search by pictures, links, words or pins",
        response_model=Answer,
        responses=_REFUSALS,
        openapi_extra=described(Query, _EXAMPLES),
    )
    async def search(name: str, request: Request) -> Response:
        """A link may lead to a picture, or to a page whose own picture is looked for, such as a Pinterest
        pin. What is asked is kept in the history of who asks, pictures aside."""
        services.searcher(name)
        query = await read(request, Query)
        return await answered(services, name, query, request)

    @routes.post(
        "/collections/{name}/style",
        summary="What is of the same hand, whatever it shows",
        response_model=Answer,
        responses=_REFUSALS,
        openapi_extra=described(Query, {"the style of a pin": {"positive": [{"id": "1234"}]}}),
    )
    async def style(name: str, request: Request) -> Response:
        """A search with `space: style`."""
        services.searcher(name)
        query = await read(request, Query)
        by_style = query.model_copy(update={"space": "style"})
        return await answered(services, name, by_style, request)

    return routes


async def answered(services: Services, name: str, query: Query, request: Request) -> Response:
    """The answer to a search, measured, and remembered once it is on its way."""
    searcher = services.releases.paging(name, query.cursor) or services.searcher(name)
    answer: Answer = await run_in_threadpool(searcher.search, query)
    fetch = getattr(request.state, "fetch_ms", None)
    if fetch is not None:
        answer = answer.after(fetch)
    services.metrics.stages(answer.timings_ms)
    noting = None
    if query.positive and query.cursor is None:
        asked = getattr(request.state, "asked", query)
        kept = query.model_copy(update={"positive": asked.positive, "negative": asked.negative})
        noting = BackgroundTask(_note, services, owner(request), name, kept)
    return Response(answer.model_dump_json(), media_type="application/json", background=noting)


def _note(services: Services, who: str, name: str, query: Query) -> None:
    try:
        history.note(services.database, who, name, query)
    except PinflowError as error:  # the answer is out; a history with a gap is no reason to fail
        log.warning("a search is not in the history: %s", error)
