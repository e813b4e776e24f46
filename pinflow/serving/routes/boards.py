"""Boards: collecting pins, and searching by all that is on one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from pinflow.errors import SearchError
from pinflow.retrieval.query import Answer, Example, PinDetail, Query
from pinflow.serving.problems import not_found, responses
from pinflow.serving.routes.search import answered
from pinflow.serving.services import Services, owner
from pinflow.serving.state import boards
from pinflow.serving.state.boards import Board, BoardPin, Named, PinName


class Boards(BaseModel):
    """A person's boards."""

    boards: list[Board] = Field(description="newest first")


class ShownPin(BoardPin):
    """A pin on a board, as far as it is served now."""

    pin: PinDetail | None = Field(description="null while its collection does not have it")


class BoardDetail(Board):
    """A board with all that is on it."""

    content: list[ShownPin] = Field(description="newest first")


class Collected(BaseModel):
    """Pins to put on a board."""

    model_config = ConfigDict(extra="forbid")

    pins: list[PinName] = Field(min_length=1, max_length=boards.MAX_PINS)


class BoardQuery(BaseModel):
    """A search by a whole board, within one collection."""

    model_config = ConfigDict(extra="forbid")

    collection: str = Field(max_length=200, examples=["market"])
    query: Query = Field(
        default_factory=Query,
        description="whatever else is asked; its positive examples join the board's pins",
        examples=[{"limit": 20, "filter": {"price_max": 50}}],
    )


_Named = Annotated[Named, Body(openapi_examples={"a name": {"value": {"name": "Kitchen ideas"}}})]
_Collected = Annotated[
    Collected, Body(openapi_examples={"one": {"value": {"pins": [{"collection": "market", "id": "1234"}]}}})
]
_BoardQuery = Annotated[
    BoardQuery,
    Body(openapi_examples={"within market": {"value": {"collection": "market", "query": {"limit": 20}}}}),
]


def router(services: Services) -> APIRouter:
    """`/v1/boards` and what is below it. Boards belong to the token; nobody sees another's."""
    routes = APIRouter(prefix="/v1/boards", tags=["boards"])
    database = services.database

    @routes.get("", summary="Your boards", response_model=Boards, responses=responses(503))
    def listed(request: Request) -> Boards:
        return Boards(boards=boards.all_of(database, owner(request)))

    @routes.post(
        "", summary="A new board", status_code=201, response_model=Board, responses=responses(409, 422, 503)
    )
    def add(request: Request, body: _Named) -> Board:
        return boards.add(database, owner(request), body.name)

    @routes.get(
        "/{id}", summary="A board and its pins", response_model=BoardDetail, responses=responses(404, 503)
    )
    def one(request: Request, id: str) -> BoardDetail:
        return _detail(services, owner(request), id)

    @routes.patch("/{id}", summary="Rename a board", response_model=Board, responses=responses(404, 422, 503))
    def rename(request: Request, id: str, body: _Named) -> Board:
        _there(boards.rename(database, owner(request), id, body.name), id)
        found = boards.one(database, owner(request), id)
        if found is None:
            raise _missing(id)
        return found

    @routes.delete("/{id}", summary="Delete a board", status_code=204, responses=responses(404, 503))
    def remove(request: Request, id: str) -> None:
        _there(boards.remove(database, owner(request), id), id)

    @routes.post(
        "/{id}/pins",
        summary="Put pins on a board",
        response_model=BoardDetail,
        responses=responses(404, 409, 422, 503),
    )
    def collect(request: Request, id: str, body: _Collected) -> BoardDetail:
        """A pin that is on the board already stays where it is."""
        for pin in body.pins:
            try:
                services.searcher(pin.collection).pin(pin.id)
            except SearchError as error:
                raise HTTPException(422, str(error)) from error
        _there(boards.collect(database, owner(request), id, body.pins), id)
        return _detail(services, owner(request), id)

    @routes.delete(
        "/{id}/pins/{collection}/{pin:path}",
        summary="Take a pin off a board",
        status_code=204,
        responses=responses(404, 503),
    )
    def drop(request: Request, id: str, collection: str, pin: str) -> None:
        if not boards.drop(database, owner(request), id, PinName(collection=collection, id=pin)):
            raise not_found(f"no pin {pin[:80]!r} of {collection[:80]} on a board {id[:80]!r} of yours")

    @routes.post(
        "/{id}/search",
        summary="Search by all pins of a board",
        response_model=Answer,
        responses=responses(400, 404, 422, 429, 503),
    )
    async def search(request: Request, id: str, body: _BoardQuery) -> Response:
        """Pages with `query.cursor`, as every search; a board that changes meanwhile ends them."""
        searcher = services.searcher(body.collection)
        pins = await run_in_threadpool(boards.pins, database, owner(request), id)
        if pins is None:
            raise _missing(id)
        served = [one for one in pins if one.collection == body.collection and _shown(services, one)]
        here = [one.id for one in served]
        if not here:
            raise SearchError(f"collection: no pin of the board is in {body.collection}", "collection")
        more = [await services.links.follow(one, "query.positive", searcher) for one in body.query.positive]
        positive = [*(Example(id=one) for one in here), *more]
        query = body.query.model_copy(update={"positive": positive})
        return await answered(services, body.collection, query, request)

    return routes


def _detail(services: Services, who: str, id: str) -> BoardDetail:
    board, pins = boards.one(services.database, who, id), boards.pins(services.database, who, id)
    if board is None or pins is None:
        raise _missing(id)
    content = [ShownPin(**pin.model_dump(), pin=_shown(services, pin)) for pin in pins]
    return BoardDetail(**board.model_dump(), content=content)


def _shown(services: Services, pin: PinName) -> PinDetail | None:
    searcher = services.releases.get(pin.collection)
    try:
        return None if searcher is None else searcher.pin(pin.id)
    except SearchError:
        return None


def _there(found: bool, id: str) -> None:
    if not found:
        raise _missing(id)


def _missing(id: str) -> HTTPException:
    return not_found(f"you have no board {id[:80]!r}; GET /v1/boards lists them")
