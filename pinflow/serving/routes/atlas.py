"""The map of a collection as the release brings it: what there is, and the files it is drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.responses import FileResponse

from pinflow.retrieval.searcher import Searcher
from pinflow.serving.problems import not_found, responses
from pinflow.serving.services import Services

_YEAR_SECONDS = 31_536_000
_TYPES = {".parquet": "application/vnd.apache.parquet", ".webp": "image/webp", ".png": "image/png"}


class AtlasFile(BaseModel):
    """One file of the map."""

    name: str = Field(examples=["points.parquet"])
    url: str = Field(description="relative to this server; its content never changes")
    bytes: int
    type: str


class Atlas(BaseModel):
    """What a collection's map is drawn from."""

    release: str
    pictures: int
    files: list[AtlasFile]


def router(services: Services) -> APIRouter:
    """`/v1/collections/{name}/atlas` and its files."""
    routes = APIRouter(prefix="/v1", tags=["atlas"])
    cacheable = "private" if services.settings.tokens else "public"

    @routes.get(
        "/collections/{name}/atlas",
        summary="What the collection's map is drawn from",
        response_model=Atlas,
        responses=responses(404, 503),
    )
    def atlas(name: str) -> Atlas:
        searcher = services.searcher(name)
        found = _files(searcher)
        if not found:
            raise not_found(f"the release of {name} has no map")
        files = [
            AtlasFile(
                name=file,
                url=f"/v1/collections/{name}/atlas/{file}?v={about['sha256'][:16]}",
                bytes=about["bytes"],
                type=_TYPES[Path(file).suffix],
            )
            for file, about in found.items()
        ]
        return Atlas(release=searcher.release.id, pictures=searcher.about()["pictures"], files=files)

    @routes.get(
        "/collections/{name}/atlas/{file}",
        summary="A file of the map",
        response_class=FileResponse,
        responses={**responses(404, 503), 304: {"description": "Not Modified"}},
    )
    def content(name: str, file: str, request: Request, v: str | None = None) -> Response:
        searcher = services.searcher(name)
        about = _files(searcher).get(file)
        if about is None:
            raise not_found(f"the map of {name} has no file {file[:80]!r}")
        digest = about["sha256"][:16]
        headers = {
            "ETag": f'"{digest}"',
            "Cache-Control": f"{cacheable}, max-age={_YEAR_SECONDS}, immutable"
            if v == digest
            else f"{cacheable}, no-cache",
        }
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        path = searcher.release.folder / "atlas" / file
        return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)

    return routes


def _files(searcher: Searcher) -> dict[str, dict[str, Any]]:
    """Name -> what the release says of it. While a pin of the release is hidden there is no map: its files
    are of all pins; the next release has one without it."""
    if searcher.hides_some:
        return {}
    listed = searcher.release.info["files"].items()
    return {
        name.removeprefix("atlas/"): about
        for name, about in listed
        if name.startswith("atlas/") and Path(name).suffix in _TYPES
    }
