"""The comparison of taggers as a stage: made by hand, shown where it is there, waited for by nobody."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from pinflow.learning.tagging.contenders import Ann
from pinflow.pipeline.assets.comparison import CHART, REPORT, TABLE
from pinflow.pipeline.metadata import PREVIEW_BYTES
from pinflow.sample.made import make_samples
from pinflow_tests.pipeline.houses import SLUGS, Tiny


class Small(Ann):
    side, epochs, settings = 8, 4, (3e-3,)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network on few pixels, timed a few times."""
    monkeypatch.setattr("pinflow.learning.tagging.contest.contenders", lambda count: [lambda: Small(count)])
    monkeypatch.setattr("pinflow.learning.tagging.compare.BATCHES", {1: 3, 32: 2})


def told(result: dg.ExecuteInProcessResult) -> dict[str, dg.MetadataValue]:
    (event,) = result.get_asset_materialization_events()
    return dict(event.step_materialization_data.materialization.metadata)


def test_a_state_is_a_report_a_chart_and_a_table(tmp_path, cheap):
    make_samples(tmp_path / "pictures", labels=3, per_label=12)
    house = Tiny(tmp_path)
    house.add_labels(house.queries)
    for label in SLUGS:
        assert house.materialize(["pins", "images", "splits"], label).success
    result = house.materialize(["comparison"])
    assert result.success
    state = house.store.manifest("tiny", "comparison")
    assert set(state.files) == {REPORT, TABLE, CHART}
    report = json.loads(house.store.file(state, REPORT))
    assert report["tags"] == SLUGS
    assert report["rows"][0]["accuracy"]["n"] == report["pictures"] == state.facts["pictures"]
    assert len(report["rows"][0]["curve"]) == Small.epochs
    assert 2 <= report["folds"] <= 5
    table = told(result)["comparison"].value
    assert "| basic ANN |" in table
    assert "served: a linear probe on tf_efficientnet_lite0" in table
    assert "](data:image/png" in told(result)["preview"].value
    assert state.files[CHART].bytes < PREVIEW_BYTES

    assert house.materialize(["comparison"]).success
    assert house.store.manifest("tiny", "comparison").written_at == state.written_at, "nothing had changed"
    house.instance.dispose()


def test_a_run_never_makes_it(house):
    assert house.store.manifest("tiny", "comparison") is None
    assert house.run().failed == {}
    assert house.store.manifest("tiny", "comparison") is None


def test_made_by_hand_it_comes_into_the_evaluation_and_the_release_with_the_next_run(house, cheap):
    page = "Taggers compared"
    before = house.store.manifest("tiny", "evaluation")
    assert page not in house.store.file(before, "evaluation.html").decode()
    assert house.materialize(["comparison"]).success
    report = json.loads(house.store.file(house.store.manifest("tiny", "comparison"), REPORT))

    assert house.run().failed == {}
    after = house.store.manifest("tiny", "evaluation")
    assert page in house.store.file(after, "evaluation.html").decode()
    assert json.loads(house.store.file(after, "evaluation.json"))["comparison"] == report
    assert house.release()["files"]["evaluation.html"]["sha256"] == after.files["evaluation.html"].sha256
    assert house.snapshot.stale("evaluation") == set()
