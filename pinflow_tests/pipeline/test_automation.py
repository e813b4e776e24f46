"""The automation, tick by tick, over real states: what it asks for, and what it leaves alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pinflow.pipeline import assets, removal
from pinflow.pipeline.stages import AUTOMATION, BY_ITSELF, PHASES, STAGES, downstream, of_phase
from pinflow.tombstones import Tombstone
from pinflow_tests.pipeline.houses import SLUGS, Tiny, add_labels, change_pictures, pretend, states

ALL = set(SLUGS)
EVERYTHING = {
    stage.name: ALL if stage.per_label else {None} for stage in BY_ITSELF.values()
}  # what a first tick asks for
ROLL_UPS_BEHIND_LABELS = {stage: {None} for stage in ("gallery", "atlas", "evaluation", "release")}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
NIGHT = datetime(2026, 1, 2, 3, 0, 10, tzinfo=UTC)  # the first tick after the hour of the rescrape


@dataclass
class Automation:
    """The daemon's ticks, half a minute apart, with its cursor."""

    house: Tiny
    cursor: Any = None
    now: datetime = NOON

    def tick(self, at: datetime | None = None) -> dict[str, set[str | None]]:
        self.now = at or self.now + timedelta(seconds=30)
        result = dg.evaluate_automation_conditions(
            self.house.defs, self.house.instance, cursor=self.cursor, evaluation_time=self.now
        )
        self.cursor = result.cursor
        asked = {
            stage: set(result.get_requested_partitions(dg.AssetKey(["tiny", stage]))) for stage in STAGES
        }
        return {stage: labels for stage, labels in asked.items() if labels}

    def carry_out(self, asked: Mapping[str, set[str | None]], trigger: str | None = AUTOMATION) -> list[str]:
        """Run what was asked for, in the order of the flow and as the daemon groups it; what failed."""
        failed = []
        for phase in PHASES:
            stages = [stage.name for stage in of_phase(phase) if stage.name in asked]
            labels = sorted({label for stage in stages for label in asked[stage]}, key=str)
            for label in labels:
                wanted = [stage for stage in stages if label in asked[stage]]
                result = self.house.materialize(wanted, label, trigger)
                failed += [f"{event.step_key}[{label}]" for event in result.filter_events(is_failure)]
        return failed

    def settle(self) -> dict[str, set[str | None]]:
        """Tick and carry out until nothing is asked for; everything that was asked for on the way."""
        total: dict[str, set[str | None]] = {}
        for _ in range(5):
            asked = self.tick()
            if not asked:
                return total
            self.carry_out(asked)
            for stage, labels in asked.items():
                total.setdefault(stage, set()).update(labels)
        raise AssertionError(f"it never comes to rest: {asked}")


def is_failure(event: dg.DagsterEvent) -> bool:
    return event.is_step_failure


@pytest.fixture
def automation(house: Tiny) -> Automation:
    house.add_labels([])
    return Automation(house)


def test_the_first_tick_in_an_empty_house_asks_for_the_whole_chain(empty_house):
    empty_house.add_labels(empty_house.queries)
    automation = Automation(empty_house)
    assert automation.tick() == EVERYTHING


def test_a_label_just_added_is_left_to_the_sensor_for_two_minutes(empty_house):
    now = datetime.now(UTC)
    empty_house.add_labels(empty_house.queries, added=(now - timedelta(seconds=30)).isoformat())
    automation = Automation(empty_house)
    assert automation.tick() == {}
    add_again = {"added": (now - timedelta(seconds=150)).isoformat()}
    for label in empty_house.snapshot.labels.values():
        content = str({**label.__dict__, **add_again}).replace("'", '"').replace("None", "null")
        empty_house.store.write(content.encode(), "tiny", "labels", f"{label.slug}.json")
    assert automation.tick() == EVERYTHING


def test_nothing_is_asked_for_once_everything_is_made(automation):
    assert automation.tick() == {}
    assert automation.tick() == {}


