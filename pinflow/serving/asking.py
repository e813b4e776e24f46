"""How a question arrives: JSON, or a form with a picture file; and which collection it is about."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from pinflow.retrieval.lookup import LookUp
from pinflow.retrieval.query import Example, Query
from pinflow.retrieval.searcher import Searcher
from pinflow.serving.problems import not_found
from pinflow.serving.releases import Releases
from pinflow.serving.security import MAX_JSON_BYTES, MAX_UPLOAD_BYTES, capped, in_time

Q = TypeVar("Q", Query, LookUp)  # each has `positive` examples


def searcher_of(releases: Releases, name: str) -> Searcher:
    """The searcher of that collection, or the 404 or 503 that says why there is none."""
    searcher = releases.get(name)
    if searcher is not None:
        return searcher
    if releases.known(name):
        raise HTTPException(503, f"collection {name!r} has no release loaded yet", {"Retry-After": "1"})
    raise not_found(f"no collection {name[:80]!r} here; GET /v1/collections lists them")


async def read(request: Request, model: type[Q]) -> Q:
    """The body as `model`, whose `positive` examples a file of a form joins. A 408 where it is too slow."""
    return await in_time(lambda: _read(request, model))


async def _read(request: Request, model: type[Q]) -> Q:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return model.model_validate_json(await capped(request, MAX_JSON_BYTES).body())
    if kind != "multipart/form-data":
        raise HTTPException(415, "send application/json, or multipart/form-data with a `file`")
    body = capped(request, MAX_UPLOAD_BYTES + MAX_JSON_BYTES)
    async with body.form(max_files=1, max_fields=1, max_part_size=MAX_JSON_BYTES) as form:
        file, asked = form.get("file"), form.get("query", "{}")
        if not isinstance(file, UploadFile) or not isinstance(asked, str):
            raise HTTPException(422, "the form needs a file in `file`, and JSON, if any, in `query`")
        picture = await file.read(MAX_UPLOAD_BYTES + 1)
    if len(picture) > MAX_UPLOAD_BYTES:
        raise HTTPException(413, f"the picture is larger than {MAX_UPLOAD_BYTES // 1024 // 1024} MiB")
    question: Q = model.model_validate_json(asked)
    positive = [*question.positive, Example(image=picture)]
    return question.model_copy(update={"positive": positive})


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
