"""The label-list sensor: lists become labels, partitions and runs; removed labels go when they are idle."""

from __future__ import annotations

import json
import time
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from pinflow import registry
from pinflow.pipeline.partitions import partitions_name
from pinflow.pipeline.sensors import RUNS_PER_TICK, label_list_sensor
from pinflow_tests.pipeline.houses import SLUGS, Tiny

PARTITIONS = partitions_name("tiny")


class Ticks:
    """What the daemon does with a sensor: evaluates it, adds and deletes partitions, keeps the cursor."""

    def __init__(self, house: Tiny) -> None:
        self.house = house
        self.sensor = label_list_sensor(house.collection)
        self.cursor: str | None = None
        self.launched: list[str] = []
        self.run_keys: list[str] = []

    def evaluate(self) -> Any:
        # As the daemon's code server builds it: with a reference, so that it counts requested partitions.
        with dg.SensorEvaluationContext(
            instance_ref=self.house.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            repository_def=self.house.defs.get_repository_def(),
            sensor_name=self.sensor.name,
            resources={"house": self.house.house},
        ) as context:
            return self.sensor.evaluate_tick(context)

    def tick(self) -> Any:
        data = self.evaluate()
        for request in data.dynamic_partitions_requests or ():
            if isinstance(request, dg.AddDynamicPartitionsRequest):
                self.house.instance.add_dynamic_partitions(PARTITIONS, list(request.partition_keys))
            else:
                for key in request.partition_keys:
                    self.house.instance.delete_dynamic_partition(PARTITIONS, key)
        self.launched += [request.partition_key for request in data.run_requests]
        self.run_keys += [request.run_key for request in data.run_requests]
        self.cursor = data.cursor
        return data

    def until_quiet(self) -> int:
        """Tick until nothing is launched; how many ticks launched something."""
        for number in range(1000):
            if not self.tick().run_requests:
                return number
        raise AssertionError("the sensor never comes to rest")

    def write_list(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        self.house.store.write(data, "label_lists", "tiny", name)

    @property
    def partitions(self) -> list[str]:
        return sorted(self.house.instance.get_dynamic_partitions(PARTITIONS))

    @property
    def queries(self) -> set[str]:
        return {label.query for label in registry.live(self.house.store, "tiny").values()}

    def rejected(self, name: str) -> list[str]:
        return json.loads(self.house.store.read("tiny", "rejected_labels", f"{name}.json"))


@pytest.fixture
def ticks(bare: Tiny) -> Ticks:
    return Ticks(bare)


def test_the_labels_of_the_collection_file_become_partitions_and_one_run_each(ticks):
    ticks.tick()
    assert ticks.partitions == SLUGS
    assert sorted(ticks.launched) == SLUGS
    assert not ticks.tick().run_requests


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("new.txt", "# mine\nbird\nfish\n"),
        ("new.csv", "label,note\nbird,x\nfish,y\n"),
        ("new.yaml", "labels: [bird, fish]\n"),
        ("NEW.TXT", "\ufeffbird\r\nfish\r\n"),
    ],
)
def test_a_new_list_of_any_kind_is_taken_up(ticks, name, content):
    ticks.tick()
    ticks.write_list(name, content)
    assert sorted(request.partition_key for request in ticks.tick().run_requests) == ["bird", "fish"]
    assert {"bird", "fish"} <= set(ticks.partitions)
    assert ticks.rejected(name) == []


def test_a_changed_list_adds_what_is_new_in_it(ticks):
    ticks.write_list("a.txt", "bird\n")
    ticks.until_quiet()
    ticks.write_list("a.txt", "bird\nfish\n")
    assert [request.partition_key for request in ticks.tick().run_requests] == ["fish"]


def test_bad_lines_are_skipped_and_reported_and_the_others_go_in(ticks, caplog):
    ticks.write_list("a.txt", "bird\n../../x\nfish\n")
    ticks.write_list("b.xlsx", b"PK\x03\x04")
    ticks.write_list("c.txt", b"\xff\xfe")
    ticks.write_list("d.txt", "dog\n")
    ticks.until_quiet()
    assert {"bird", "fish", "dog"} <= ticks.queries
    (line,) = ticks.rejected("a.txt")
    assert "a.txt, line 2: '../../x' skipped" in line
    assert "looks like a path" in line
    assert ".txt, .csv or .yaml" in ticks.rejected("b.xlsx")[0]
    assert "UTF-8" in ticks.rejected("c.txt")[0]


def test_bad_lines_are_told_in_the_log_of_the_tick(ticks, capfd):
    ticks.write_list("a.txt", "!!!\n")
    ticks.tick()
    assert "a.txt, line 1: '!!!' skipped" in capfd.readouterr().err


def test_two_queries_of_one_slug_become_two_partitions(ticks):
    ticks.write_list("a.txt", "café\ncafe\n")
    ticks.until_quiet()
    assert len([key for key in ticks.partitions if key.startswith("cafe")]) == 2


