"""A pin is purged from a house that was scraped from a site and is being served: not a byte of it is left,
nothing names it, and no scrape brings it back; also where the purge is killed half-way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pinflow import releases
from pinflow.sample.made import make_samples
from pinflow.sample.site import SampleSite
from pinflow.store import Store, open_store
from pinflow_tests.system.dagsters import free_port, get, until

pytestmark = pytest.mark.system

SHAPES = """
description: Made shapes
source: {{kind: pinterest, base_url: "{url}", per_label: 20}}
labels: [plain red, plain green, plain blue]
"""


@dataclass
class House:
    """A house of its own on this disk, and the site that it is scraped from."""

    root: Path
    site: SampleSite

    @property
    def store(self) -> Store:
        return open_store(str(self.root / "home" / "storage"))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PINFLOW_HOME": str(self.root / "home"),
            "PINFLOW_COLLECTIONS": str(self.root / "collections"),
            "DAGSTER_HOME": str(self.root / "home" / "dagster"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pinflow.cli", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def pinflow(self, *arguments: str) -> str:
        process = self.start(*arguments)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def pins(self, label: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.store.table(
            self.store.manifest("shapes", "pins", label), "pins.parquet"
        ).to_pylist()
        return found

    def traces(self, id: str, original: bytes) -> list[str]:
        """Every file that holds the bytes or names the pin: in storage, tombstones aside, in local copies
        of releases, and in what crawls left."""
        home = self.root / "home"
        files = [path for name in ("storage", "cache", "crawl") for path in (home / name).rglob("*")]
        return [
            str(path.relative_to(home))
            for path in files
            if path.is_file() and "tombstones" not in path.parts and _holds(path.read_bytes(), id, original)
        ]


def _holds(data: bytes, id: str, original: bytes) -> bool:
    if original in data or f'"{id}"'.encode() in data:
        return True
    if not data.startswith(b"PAR1"):
        return False
    table = pq.read_table(pa.BufferReader(data))
    return any(_names(column.combine_chunks(), id) for column in table.columns)


def _names(column: pa.Array, id: str) -> bool:
    """Whether a text of the column, however deep, holds the id."""
    if pa.types.is_map(column.type):
        return _names(column.keys, id) or _names(column.items, id)
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return _names(column.flatten(), id)
    return pa.types.is_string(column.type) and bool(pc.any(pc.match_substring(column, id)).as_py())


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    root = tmp_path_factory.mktemp("purge")
    (root / "collections").mkdir()
    with SampleSite(make_samples(root / "samples", labels=3, per_label=8), port=0) as site:
        (root / "collections" / "shapes.yaml").write_text(SHAPES.format(url=site.base_url))
        house = House(root, site)
        house.pinflow("run", "shapes")
        yield house


def test_a_purged_pin_is_gone_from_the_running_app_and_from_every_file(house: House):
    port = free_port()
    app = house.start("serve", "--port", str(port))
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: get(f"{url}/readyz")[0] == 200, 60, "the app")
        row = next(one for one in house.pins("plain-red") if one["sha256"])
        id, original = row["id"], house.store.get("shapes", row["sha256"])
        pin, thumbnail = (f"{url}/v1/collections/shapes/{kind}/{id}" for kind in ("pins", "thumbnails"))
        assert (get(pin)[0], get(thumbnail)[0]) == (200, 200)
        before = house.traces(id, original)
        assert any(path.startswith("cache") for path in before)
        named = [one["id"] for label in ("plain-red", "plain-green") for one in house.pins(label)
                 if id in one["related"]]  # fmt: skip
        assert named, "the made site shows it beside no other"
        hits = house.site.requests.total()

        purge = house.start("purge", "shapes", id, "--why", "its author asked")
        until(lambda: get(pin)[0] == 404, 60, "the tombstone in the app", every=0.05)
        assert get(thumbnail)[0] == 404
        assert purge.wait(300) == 0, purge.stdout.read() if purge.stdout else ""

        assert house.site.requests.total() == hits  # the site was asked for nothing
        now = releases.current(house.store, "shapes")
        until(lambda: now in get(f"{url}/readyz")[1].decode(), 30, "the new release")
        until(lambda: house.traces(id, original) == [], 10, "a clean house")
        assert (get(pin)[0], get(thumbnail)[0]) == (404, 404)
    finally:
        app.send_signal(signal.SIGINT)
        app.wait(30)

    house.pinflow("run", "shapes")
    assert id not in [one["id"] for label in ("plain-red", "plain-green") for one in house.pins(label)]
    assert house.traces(id, original) == []
    answer = json.loads(house.pinflow("search", "shapes", "--text", "red", "--limit", "200", "--json"))
    assert answer["results"]
    assert id not in [result["id"] for result in answer["results"]]


def test_a_purge_that_is_killed_is_finished_by_the_next_run(house: House):
    row = next(one for one in house.pins("plain-blue") if one["sha256"])
    id, original = row["id"], house.store.get("shapes", row["sha256"])
    purge = house.start("purge", "shapes", id)
    tombstones = house.root / "home" / "storage" / "shapes" / "tombstones"
    count = len(list(tombstones.glob("*.json")))
    until(lambda: len(list(tombstones.glob("*.json"))) > count, 60, "the tombstone", every=0.02)
    time.sleep(2.0)
    purge.kill()
    purge.wait(30)
    assert house.traces(id, original)

    house.pinflow("run", "shapes")

    assert house.traces(id, original) == []
    assert house.store.names("shapes", "erasing") == []
