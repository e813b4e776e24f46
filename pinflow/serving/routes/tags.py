"""What a picture shows."""

from __future__ import annotations

import base64
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Query as Parameter
from starlette.concurrency import run_in_threadpool

from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.tags import Method, TagQuestion, Tags, explain, picture_of, tags
from pinflow.serving.asking import described, read
from pinflow.serving.problems import responses
from pinflow.serving.services import Services

_EXAMPLES = {
    "a pin": {"positive": [{"id": "1234"}]},
    "a link": {"positive": [{"url": "https://example.com/a.jpg"}]},
}


def router(services: Services) -> APIRouter:
    """`POST /v1/collections/{name}/tags`."""
    routes = APIRouter(prefix="/v1", tags=["search"])

    @routes.post(
        "/collections/{name}/tags",
        summary="Tags of a picture, with their evidence, or none",
        response_model=Tags,
        responses={
            **responses(400, 404, 408, 413, 415, 422, 429, 502, 503, 504),
            200: {"content": {"image/png": {}}},
        },
        openapi_extra=described(TagQuestion, _EXAMPLES),
    )
    async def tag(
        name: str,
        request: Request,
        explained: Annotated[
            Method | None,
            Parameter(alias="explain", description="with what the tag rests on; lime takes some 10 s"),
        ] = None,
        tag: Annotated[
            str | None, Parameter(max_length=500, description="the tag to explain; default: the likeliest")
        ] = None,
    ) -> Response:
        """With `explain`, the answer has `explanation`: the heat as a coarse grid, and `png`, the picture
        under its heat in base64; with `Accept: image/png` that picture is the answer."""
        searcher = services.searcher(name)
        question = await read(request, TagQuestion)
        drawn = "image/png" in request.headers.get("accept", "")
        return await run_in_threadpool(answered, searcher, question, explained, tag, drawn)

    def answered(
        searcher: Searcher, question: TagQuestion, method: Method | None, tag: str | None, drawn: bool
    ) -> Response:
        picture = picture_of(searcher, question)
        if method is None and not drawn:
            found = tags(searcher, picture)
            return Response(found.model_dump_json(), media_type="application/json")
        label, explanation, png = services.gate(
            lambda: explain(searcher, picture, tag, method or "grad-cam", services.load_lens)
        )
        if drawn:
            return Response(png, media_type="image/png")
        found = tags(searcher, picture)
        told = {"tag": label, **explanation.to_json(), "png": base64.b64encode(png).decode()}
        found = found.model_copy(update={"explanation": told})
        return Response(found.model_dump_json(), media_type="application/json")

    return routes