def test_a_tombstone_is_carried_out_to_the_release_without_asking_the_source(automation):
    house = automation.house
    pins = house.store.table(house.store.manifest("tiny", "pins", "plain-red"), "pins.parquet")
    removal.bury(house.store, "tiny", [Tombstone(id=pins["id"][0].as_py(), reason="purged")])
    house.pictures.rename(house.root / "away")
    before = house.current()
    asked = automation.settle()
    assert asked["pins"] == {"plain-red"}
    assert {label for labels in asked.values() for label in labels} == {"plain-red", None}
    assert house.release()["labels"]["plain-red"]["pictures"] == 3
    assert [path.split("/")[0] for path in house.store.documents("tiny", "releases")] == [house.current()]
    assert house.current() != before
    assert house.store.names("tiny", "erasing") == []


def test_changed_pictures_ask_for_that_label_and_the_roll_ups_but_not_the_encoder(automation):
    house = automation.house
    change_pictures(house)
    house.materialize(["pins"], "plain-red")
    asked = automation.settle()
    mine = {
        stage: {"plain-red"}
        for stage in ("images", "splits", "features", "embeddings", "index", "projection")
    }
    assert asked.keys() == mine.keys() | {"label_encoder"} | ROLL_UPS_BEHIND_LABELS.keys()
    assert mine.items() <= asked.items()
    assert ROLL_UPS_BEHIND_LABELS.items() <= asked.items()


def test_nobody_asks_for_what_is_made_by_hand_and_what_shows_it_follows(automation):
    pretend(automation.house.store, automation.house.collection, ["comparison"])
    assert automation.tick() == {"evaluation": {None}, "release": {None}}


def test_the_whole_chain_of_several_changes_is_asked_for_in_one_tick(automation):
    for label in ("plain-red", "plain-blue"):
        change_pictures(automation.house, label)
        automation.house.materialize(["pins"], label)
    asked = automation.tick()
    assert asked.keys() == downstream("pins") - {"encoder", "tagger", "comparison", "text_encoder"}


def test_a_lone_change_is_carried_out_before_the_roll_ups_are_asked_for(automation):
    """Dagster orders the requests of a tick only where it makes a backfill of them."""
    change_pictures(automation.house)
    automation.house.materialize(["pins"], "plain-red")
    asked = automation.tick()
    assert asked == {stage: {"plain-red"} for stage in downstream("pins") if STAGES[stage].per_label}
    automation.carry_out(asked)
    assert automation.tick() == ROLL_UPS_BEHIND_LABELS


def test_a_rescrape_that_changes_nothing_asks_for_nothing(automation):
    for label in SLUGS:
        automation.house.materialize(["pins"], label)
    assert automation.tick() == {}


