"""`make demo`: the main job, end to end, on the two sample collections.

Fetches the sample pictures by package name, starts the sample site on loopback, takes both
collections through Dagster, shows what came of them, and searches them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pinflow.commands.console import Console
from pinflow.commands.find import find, show
from pinflow.commands.summary import summarise
from pinflow.errors import PinflowError
from pinflow.pipeline.session import Session
from pinflow.settings import Settings
from pinflow.store import Store

if TYPE_CHECKING:
    from pinflow.sample.samples import Samples

COLLECTIONS = ("market", "shop")
PRICE_AT_MOST = 200.0


def run_demo(settings: Settings) -> int:
    """The exit code: 0 done, 1 where something failed, with what."""
    from pinflow.sample.fetch import fetch
    from pinflow.sample.site import SampleSite

    console = Console()
    started = time.perf_counter()
    samples = fetch(settings.home_path / "sample", progress=_Told(console))
    fetched = time.perf_counter() - started
    summaries: dict[str, Any] = {}
    with Session(settings) as session, SampleSite(samples, port=_port(session)) as site:
        console.say(f"sample site on {site.base_url}: {_count(samples)}")
        for name in COLLECTIONS:
            collection = session.collections.good[name]
            with console.showing(name) as tell:
                ran = session.run(collection, tell=tell)
            summaries[name] = summarise(session.house.store, collection, ran)
        pictures_fetched = site.requests["picture"]
    total = time.perf_counter() - started
    console.say("")
    console.print_summaries(list(summaries.values()))
    failed = any(summary["failed"] for summary in summaries.values())
    folder = settings.home_path / "demo"
    _write(folder, session.house.store, summaries, (total, fetched), pictures_fetched)
    if not failed:
        _search(console, settings, samples)
    console.say(
        f"\ntotal {total:.1f} s, {pictures_fetched} pictures fetched; figures and maps are in {folder}"
    )
    return 1 if failed else 0


def _port(session: Session) -> int:
    """Where the sample collections expect their site."""
    missing = [name for name in COLLECTIONS if name not in session.collections.good]
    if missing:
        bad = "; ".join(session.collections.bad.values())
        raise PinflowError(f"the demo needs the collection {missing[0]}, run it from the repository. {bad}")
    return urlsplit(session.collections.good["market"].source.base_url or "").port or 8765


def _count(samples: Samples) -> str:
    return f"{len(samples.market.rows)} market pictures, {len(samples.shop.rows)} products"


def _write(
    folder: Path, store: Store, summaries: dict[str, Any], seconds: tuple[float, float], pictures: int
) -> None:
    """`seconds`: altogether, and of those to fetch the samples."""
    total, fetched = seconds
    folder.mkdir(parents=True, exist_ok=True)
    work = sum(summary["body_seconds"] for summary in summaries.values())
    rooms = sum(sum(summary["seconds"].values()) for summary in summaries.values())
    content = {
        "collections": summaries,
        "total_seconds": round(total, 2),
        "pictures_fetched": pictures,
        "outside_domain_share": round(1 - rooms / (total - fetched), 4),
        "outside_bodies_share": round(1 - work / (total - fetched), 4),
    }
    (folder / "summary.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    for name in summaries:
        atlas = store.manifest(name, "atlas")
        if atlas is not None:
            (folder / f"{name}-atlas.png").write_bytes(store.file(atlas, "map.png"))


def _search(console: Console, settings: Settings, samples: Samples) -> None:
    """Three searches that a person would try first."""
    foods = samples.market.rows
    apple = next((row for row in foods if "apple" in row.title.lower()), foods[0])
    chair = samples.shop.rows[len(samples.shop.rows) // 2]
    searches = (
        (f"market, by picture: {apple.title}", "market", {"image": samples.market.path(apple)}),
        ("market, by text: dried red chilli", "market", {"text": "dried red chilli"}),
        (
            f"shop, by picture, at most {PRICE_AT_MOST:g}: {chair.title}",
            "shop",
            {"image": samples.shop.path(chair), "price_max": PRICE_AT_MOST},
        ),
    )
    for title, collection, query in searches:
        console.say(f"\n{title}", "bold")
        console.say(show(find(settings, collection, limit=5, **query)))


class _Told:
    """Progress of the fetch, a line each."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def start(self, what: str, total: int | None = None) -> None:  # noqa: ARG002
        self._console.say(what)

    def advance(self, by: int = 1) -> None:
        pass

    def note(self, text: str) -> None:
        self._console.say(text)
