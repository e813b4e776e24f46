"""Saved queries: addresses of pages of this server, under a name."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request
from pydantic import BaseModel, Field

from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services, owner
from pinflow.serving.state import saved
from pinflow.serving.state.saved import Saved, ToSave

_EXAMPLE = {"a search": {"value": {"name": "Red apples", "url": "/?collection=market&q=red+apples"}}}


class SavedQueries(BaseModel):
    """A person's saved queries."""

    saved: list[Saved] = Field(description="newest first")


def router(services: Services) -> APIRouter:
    """`/v1/saved`."""
    routes = APIRouter(prefix="/v1/saved", tags=["saved queries"])
    database = services.database

    @routes.get("", summary="Your saved queries", response_model=SavedQueries, responses=responses(503))
    def listed(request: Request) -> SavedQueries:
        return SavedQueries(saved=saved.all_of(database, owner(request)))

    @routes.post(
        "", summary="Save a query", status_code=201, response_model=Saved, responses=responses(409, 422, 503)
    )
    def add(request: Request, body: Annotated[ToSave, Body(openapi_examples=_EXAMPLE)]) -> Saved:
        """An address that is saved already gets the new name."""
        return saved.add(database, owner(request), body)

    @routes.delete("/{id}", summary="Delete a saved query", status_code=204, responses=responses(404, 503))
    def remove(request: Request, id: str) -> None:
        if not saved.remove(database, owner(request), id):
            raise not_found(f"you have no saved query {id[:80]!r}; GET /v1/saved lists them")

    return routes
