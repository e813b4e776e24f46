"""What you have searched for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from fastapi import Query as Parameter
from pydantic import BaseModel, Field

from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services, owner
from pinflow.serving.state import history
from pinflow.serving.state.history import Search


class History(BaseModel):
    """A person's searches."""

    searches: list[Search] = Field(description="newest first; the same search stands once")


def router(services: Services) -> APIRouter:
    """`/v1/history`. Every search with an example is noted by itself, its first page, pictures aside."""
    routes = APIRouter(prefix="/v1/history", tags=["history"])
    database = services.database

    @routes.get("", summary="Your last searches", response_model=History, responses=responses(503))
    def listed(
        request: Request,
        collection: Annotated[str | None, Parameter(max_length=200)] = None,
        limit: Annotated[int, Parameter(ge=1, le=history.KEPT)] = 50,
    ) -> History:
        found = history.latest(database, owner(request), collection=collection, limit=limit)
        return History(searches=found)

    @routes.delete("", summary="Forget all of them", status_code=204, responses=responses(503))
    def clear(request: Request) -> None:
        history.remove(database, owner(request))

    @routes.delete("/{id}", summary="Forget one", status_code=204, responses=responses(404, 503))
    def remove(request: Request, id: str) -> None:
        if not history.remove(database, owner(request), id):
            raise not_found(f"no search {id[:80]!r} in your history")

    return routes
