"""How a question arrives: JSON, or a form with a picture file; and which collection it is about.

Links among the examples are followed here, so that whoever answers has pictures.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from pinflow.retrieval.query import Example
from pinflow.retrieval.searcher import Searcher
from pinflow.serving.bodies import MAX_JSON_BYTES, MAX_UPLOAD_BYTES
from pinflow.serving.links import Links
from pinflow.serving.problems import not_found
from pinflow.serving.releases import Releases


class Question(Protocol):
    """A pydantic model with examples to look for."""

    @property
    def positive(self) -> Sequence[Example]:
        """What is looked for; a file of a form joins them."""

    @classmethod
    def model_validate_json(cls, json_data: str | bytes) -> Any:
        """As pydantic's."""

    def model_copy(self, *, update: dict[str, Any]) -> Any:
        """As pydantic's."""


Q = TypeVar("Q", bound=Question)


def searcher_of(releases: Releases, name: str) -> Searcher:
    """The searcher of that collection, or the 404 or 503 that says why there is none."""
    searcher = releases.get(name)
    if searcher is not None:
        return searcher
    if releases.known(name):
        raise HTTPException(503, f"collection {name!r} has no release loaded yet", {"Retry-After": "1"})
    raise not_found(f"no collection {name[:80]!r} here; GET /v1/collections lists them")


async def read(request: Request, model: type[Q]) -> Q:
    """The body as `model`, whose `positive` examples a file of a form joins, with every link followed.

    Raises what `Links` does. Leaves in the request's state `fetch_ms`, what links cost, and `asked`, the
    question with its links as they were.
    """
    question: Q = await _read(request, model)
    request.state.asked = question
    started = time.perf_counter()
    followed = await _followed(request, question)
    if followed:
        request.state.fetch_ms = (time.perf_counter() - started) * 1000
    return question.model_copy(update=followed) if followed else question


async def _followed(request: Request, question: Question) -> dict[str, list[Example]]:
    links: Links = request.app.state.links
    releases: Releases = request.app.state.releases
    searcher = releases.get(str(request.path_params.get("name")))
    found: dict[str, list[Example]] = {}
    for side in ("positive", "negative"):
        given: Sequence[Example] = getattr(question, side, ())
        if any(one.url is not None for one in given):
            found[side] = [await links.follow(one, side, searcher) for one in given]
    return found


async def _read(request: Request, model: type[Q]) -> Q:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return model.model_validate_json(await request.body())  # type: ignore[no-any-return]
    if kind != "multipart/form-data":
        raise HTTPException(415, "send application/json, or multipart/form-data with a `file`")
    async with request.form(max_files=1, max_fields=1, max_part_size=MAX_JSON_BYTES) as form:
        file, asked = form.get("file"), form.get("query", "{}")
        if not isinstance(file, UploadFile) or not isinstance(asked, str):
            raise HTTPException(422, "the form needs a file in `file`, and JSON, if any, in `query`")
        picture = await file.read(MAX_UPLOAD_BYTES + 1)
    if len(picture) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD_BYTES // 1024 // 1024} MiB")
    question = model.model_validate_json(asked)
    joined = [*question.positive, Example(image=picture)]
    return question.model_copy(update={"positive": joined})  # type: ignore[no-any-return]


def described(model: type[BaseModel], examples: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads `model`, which `openapi` adds to the schema."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "one more positive example"},
            "query": {"type": "string", "contentMediaType": "application/json", "contentSchema": schema},
        },
    }
    spelled = {name: {"value": value} for name, value in examples.items()}
    content = {
        "application/json": {"schema": schema, "examples": spelled},
        "multipart/form-data": {"schema": form},
    }
    return {"requestBody": {"required": True, "content": content}}
