"""The tagger as a stage: what it stores, what a release takes of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pinflow import schema
from pinflow.learning.tagging.fit import TaggerFit
from pinflow.learning.tagging.tagger import Tagger
from pinflow.pipeline.assets.tagger import REPORT, STATE, SUSPECTS, served_tagger, suspects
from pinflow.sample.made import make_samples
from pinflow_tests.learning.conftest import pictures
from pinflow_tests.pipeline.houses import SLUGS, Tiny


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Three labels of twelve pictures, up to the tagger."""
    root = tmp_path_factory.mktemp("twelve")
    make_samples(root / "pictures", labels=3, per_label=12)
    house = Tiny(root)
    house.add_labels(house.queries)
    for label in SLUGS:
        assert house.materialize(["pins", "images", "splits", "features"], label).success
    assert house.materialize(["tagger"]).success
    return house


def test_a_state_is_a_tagger_its_report_and_what_it_learned_from(twelve):
    state = twelve.store.manifest("tiny", "tagger")
    assert set(state.files) == {STATE, REPORT, SUSPECTS, "rows.parquet", "trained_on.parquet"}
    tagger = Tagger.from_bytes(twelve.store.file(state, STATE))
    assert list(tagger.tags) == SLUGS
    assert (
        tagger.trunk
        == state.facts["trunk"]
        == twelve.store.manifest("tiny", "features", SLUGS[0]).facts["trunk"]
    )
    report = json.loads(twelve.store.file(state, REPORT))
    assert set(report["figures"]) >= {"accuracy", "macro_f1", "log_loss", "ece", "coverage", "stranger_auroc"}
    assert state.facts["rows"] == dict.fromkeys(SLUGS, 12)
    assert state.facts["suspects"] == twelve.store.table(state, SUSPECTS).num_rows == report["suspects"]


def test_made_again_by_hand_it_is_the_same(twelve):
    before = twelve.store.manifest("tiny", "tagger")
    twelve.store.discard(before)
    assert twelve.materialize(["tagger"]).success
    assert twelve.store.manifest("tiny", "tagger").version == before.version


def test_a_release_takes_a_tagger_that_its_trunk_can_feed(twelve):
    state = twelve.store.manifest("tiny", "tagger")
    assert set(served_tagger(state, state.facts["trunk"])) == {STATE, REPORT}
    assert served_tagger(state, "another") == {}
    nothing = replace(state, files={name: file for name, file in state.files.items() if name != STATE})
    assert served_tagger(nothing, state.facts["trunk"]) == {}


def test_every_release_is_gated_by_the_tagger_too(house):
    """Four pictures a label may be too few for one; then the state says so, and the release goes on."""
    state = house.store.manifest("tiny", "tagger")
    assert state.facts["why"]
    held = {name for name in house.release()["files"] if name.startswith("tagger")}
    assert held == ({STATE, REPORT} if STATE in state.files else set())


def test_suspects_are_named_by_pin_and_label():
    from pinflow.learning.splits import assign

    rows = assign(pictures(["a", "b"]), "red")
    sha256 = dict(zip(rows["id"].to_pylist(), rows["sha256"].to_pylist(), strict=True))
    told = {"label": "red", "suggested": "blue", "probability": 0.1, "suggested_probability": 0.8}
    table = suspects(TaggerFit(None, "", suspects=[{"sha256": sha256["b"], **told}]), rows)
    assert schema.problems(table, schema.SUSPECTS) == []
    assert table.to_pylist() == [{"id": "b", "sha256": sha256["b"], **told}]
