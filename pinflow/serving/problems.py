"""Errors as `application/problem+json` (RFC 9457), one shape for every route."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from pinflow.errors import (
    BusyError,
    LinkError,
    PictureError,
    PinflowError,
    SearchError,
    StateError,
    StoreError,
    TrunkError,
)
from pinflow.serving.state.boards import TooMany

log = logging.getLogger(__name__)


class Problem(BaseModel):
    """RFC 9457, with `errors` (one entry a field) where the request has faults that can be named."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    instance: str | None = None
    errors: list[dict[str, str]] | None = None
    request_id: str | None = Field(None, description="the server's log has it too")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route, for OpenAPI."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def problem(
    request: Request,
    status: int,
    detail: str | None,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """A problem+json response about `request`."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors,
        request_id=getattr(request.state, "request_id", None),
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status, headers=headers, media_type="application/problem+json"
    )


def install(app: FastAPI) -> None:
    """Every error that leaves `app` becomes a problem."""
    # Starlette types handlers by the base class, so each narrows its own argument.
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(SearchError, _search)
    app.add_exception_handler(PictureError, _picture)
    app.add_exception_handler(TrunkError, _trunk)
    app.add_exception_handler(LinkError, _link)
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(TooMany, _too_many)
    app.add_exception_handler(StateError, _state)
    app.add_exception_handler(StoreError, _state)
    app.add_exception_handler(ValidationError, _invalid)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(PinflowError, _failed)
    app.add_exception_handler(Exception, _failed)


def not_found(detail: str) -> HTTPException:
    """The 404 to raise."""
    return HTTPException(404, detail)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    headers = dict(error.headers) if error.headers else None
    return problem(request, error.status_code, str(error.detail), headers=headers)


async def _search(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SearchError)
    errors = [{"field": error.field, "message": str(error)}] if error.field else None
    return problem(request, 400, str(error), errors)


async def _picture(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PictureError)
    status = 415 if error.reason == "not_a_picture" else 422
    return problem(
        request, status, f"the picture cannot be used: {error}", [{"field": "image", "message": str(error)}]
    )


async def _trunk(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 503, f"pictures cannot be encoded on this server: {error}")


async def _link(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, LinkError)
    return problem(request, error.status, str(error), [{"field": "url", "message": str(error)}])


async def _busy(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 503, f"{error}; ask again in a moment", headers={"Retry-After": "1"})


async def _too_many(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 409, str(error))


async def _state(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s: %s", request.method, request.url.path, error)
    return problem(request, 503, "what is kept cannot be reached just now; the server's log says why")


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, (ValidationError, RequestValidationError))
    faults = error.errors()
    if any(fault["type"] == "json_invalid" for fault in faults):
        return problem(request, 400, f"the body is not JSON: {faults[0]['msg']}")
    errors = [
        {
            "field": ".".join(str(part) for part in fault["loc"]),
            "message": str(fault["msg"]).removeprefix("Value error, "),
        }
        for fault in faults
    ]
    detail = "; ".join(f"{each['field'] or 'body'}: {each['message']}" for each in errors)
    return problem(request, 422, detail[:2000], errors)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(request, 500, "the server failed; its log says why")