class Bug:
    """A body that raises for one label, until it is mended."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stage: str, label: str | None) -> None:
        self.stage, self.label, self.there, self.calls = stage, label, True, 0
        self._body = assets.BODIES[stage]
        monkeypatch.setitem(assets.BODIES, stage, self)

    def __call__(self, part: Any, house: Any) -> Any:
        if part.label == self.label and self.there:
            self.calls += 1
            raise ZeroDivisionError("a bug")
        return self._body(part, house)


def test_after_a_crash_in_one_label_the_rest_is_complete_within_two_ticks(automation, monkeypatch):
    """What a backfill of the whole graph leaves behind where `images` raises for one label: that label's
    phase A broke off, and Dagster never started what rolls up, or lies behind a roll-up."""
    house, others = automation.house, ALL - {"plain-red"}
    for place, manifest in states(house.snapshot).items():
        if STAGES[place[0]].phase != "A" or (place[1] == "plain-red" and place[0] != "pins"):
            house.store.discard(manifest)
    house.store.delete("tiny", "CURRENT")
    bug = Bug(monkeypatch, "images", "plain-red")
    phase_a = {stage.name: set[str | None](ALL) for stage in of_phase("A")}
    assert automation.carry_out(phase_a) == ["tiny__images[plain-red]"]

    for _ in range(2):
        asked = automation.tick()
        assert not any("plain-red" in labels for labels in asked.values())
        assert automation.carry_out(asked) == []
    pictures = {slug: label["pictures"] > 0 for slug, label in house.release()["labels"].items()}
    assert pictures == {**dict.fromkeys(others, True), "plain-red": False}
    for stage in of_phase("C"):
        assert set(house.snapshot.manifests(stage.name)) == others
    for _ in range(3):
        assert automation.tick() == {}
    assert bug.calls == 1


@pytest.fixture
def crashed(automation: Automation, monkeypatch: pytest.MonkeyPatch) -> tuple[Automation, Bug]:
    """Pictures of one label changed, and `images` raised for it in the run that scraped them."""
    automation.tick()
    bug = Bug(monkeypatch, "images", "plain-red")
    change_pictures(automation.house)
    assert automation.carry_out({stage.name: {"plain-red"} for stage in of_phase("A")}, trigger=None) != []
    return automation, bug


def test_a_label_that_crashed_is_not_asked_for_again(crashed):
    automation, _bug = crashed
    assert automation.house.snapshot.stale("images") == {"plain-red"}
    for _ in range(4):
        assert automation.tick() == {}


def test_a_label_that_crashed_is_asked_for_when_its_pictures_change(crashed):
    automation, bug = crashed
    assert automation.tick() == {}
    change_pictures(automation.house)
    automation.house.materialize(["pins"], "plain-red")
    bug.there = False
    assert automation.tick()["images"] == {"plain-red"}


def test_a_label_that_crashed_is_tried_once_a_night(crashed):
    automation, bug = crashed
    assert automation.tick() == {}
    asked = automation.tick(NIGHT)
    assert asked["images"] == {"plain-red"}
    automation.carry_out(asked)
    assert bug.calls == 2
    assert automation.tick() == {}
    assert automation.tick(NIGHT + timedelta(days=1))["images"] == {"plain-red"}


def test_the_nightly_try_waits_until_the_rescrape_is_done_and_is_not_forgotten(crashed):
    automation, _bug = crashed
    assert automation.tick() == {}
    run = in_flight(automation.house, "tiny_rescrape", "plain-red")
    for at in (NIGHT, None, None):
        assert automation.tick(at) == {}
    automation.house.instance.report_run_canceled(run)
    assert automation.tick()["images"] == {"plain-red"}


def in_flight(house: Tiny, job_name: str, label: str | None) -> dg.DagsterRun:
    """A run that has started and planned its assets, as the launcher leaves it."""
    job = house.defs.resolve_job_def(job_name)
    tags = {"dagster/partition": label} if label else {}
    return house.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)


def test_a_roll_up_that_crashed_holds_no_other_up_and_is_tried_again_at_night(automation, monkeypatch):
    bug = Bug(monkeypatch, "atlas", None)
    change_pictures(automation.house)
    automation.house.materialize(["pins"], "plain-red")
    asked = automation.settle()
    assert bug.calls == 1
    assert asked["evaluation"] == {None}
    bug.there = False
    assert automation.tick(NIGHT).keys() == {"atlas", "release"}


def test_nothing_is_asked_for_while_it_is_being_made(empty_house):
    empty_house.add_labels(empty_house.queries)
    automation = Automation(empty_house)
    run = in_flight(empty_house, "tiny_label", "plain-red")
    asked = automation.tick()
    for stage in of_phase("A"):
        assert asked[stage.name] == ALL - {"plain-red"}
    assert "release" not in asked
    empty_house.instance.report_run_canceled(run)
    assert automation.tick()["pins"] >= {"plain-red"}


def test_a_label_in_work_holds_up_the_roll_ups_and_no_other_label(automation):
    house = automation.house
    change_pictures(house)
    house.materialize(["pins"], "plain-red")
    run = in_flight(house, "tiny_label", "plain-blue")
    asked = automation.tick()
    assert asked["images"] == {"plain-red"}
    assert "gallery" not in asked
    house.instance.report_run_canceled(run)


def test_an_incomplete_label_is_retried_at_the_next_tick_and_then_backs_off(automation):
    house = automation.house
    moved = house.pictures / "plain-red"
    away = moved.rename(house.root / "away")
    attempts = []
    for _ in range(3):
        house.materialize(["pins"], "plain-red")
        manifest = house.store.manifest("tiny", "pins", "plain-red")
        attempts.append(manifest.stats["attempts"])
        assert manifest.status == "incomplete"
        asked = automation.tick()
        assert asked.get("pins", set()) == ({"plain-red"} if len(attempts) == 1 else set())
    assert attempts == [1, 2, 3]
    away.rename(moved)
    dated = replace(manifest, stats={**manifest.stats, "attempts": 1})
    house.store.commit(dated)
    assert automation.tick()["pins"] == {"plain-red"}
    automation.carry_out({"pins": {"plain-red"}}, trigger=None)
    assert house.store.manifest("tiny", "pins", "plain-red").status == "complete"
    assert automation.tick().get("pins") is None


def test_a_new_label_uses_the_served_encoder_and_stales_no_other(automation):
    house = automation.house
    shutil.copytree(house.pictures / "plain-blue", house.pictures / "new-one")
    change_pictures(house, "new-one")
    encoder = house.versions()["encoder", None]
    house.add_labels(["new one"])
    asked = automation.settle()
    assert asked.keys() == EVERYTHING.keys() - {"encoder", "tagger", "text_encoder"}
    assert {label for labels in asked.values() for label in labels} == {"new-one", None}
    assert house.versions()["encoder", None] == encoder
    assert house.snapshot.manifest("embeddings", "new-one").facts["encoders"][0] in {
        house.snapshot.manifest("encoder").facts["served"]
    }
    assert house.release()["labels"]["new-one"]["pictures"] > 0


def test_another_served_encoder_asks_for_every_label_from_embeddings_on(automation):
    house = automation.house
    encoder = house.store.manifest("tiny", "encoder")
    house.store.commit(replace(encoder, version="another"))
    asked = automation.tick()
    assert asked["embeddings"] == ALL
    assert asked["index"] == ALL
    assert "features" not in asked
    assert asked["release"] == {None}


def test_a_lost_cursor_loses_nothing_and_asks_for_nothing_twice(automation):
    house = automation.house
    automation.tick()
    change_pictures(house)
    house.materialize(["pins"], "plain-red")
    automation.cursor = None
    asked = automation.tick()
    assert asked["images"] == {"plain-red"}
    automation.carry_out(asked)
    automation.cursor = None
    asked = automation.tick()
    assert asked == ROLL_UPS_BEHIND_LABELS
    automation.carry_out(asked)
    automation.cursor = None
    assert automation.tick() == {}


def test_a_removed_label_is_asked_for_no_more_and_leaves_the_roll_ups(automation):
    from pinflow import registry

    house = automation.house
    change_pictures(house)
    house.materialize(["pins"], "plain-red")
    registry.remove(house.store, "tiny", ["plain red"])
    asked = automation.settle()
    assert "plain-red" not in {label for labels in asked.values() for label in labels}
    assert set(house.release()["labels"]) == ALL - {"plain-red"}


def test_one_tick_over_300_labels_is_cheap(empty_house):
    house = empty_house
    queries = [f"label {number}" for number in range(300)]
    add_labels(house.store, "tiny", queries)
    house.add_labels([])
    pretend(house.store, house.collection)
    automation = Automation(house)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        assert automation.tick() == {}
        seconds.append(time.perf_counter() - started)
    print(f"\nfirst tick {seconds[0]:.2f} s, the next {seconds[1]:.2f} s, over 300 labels")
    assert max(seconds) < 15
