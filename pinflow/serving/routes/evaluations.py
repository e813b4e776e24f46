"""Evaluations: marking results good or bad, and what that says about the search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from fastapi import Query as Parameter
from pydantic import BaseModel, Field
from starlette.responses import StreamingResponse

from pinflow.retrieval.query import Query
from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services, owner
from pinflow.serving.state import evaluations
from pinflow.serving.state.evaluations import Mark, Numbers

_MARK = {
    "a good one": {
        "value": {"query": {"positive": [{"text": "red apples"}]}, "pin": "1234", "good": True, "rank": 1}
    }
}
_QUERY = {"by words": {"value": {"positive": [{"text": "red apples"}]}}}
_Collection = Annotated[str | None, Parameter(max_length=200, description="of this one only")]


class Evaluations(BaseModel):
    """What a person has marked."""

    collections: list[Numbers]


class Marks(BaseModel):
    """The marks of one search."""

    digest: str = Field(description="of the search, to take a mark back with")
    marks: dict[str, bool] = Field(description="by pin: true is good", examples=[{"1234": True}])


def router(services: Services) -> APIRouter:
    """`/v1/evaluations`, and marking below a collection."""
    routes = APIRouter(prefix="/v1", tags=["evaluations"])
    database = services.database

    @routes.post(
        "/collections/{name}/evaluations",
        summary="Mark a result good or bad",
        response_model=Marks,
        responses=responses(404, 422, 503),
    )
    def mark(request: Request, name: str, body: Annotated[Mark, Body(openapi_examples=_MARK)]) -> Marks:
        """A second mark of the same result of the same search replaces the first. Answers with all marks of
        the search."""
        services.searcher(name).pin(body.pin)
        evaluations.mark(database, owner(request), name, body)
        return _marks(request, name, body.query)

    @routes.post(
        "/collections/{name}/evaluations/marks",
        summary="Your marks of one search",
        response_model=Marks,
        responses=responses(404, 422, 503),
    )
    def marks(request: Request, name: str, body: Annotated[Query, Body(openapi_examples=_QUERY)]) -> Marks:
        services.searcher(name)
        return _marks(request, name, body)

    @routes.delete(
        "/collections/{name}/evaluations/{digest}/{pin:path}",
        summary="Take a mark back",
        status_code=204,
        responses=responses(404, 503),
    )
    def unmark(request: Request, name: str, digest: str, pin: str) -> None:
        if not evaluations.unmark(database, owner(request), name, digest, pin):
            raise not_found(f"you have not marked {pin[:80]!r} for that search")

    @routes.get(
        "/evaluations",
        summary="Precision of what you have marked",
        response_model=Evaluations,
        responses=responses(503),
    )
    def numbers(request: Request, collection: _Collection = None) -> Evaluations:
        """Of the *marked* results: it says how good the first results are, nothing about what was missed."""
        return Evaluations(collections=evaluations.numbers(database, owner(request), collection))

    @routes.get(
        "/evaluations/pairs",
        summary="Your marks as training pairs, a JSON object a line",
        response_class=Response,
        responses={**responses(503), 200: {"content": {"application/x-ndjson": {"example": _PAIR}}}},
    )
    def pairs(request: Request, collection: _Collection = None) -> Response:
        found = evaluations.pairs(database, owner(request), collection)
        headers = {"Content-Disposition": 'attachment; filename="pairs.jsonl"'}
        return StreamingResponse(_lines(found), media_type="application/x-ndjson", headers=headers)

    def _marks(request: Request, name: str, query: Query) -> Marks:
        found = evaluations.marks(database, owner(request), name, query)
        return Marks(digest=query.digest(), marks=found)

    return routes


_PAIR = (
    '{"collection": "market", "anchor": {"text": "red apples"}, "pin": "1234", "alike": true, "at": "..."}\n'
)


def _lines(found: Iterator[dict[str, object]]) -> Iterator[str]:
    for one in found:
        yield json.dumps(one, ensure_ascii=False) + "\n"
