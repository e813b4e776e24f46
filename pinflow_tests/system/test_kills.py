"""A process that dies in the middle of writing loses nothing and leaves nothing half done.

For every stage: the process is killed at several moments of its writing (a real SIGKILL of a real
process), the stage is made again, and what is stored is compared, byte by byte, with a house in which
nobody was killed. Each stage builds on what the killed ones before it left.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinflow import releases
from pinflow.pipeline.planning import Snapshot
from pinflow.pipeline.stages import BY_ITSELF, STAGES
from pinflow.sample.made import make_samples
from pinflow.store import Manifest, open_store
from pinflow_tests.pipeline.houses import states
from pinflow_tests.system import killing
from pinflow_tests.system.killing import LABELS, Kill

pytestmark = pytest.mark.system

# Imported once by the server that every process is forked from, before any thread of theirs starts.
PRELOADED = ["torch", "torch._dynamo", "timm", "faiss", "sklearn.neighbors", "umap", "matplotlib.figure"]
STAGE_SECONDS = 120


@dataclass
class Houses:
    """The calm one, where nobody is killed, and the stormy one."""

    root: Path
    processes: Any

    @property
    def pictures(self) -> Path:
        return self.root / "pictures" / "market"

    def home(self, name: str) -> Path:
        return self.root / name

    def copy(self, source: str, target: str) -> None:
        shutil.rmtree(self.home(target), ignore_errors=True)
        shutil.copytree(self.home(source), self.home(target))

    def make(self, name: str, stage: str, kill: Kill | None = None) -> int | None:
        """In a process of its own; with a kill, the first label alone. Returns the exit code."""
        labels: tuple[str | None, ...] = LABELS if STAGES[stage].per_label else (None,)
        process = self.processes.Process(
            target=killing.make_stage,
            args=(self.pictures, self.home(name), stage, labels[:1] if kill else labels, kill),
        )
        process.start()
        process.join(STAGE_SECONDS)
        code: int | None = process.exitcode
        return code

    def states(self, name: str) -> dict[str, Any]:
        """Everything about every state but when it was made and how long that took."""
        open_store.cache_clear()
        found = states(Snapshot(killing.store(self.home(name)), killing.collection(self.pictures)))
        return {f"{stage}/{label}": essence(manifest) for (stage, label), manifest in found.items()}

    def blobs(self, name: str) -> list[str]:
        """The name of every stored blob; each is proved to hold what its name says."""
        found = []
        for path in sorted((self.home(name) / "storage" / "tiny" / "blobs").rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
                found.append(path.name)
        return found

    def temporary(self, name: str) -> list[Path]:
        return [path for path in (self.home(name) / "storage").rglob(".*") if path.is_file()]


def essence(manifest: Manifest) -> tuple[Any, ...]:
    return (
        manifest.version,
        manifest.recipe,
        manifest.inputs,
        manifest.files,
        manifest.facts,
        manifest.status,
        manifest.reason,
        manifest.stats.get("preview"),
    )


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    root = tmp_path_factory.mktemp("kills")
    make_samples(root / "pictures", labels=2, per_label=4)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([*PRELOADED, "pinflow.pipeline.assets", "pinflow.scraping.scrape"])
    found = Houses(root, processes)
    for name in ("calm", "stormy"):
        found.home(name).mkdir()
        killing.register(found.home(name))
    return found


def moments(houses: Houses, stage: str, replacing: bool) -> list[Kill]:
    """The first write, the last before the manifest, the manifest's own, and just after it; every write of
    a release, and for a scrape also the crawl before it stores anything."""
    counts = json.loads((houses.home("calm") / "writes.json").read_text())
    last, named = counts["torn"], counts["named"]
    if stage == "release":
        return [Kill(n, when) for n in range(1, last + 1) for when in ("torn", "named")]  # type: ignore[arg-type]
    found = [Kill(max(1, last - 1), "written"), Kill(last, "torn")]
    if not replacing:
        found += [Kill(1, "torn"), Kill(named, "named")]
    if stage == "pins":
        found += [Kill(2, "named"), Kill(last // 2, "torn")]
    return found


# First everything is made from nothing; then the source has more pictures, and every state is replaced.
@pytest.mark.parametrize(
    ("pictures", "stage"), [(4, stage) for stage in BY_ITSELF] + [(6, stage) for stage in BY_ITSELF]
)
def test_a_stage_killed_while_writing_is_made_again_as_if_nothing_had_happened(
    houses: Houses, pictures: int, stage: str
):
    if stage == "pins":
        make_samples(houses.root / "pictures", labels=2, per_label=pictures)
    assert houses.make("calm", stage) == 0
    calm, blobs = houses.states("calm"), houses.blobs("calm")
    before = houses.states("stormy")
    assert before != calm
    houses.copy("stormy", "before")
    for kill in moments(houses, stage, bool(before.get(place_of(stage)))):
        houses.copy("before", "stormy")

        assert houses.make("stormy", stage, kill) == -signal.SIGKILL, kill
        after = houses.states("stormy")
        torn = [place for place in calm if after.get(place) not in (before.get(place), calm[place])]
        assert torn == [], f"{kill}: neither the old state nor the new one"
        assert set(houses.blobs("stormy")) <= set(blobs), f"{kill}: half an object can be seen"
        if stage == "release":
            assert_whole_or_none(houses)

        assert houses.make("stormy", stage) == 0, kill
        assert houses.states("stormy") == calm, f"{kill}: another result"
        assert houses.blobs("stormy") == blobs, f"{kill}: lost, or stored twice"


def place_of(stage: str) -> str:
    return f"{stage}/{LABELS[0] if STAGES[stage].per_label else None}"


def assert_whole_or_none(houses: Houses) -> None:
    """What serving sees right after a kill: no release, or one that is complete."""
    store = killing.store(houses.home("stormy"))
    name = releases.current(store, "tiny")
    if name is not None:
        folder = releases.LocalReleases(store, houses.root / f"cache-{name}").fetch("tiny", name)
        assert (folder / "gallery.faiss").is_file()


def test_at_the_end_the_release_is_that_of_the_undisturbed_house(houses: Houses):
    calm, stormy = (releases.current(killing.store(houses.home(name)), "tiny") for name in ("calm", "stormy"))
    assert calm is not None
    assert calm == stormy


def test_a_sweep_clears_what_the_killed_left_and_nothing_else(houses: Houses):
    store = killing.store(houses.home("stormy"))
    left, calm = houses.temporary("stormy"), houses.states("calm")
    assert left
    assert store.sweep("tiny") == 0  # too young: they could belong to a run in flight
    replaced = killing.store(houses.home("calm")).sweep("tiny", age_seconds=-1)
    assert store.sweep("tiny", age_seconds=-1) == len(left) + replaced
    assert houses.temporary("stormy") == []
    assert houses.blobs("stormy") == houses.blobs("calm")
    assert houses.states("stormy") == calm
