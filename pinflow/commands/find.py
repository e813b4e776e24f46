"""`pinflow search`: the released collection searched without a server, with the server's own answer."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinflow.errors import SearchError, StoreError
from pinflow.releases import LocalReleases
from pinflow.settings import Settings, engines
from pinflow.store import open_store

if TYPE_CHECKING:
    from pinflow.retrieval.query import Example
    from pinflow.retrieval.searcher import Searcher


def find(
    settings: Settings,
    collection: str,
    *,
    image: Path | None = None,
    text: str | None = None,
    url: str | None = None,
    label: str | None = None,
    limit: int = 10,
    price_max: float | None = None,
) -> dict[str, Any]:
    """The body that `POST /v1/collections/{c}/search` would answer. Raises `SearchError`, `LinkError`, and
    `StoreError` before the first release."""
    from pinflow.learning.trunk import load_trunk
    from pinflow.retrieval.query import Example, Filter, Query
    from pinflow.retrieval.searcher import Searcher

    positive = [
        *([Example(image=image.read_bytes())] if image else []),
        *([Example(text=text)] if text else []),
        *([Example(url=url)] if url else []),
    ]
    if not positive:
        raise SearchError("say what to search for: --image, --text or --url")
    local = LocalReleases(open_store(settings.storage_url), settings.home_path / "cache" / "releases")
    release = local.current(collection)
    if release is None:
        raise StoreError(f"{collection} has no release yet: pinflow run {collection}")
    removed = local.removed(collection)
    load = partial(load_trunk, device=settings.device, engines=engines(settings.home_path))
    searcher = Searcher.open(local.fetch(collection, release), load_trunk=load).without(removed)
    local.drop_holding(collection, removed, keep=release)
    started = time.perf_counter()
    positive = [_followed(one, searcher, settings) for one in positive]
    fetch = (time.perf_counter() - started) * 1000
    query = Query(positive=positive, label=label, filter=Filter(price_max=price_max), limit=limit)
    answer = searcher.search(query)
    return (answer if url is None else answer.after(fetch)).model_dump(mode="json")


def _followed(example: Example, searcher: Searcher, settings: Settings) -> Example:
    """The example with the picture that its link leads to, if it has one."""
    from pinflow.serving.links import Links

    async def follow() -> Example:
        links = Links(contact=settings.contact)
        try:
            return await links.follow(example, "positive", searcher)
        finally:
            await links.close()

    return example if example.url is None else asyncio.run(follow())


def show(answer: dict[str, Any]) -> str:
    """The results, a line each."""
    return "\n".join(_line(result) for result in answer["results"]) or "nothing found"


def _line(result: dict[str, Any]) -> str:
    price = "" if result["price"] is None else f"  {result['price']:g} {result.get('currency') or ''}"
    name = result["title"] or result["id"]
    return f"{result['rank']:>3}  {result['score']:.3f}  {result['label']:<24} {name}{price}".rstrip()
