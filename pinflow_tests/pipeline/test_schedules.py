"""The nightly rescrape."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pinflow import registry
from pinflow.pipeline.schedules import nightly_rescrape
from pinflow_tests.pipeline.houses import SLUGS, Tiny

NIGHT = datetime(2026, 1, 2, 3, tzinfo=UTC)


def tick(house: Tiny, at: datetime = NIGHT) -> Any:
    schedule = nightly_rescrape(house.collection)
    with dg.build_schedule_context(
        instance=house.instance,
        scheduled_execution_time=at,
        resources={"house": house.house},
        repository_def=house.defs.get_repository_def(),
    ) as context:
        return schedule.evaluate_tick(context)


def test_one_run_for_every_live_label_each_night(bare):
    house = bare
    house.add_labels(["plain red", "plain green", "plain blue", "gone"])
    registry.remove(house.store, "tiny", ["gone"])
    requests = tick(house).run_requests
    assert sorted(request.partition_key for request in requests) == SLUGS
    tomorrow = tick(house, NIGHT.replace(day=3)).run_requests
    assert not {r.run_key for r in requests} & {r.run_key for r in tomorrow}
    assert {r.run_key for r in tick(house).run_requests} == {r.run_key for r in requests}


def test_a_night_without_labels_says_so(bare):
    data = tick(bare)
    assert not data.run_requests
    assert "no labels yet" in data.skip_message


def test_a_label_without_its_partition_waits_for_the_sensor(bare):
    house = bare
    house.add_labels(["plain red"])
    registry.add(house.store, "tiny", ["just added"], source="a test")
    assert [request.partition_key for request in tick(house).run_requests] == ["plain-red"]


def test_a_night_of_500_labels_is_asked_for_in_a_moment(bare):
    house = bare
    house.add_labels([f"label {number}" for number in range(500)])
    started = time.perf_counter()
    assert len(tick(house).run_requests) == 500
    seconds = time.perf_counter() - started
    print(f"\n{seconds:.1f} s for 500 labels")
    assert seconds < 1


def test_a_rescrape_of_unchanged_pictures_makes_nothing_stale(house):
    before = house.versions()
    house.materialize(["pins"], "plain-red")  # once with Dagster's own record of the version
    for label in SLUGS:
        result = house.materialize(["pins"], label)
        assert result.success
        (event,) = result.get_asset_materialization_events()
        tags = event.step_materialization_data.materialization.tags
        assert tags["dagster/data_version"] == before["pins", label]
    assert house.versions() == before
    assert all(not house.snapshot.stale(stage) for stage in ("pins", "images", "features", "release"))