def test_the_same_tick_twice_asks_for_the_same_runs_with_the_same_keys(ticks):
    first, second = ticks.evaluate(), ticks.evaluate()
    assert [r.run_key for r in first.run_requests] == [r.run_key for r in second.run_requests]
    assert len(first.run_requests) == 3


def test_a_lost_cursor_launches_nothing_again(ticks):
    ticks.write_list("a.txt", "bird\n")
    ticks.until_quiet()
    launched = list(ticks.launched)
    ticks.cursor = None
    assert ticks.until_quiet() == 0
    assert ticks.launched == launched


def test_a_crash_after_registering_and_before_the_partitions_loses_no_label(ticks):
    ticks.write_list("a.txt", "bird\n")
    ticks.evaluate()  # labels are registered, then the daemon dies
    assert "bird" in ticks.queries
    assert "bird" not in ticks.partitions
    ticks.tick()
    assert "bird" in ticks.partitions
    assert "bird" in ticks.launched


def test_a_crash_after_the_partitions_and_before_the_runs_leaves_the_label_to_the_automation(ticks):
    ticks.tick()
    ticks.house.instance.add_dynamic_partitions(PARTITIONS, ["bird"])
    registry.add(ticks.house.store, "tiny", ["bird"], source="a test")
    assert not ticks.tick().run_requests
    assert "bird" in ticks.house.snapshot.stale("pins")


def test_ten_thousand_labels_in_one_list_are_registered_in_one_tick_and_launched_in_batches(ticks):
    ticks.write_list("many.txt", "\n".join(f"label number {number}" for number in range(10_000)))
    started = time.perf_counter()
    ticks.tick()
    first = time.perf_counter() - started
    assert len(ticks.queries) == 10_003
    started = time.perf_counter()
    ticks.tick()
    second = time.perf_counter() - started
    assert len(ticks.partitions) == 2 * RUNS_PER_TICK
    # The daemon gives a tick 60 seconds.
    assert first < 30
    assert second < 5
    print(f"\nfirst tick {first:.1f} s, a later one {second:.2f} s")
    most = sorted(registry.live(ticks.house.store, "tiny"))[:9_900]
    ticks.house.instance.add_dynamic_partitions(PARTITIONS, most)
    ticks.until_quiet()
    assert len(ticks.partitions) == 10_003
    assert len(ticks.launched) == len(set(ticks.launched))


def test_a_removed_label_goes_from_the_partitions_and_no_list_brings_it_back(ticks):
    ticks.write_list("a.txt", "bird\nfish\n")
    ticks.until_quiet()
    registry.remove(ticks.house.store, "tiny", ["bird", "plain red"])
    ticks.tick()
    assert ticks.partitions == ["fish", "plain-blue", "plain-green"]
    ticks.cursor = None
    ticks.write_list("a.txt", "bird\nfish\ncow\n")
    ticks.until_quiet()
    assert ticks.partitions == ["cow", "fish", "plain-blue", "plain-green"]


def test_a_label_that_a_person_adds_again_is_launched_again(ticks):
    ticks.until_quiet()
    registry.remove(ticks.house.store, "tiny", ["plain red"])
    ticks.tick()
    time.sleep(1.1)  # labels are dated in seconds
    registry.add(ticks.house.store, "tiny", ["plain red"], source="command line")
    assert [request.partition_key for request in ticks.tick().run_requests] == ["plain-red"]
    assert len(ticks.run_keys) == len(set(ticks.run_keys))


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
)
def test_a_removed_label_waits_for_its_run_in_flight(ticks, status):
    ticks.until_quiet()
    instance = ticks.house.instance
    job = ticks.house.defs.resolve_job_def("tiny_label")
    run = instance.create_run_for_job(job, status=status, tags={"dagster/partition": "plain-red"})
    registry.remove(ticks.house.store, "tiny", ["plain red", "plain blue"])
    ticks.tick()
    assert ticks.partitions == ["plain-green", "plain-red"]
    instance.report_run_canceled(run)
    ticks.tick()
    assert ticks.partitions == ["plain-green"]


def test_a_run_of_another_label_holds_no_removal_up(ticks):
    ticks.until_quiet()
    ticks.house.instance.create_run_for_job(
        ticks.house.defs.resolve_job_def("tiny_label"),
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": "plain-blue"},
    )
    registry.remove(ticks.house.store, "tiny", ["plain red"])
    ticks.tick()
    assert "plain-red" not in ticks.partitions


def test_a_backfill_in_flight_holds_removals_up(ticks):
    ticks.until_quiet()
    instance = ticks.house.instance
    backfill = PartitionBackfill.from_asset_partitions(
        backfill_id="one",
        asset_graph=ticks.house.defs.resolve_asset_graph(),
        partition_names=["plain-green"],
        asset_selection=[dg.AssetKey(["tiny", "pins"])],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    instance.add_backfill(backfill)
    registry.remove(ticks.house.store, "tiny", ["plain red"])
    ticks.tick()
    assert "plain-red" in ticks.partitions
    instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    ticks.tick()
    assert "plain-red" not in ticks.partitions
