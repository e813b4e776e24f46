"""A real Dagster over two small collections, used as a person uses its UI: through GraphQL.

`shapes` is scraped from the sample site, which fails for one label; `cracked` is a folder, and the code
meets a bug in one of its labels. Both are backfilled whole, then left to the automation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinflow import registry, releases
from pinflow.collection import load
from pinflow.commands.up import dagster_commands, start, stop
from pinflow.pipeline.instance import create
from pinflow.pipeline.partitions import mirror
from pinflow.pipeline.planning import Snapshot
from pinflow.pipeline.stages import BY_ITSELF, STAGES
from pinflow.sample.made import make_samples
from pinflow.sample.site import SampleSite
from pinflow.settings import Settings
from pinflow.store import Store, open_store
from pinflow_tests.system.dagsters import GraphQL, free_port, tail, until

pytestmark = pytest.mark.system

LABELS = ["plain-blue", "plain-green", "plain-red"]
SHAPES = """
description: Shapes from a site
source: {{kind: pinterest, base_url: "{url}", per_label: 20}}
labels: [plain red, plain green, plain blue]
"""
CRACKED = """
description: Shapes from a folder, of which one is too much for the code
source: {{kind: folder, path: "{path}"}}
labels: [plain red, plain green, plain blue]
"""


@dataclass
class House:
    """All that a test looks at."""

    dagster: GraphQL
    site: SampleSite
    store: Store
    settings: Settings

    def release(self, collection: str) -> dict[str, Any]:
        name = releases.current(self.store, collection)
        return releases.describe(self.store, collection, name) if name else {}

    def labels(self, collection: str) -> dict[str, tuple[str, bool]]:
        """Of each label in the release: its status, and whether it has pictures."""
        found = self.release(collection).get("labels", {})
        return {slug: (label["status"], label["pictures"] > 0) for slug, label in found.items()}

    def versions(self, collection: str) -> dict[tuple[str, str | None], str]:
        snapshot = Snapshot(self.store, load(self.settings.collections).good[collection])
        places = [(s.name, label) for s in STAGES.values() for label in (LABELS if s.per_label else [None])]
        found = {place: snapshot.manifest(*place) for place in places}
        return {place: manifest.version for place, manifest in found.items() if manifest}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    root = tmp_path_factory.mktemp("dagster")
    samples = make_samples(root / "samples", labels=4, per_label=6)
    collections = root / "collections"
    collections.mkdir()
    settings = Settings(home=root / "home", collections=collections)
    with pytest.MonkeyPatch.context() as patch, SampleSite(samples, port=0) as site:
        (collections / "shapes.yaml").write_text(SHAPES.format(url=site.base_url))
        (collections / "cracked.yaml").write_text(CRACKED.format(path=root / "samples" / "market"))
        patch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        patch.setenv("CRASHING_LABEL", "cracked/plain-green")
        create(settings)
        _register(settings)
        port = free_port()
        commands = dagster_commands(port, Path(__file__).with_name("crashing.yaml"))
        running = {name: start(command, settings, root / f"{name}.log") for name, command in commands.items()}
        try:
            dagster = GraphQL(port, "pinflow_tests.system.crashing")
            until(lambda: _loaded(dagster), 90, "a loaded code location")
            yield House(dagster, site, open_store(settings.storage_url), settings)
        except BaseException:
            print(*(tail(log) for log in root.glob("*.log")), sep="\n")
            raise
        finally:
            stop(running)


def _register(settings: Settings) -> None:
    """Labels and partitions, so that it is a person who launches the first runs and no sensor."""
    import dagster as dg

    store = open_store(settings.storage_url)
    with dg.DagsterInstance.get() as instance:
        for collection in load(settings.collections).good.values():
            added = registry.add(store, collection.name, collection.labels, source="a test")
            mirror(instance, collection.name, {label.slug for label in added})


def _loaded(dagster: GraphQL) -> bool:
    try:
        found = dagster.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    except OSError:
        return False
    return bool(found["repositoriesOrError"].get("nodes"))


@pytest.fixture(scope="module")
def backfilled(house):
    """Both collections backfilled whole, each with trouble in one label: how and when each ended."""
    house.site.fail("plain blue")
    launched = {name: house.dagster.backfill(name, LABELS) for name in ("shapes", "cracked")}
    return {name: house.dagster.backfill_ended(id) for name, id in launched.items()}


@pytest.fixture(scope="module")
def mended(house, backfilled):
    """The automation has had its time after the crash in `cracked`."""
    until(lambda: house.labels("cracked"), 300, "a release of cracked by the automation")
    return backfilled["cracked"][1]


@pytest.fixture(scope="module")
def healed(house, backfilled):
    """The site of `shapes` answers again, a list asks for one label more, and the automation has noticed."""
    house.site.heal()
    house.store.write(b"plain yellow\n", "label_lists", "shapes", "more.txt")
    complete = dict.fromkeys([*LABELS, "plain-yellow"], ("complete", True))
    until(lambda: house.labels("shapes") == complete, 420, "a release of shapes with all its labels")


def test_every_stage_of_every_collection_is_listed_with_its_partitions(house):
    nodes = house.dagster.ask("{ assetNodes { assetKey { path } partitionKeys groupName } }")["assetNodes"]
    found = {tuple(node["assetKey"]["path"]): node for node in nodes}

    for name in ("shapes", "cracked"):
        for stage in STAGES.values():
            node = found[name, stage.name]
            assert node["groupName"] == name
            assert sorted(node["partitionKeys"]) == (LABELS if stage.per_label else [])


def test_a_label_whose_site_fails_leaves_the_others_the_roll_ups_and_the_release_complete(house, backfilled):
    status, _ = backfilled["shapes"]

    assert status == "COMPLETED_SUCCESS"
    assert house.labels("shapes") == {
        "plain-blue": ("incomplete", False),
        "plain-green": ("complete", True),
        "plain-red": ("complete", True),
    }
    assert "503" in house.release("shapes")["labels"]["plain-blue"]["reason"]


def test_the_failing_label_shows_a_failing_check_that_says_why(house, backfilled):
    check = house.dagster.check("shapes", "pins", "complete", "plain-blue")

    assert check["status"] == "FAILED"
    assert check["evaluation"]["severity"] == "ERROR"
    assert "503" in check["evaluation"]["description"]
    assert house.dagster.check("shapes", "pins", "complete", "plain-red")["status"] == "SUCCEEDED"


def test_after_a_crash_in_one_label_the_automation_completes_the_rest_within_two_ticks(
    house, backfilled, mended
):
    status, ended = backfilled["cracked"]

    assert status == "COMPLETED_FAILED", "a bug in one label fails every roll-up of its backfill"
    ticks = [tick for tick in house.dagster.ticks("cracked_automation") if tick["timestamp"] >= ended]
    requesting = [number for number, tick in enumerate(ticks, 1) if tick["status"] == "SUCCESS"]
    assert requesting
    assert max(requesting) <= 2, ticks
    assert {slug for slug, (_, pictures) in house.labels("cracked").items() if pictures} == {
        "plain-blue",
        "plain-red",
    }
    assert house.labels("cracked")["plain-green"][0] == "incomplete"


def test_when_the_site_answers_again_the_automation_completes_its_label(house, healed):
    assert house.dagster.check("shapes", "pins", "complete", "plain-blue")["status"] == "SUCCEEDED"
    assert house.release("shapes")["labels"]["plain-blue"]["pictures"] == 6


def test_one_label_several_and_roll_ups_materialise_in_any_order_and_change_nothing(house, healed):
    before = house.versions("shapes")

    assert house.dagster.run("shapes_release") == "SUCCESS"
    backward = house.dagster.backfill("shapes", ["plain-red", "plain-blue"], ["projection", "splits"])
    assert house.dagster.run("shapes_label", "plain-green") == "SUCCESS"
    assert house.dagster.backfill_ended(backward)[0] == "COMPLETED_SUCCESS"
    assert house.versions("shapes") == before


def test_a_new_label_list_becomes_a_label_a_partition_and_a_run(house, healed):
    assert registry.live(house.store, "shapes")["plain-yellow"].source == "more.txt"
    runs = house.dagster.ask(
        """{ runsOrError(filter: {tags: [{key: "dagster/sensor_name", value: "shapes_label_lists"}]}) {
            ... on Runs { results { status tags { key value } } } } }"""
    )["runsOrError"]["results"]
    labels = [tag["value"] for run in runs for tag in run["tags"] if tag["key"] == "dagster/partition"]
    assert labels == ["plain-yellow"], "the sensor requests one run for the new label, and no other"


def test_every_materialisation_tells_its_story(house, healed):
    told = house.dagster.ask(
        """{ assetNodes { assetKey { path } assetMaterializations(limit: 1) {
            metadataEntries { label ... on MarkdownMetadataEntry { mdStr } } } } }"""
    )["assetNodes"]
    entries = {
        tuple(node["assetKey"]["path"]): {
            entry["label"]: entry.get("mdStr", "")
            for entry in node["assetMaterializations"][0]["metadataEntries"]
        }
        for node in told
        if node["assetKey"]["path"][0] == "shapes" and node["assetKey"]["path"][1] in BY_ITSELF
    }

    assert len(entries) == len(BY_ITSELF)
    for (_, stage), entry in entries.items():
        assert {"status", "preview", "provenance", "bytes", "seconds"} <= set(entry), stage
        assert len(json.dumps(entry)) < 120_000, stage
    for stage in ("pins", "images", "encoder", "index", "gallery", "atlas", "evaluation", "release"):
        assert "](data:image/" in entries["shapes", stage]["preview"], stage
