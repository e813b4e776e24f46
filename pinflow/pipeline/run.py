"""`pinflow run`: a collection through Dagster, phase by phase, in this process.

Every step is a real Dagster run against the persistent instance, so the UI shows it. A label that
fails is left behind with its error; the others, the roll-ups and the release go on without it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import dagster as dg

from pinflow import registry, releases
from pinflow.collection import Collection
from pinflow.errors import CollectionError, LabelError
from pinflow.pipeline.jobs import phase_job
from pinflow.pipeline.partitions import mirror
from pinflow.pipeline.planning import Snapshot
from pinflow.pipeline.resources import House
from pinflow.pipeline.sensors import register
from pinflow.pipeline.stages import REMOVAL, STALE, TRIGGER, of_phase

# Called before each run with its first stage and its label (None for a roll-up), and with how many runs
# of the phase are done, and of how many that are known by now.
Tell = Callable[[str, str | None, int, int], None]


@dataclass
class Ran:
    """What a run did. What Dagster costs is `launch_seconds - body_seconds`."""

    seconds: dict[str, float] = field(default_factory=dict)  # in the rooms' functions, by stage
    failed: dict[str, str] = field(default_factory=dict)  # step -> error
    steps: int = 0
    body_seconds: float = 0.0  # in the stages' bodies: rooms' functions, reading and writing
    launches: dict[str | None, float] = field(default_factory=dict)  # in Dagster's runs, by label
    wall_seconds: float = 0.0

    @property
    def launch_seconds(self) -> float:
        """In Dagster's runs altogether."""
        return sum(self.launches.values())


def run_collection(
    defs: dg.Definitions,
    collection: Collection,
    house: House,
    instance: dg.DagsterInstance,
    *,
    labels: Iterable[str] | None = None,
    tell: Tell | None = None,
) -> Ran:
    """Scrape the labels (all, unless named by slug or query), then make what is stale, phase by phase."""
    started = time.perf_counter()
    notes = register(house.store, collection, house, {})
    live = registry.live(house.store, collection.name)
    chosen = _chosen(collection, live, labels)
    if not live and releases.withdraw(house.store, collection.name):
        return Ran()
    if not live:
        raise CollectionError(f"{collection.name} has no labels: " + ("; ".join(notes) or "add some first"))
    mirror(instance, collection.name, set(live))
    run = _Runner(defs, collection, house, instance, tell)
    known = house.store.manifests(collection.name, "pins")
    run.plan("A", len(chosen))
    for slug in chosen:
        # A new label goes through the phase in one run; for a known one nothing may have changed.
        stages = ["pins"] if slug in known else [stage.name for stage in of_phase("A")]
        run.launch("A", slug, stages, trigger="command line")
    return run.all_phases(started)


def renew_collection(
    defs: dg.Definitions,
    collection: Collection,
    house: House,
    instance: dg.DagsterInstance,
    *,
    tell: Tell | None = None,
) -> Ran:
    """Make what is stale, phase by phase, without asking the source for anything: what was removed since
    the last scrape leaves everything behind it. A collection without labels serves nothing."""
    started = time.perf_counter()
    live = registry.live(house.store, collection.name)
    if not live:
        releases.withdraw(house.store, collection.name)
        return Ran()
    mirror(instance, collection.name, set(live))
    return _Runner(defs, collection, house, instance, tell).all_phases(started)


def _chosen(
    collection: Collection, live: dict[str, registry.Label], labels: Iterable[str] | None
) -> list[str]:
    if labels is None:
        return sorted(live)
    by_query = {label.query.casefold(): slug for slug, label in live.items()}
    chosen = []
    for name in labels:
        slug = name if name in live else by_query.get(" ".join(name.split()).casefold())
        if slug is None:
            raise LabelError(
                f"{collection.name} has no label {name!r}; add it: pinflow labels add {collection.name} ..."
            )
        chosen.append(slug)
    return chosen


@dataclass
class _Runner:
    defs: dg.Definitions
    collection: Collection
    house: House
    instance: dg.DagsterInstance
    tell: Tell | None
    ran: Ran = field(default_factory=Ran)
    done: Counter[str] = field(default_factory=Counter)  # runs, by phase
    planned: Counter[str] = field(default_factory=Counter)

    def plan(self, phase: str, runs: int) -> None:
        """So many runs of a phase are to come."""
        self.planned[phase] += runs

    def all_phases(self, started: float) -> Ran:
        """Take out what was removed, then make what is stale in each phase in turn."""
        snapshot = Snapshot(self.house.store, self.collection)
        due = [slug for slug in sorted(snapshot.labels) if snapshot.removal_due("pins", slug)]
        self.plan("A", len(due))
        for slug in due:
            self.launch("A", slug, ["pins"], trigger=REMOVAL)
        for phase in ("A", "B", "C", "D"):
            self.phase(phase)
        self.ran.wall_seconds = time.perf_counter() - started
        return self.ran

    def phase(self, phase: str) -> None:
        """Make what is stale in a phase, and what that makes stale in turn."""
        stages = of_phase(phase)  # type: ignore[arg-type]
        tried: set[str | None] = set()
        while True:
            snapshot = Snapshot(self.house.store, self.collection)
            due = {stage.name: snapshot.stale(stage.name) for stage in stages if stage.name != "pins"}
            todo = sorted({label for labels in due.values() for label in labels} - tried, key=str)
            if not todo:
                return
            self.plan(phase, len(todo))
            for label in todo:
                tried.add(label)
                first = next(i for i, stage in enumerate(stages) if label in due.get(stage.name, ()))
                behind = [stage.name for stage in stages[first:]]
                self.launch(phase, label, snapshot.possible(behind, label))

    def launch(self, phase: str, label: str | None, stages: list[str], trigger: str = STALE) -> None:
        """One Dagster run of those stages for one label, or of roll-ups."""
        if self.tell:
            self.tell(stages[0], label, self.done[phase], self.planned[phase])
        before = time.perf_counter()
        result = self.defs.resolve_job_def(phase_job(self.collection.name, phase)).execute_in_process(
            instance=self.instance,
            partition_key=label,
            asset_selection=[dg.AssetKey([self.collection.name, stage]) for stage in stages],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            tags={TRIGGER: trigger},
        )
        self.done[phase] += 1
        self._account(result, label, time.perf_counter() - before)

    def _account(self, result: dg.ExecuteInProcessResult, label: str | None, wall: float) -> None:
        ran = self.ran
        ran.launches[label] = ran.launches.get(label, 0.0) + wall
        for event in result.get_asset_materialization_events():
            materialization = event.step_materialization_data.materialization
            stage = materialization.asset_key.path[-1]
            about = materialization.metadata
            seconds, body = float(str(about["seconds"].value)), float(str(about["body_seconds"].value))
            ran.seconds[stage] = ran.seconds.get(stage, 0.0) + seconds
            ran.body_seconds += body
            ran.steps += 1
        for event in result.filter_events(lambda event: event.is_step_failure):
            error = event.step_failure_data.error
            cause = error.cause or error if error else None
            ran.failed[f"{event.step_key}[{label}]" if label else str(event.step_key)] = (
                cause.message.strip() if cause else "failed without an error"
            )
