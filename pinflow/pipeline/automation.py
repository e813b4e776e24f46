"""When each stage runs, in one table.

| phase | runs when |
|---|---|
| A | a label is there and not scraped, its scrape is incomplete and a retry is due, or its inputs changed |
| B | it is missing, its recipe changed, or (nightly at most) over 20% of rows or a tagger's label are new |
| C | the label's features or the served encoder changed |
| D | any label changed, once no label is being worked on |

`comparison`, of phase B, is made by hand only: it takes minutes, and nothing waits for it.

The conditions are level-triggered: they compare manifests (`planning`), not events. Dagster's own
edge-triggered ones lose an update that lands in the tick after a request, never ask for partitions
that were missing when they were first looked at, and forget everything when their cursor is lost; a
comparison of states has nothing to lose. What failed is left alone until its inputs change or the
nightly retry, so that a bug in one label costs one run and holds nobody else up. Failures are the one
thing that only Dagster knows, so there its events count; with its cursor lost, they wait for the night.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from pinflow.collection import Collection
from pinflow.pipeline.planning import Snapshot
from pinflow.pipeline.stages import AUTOMATION, STAGES, TRIGGER
from pinflow.store import open_store

TICK_SECONDS = 30
GRACE_SECONDS = 120.0


@dataclass(frozen=True, eq=False)
class Stale(dg.AutomationCondition[dg.AssetKey]):
    """True for partitions whose manifest is missing or was made from other inputs, and for those
    downstream of what this very tick requests."""

    storage: str
    collection: Collection
    stage: str

    @property
    def name(self) -> str:
        return "stale"

    @property
    def description(self) -> str:
        return "Its manifest is missing, or was made from other inputs than are there now"

    def evaluate(self, context: Any) -> dg.AutomationResult[dg.AssetKey]:
        snapshot = _look(self.storage, self.collection, context.asset_graph_view)
        requested = self._requested(context)
        due: set[str | None] = set()
        if _in_order(context) or not self._crosses(requested):
            due = snapshot.stale(self.stage) | self._set_off_by(requested, snapshot)
            due = {label for label in due if self._possible(label, requested, snapshot)}
        view, key = context.asset_graph_view, context.key
        if STAGES[self.stage].per_label:
            partitions = view.asset_graph.get(key).partitions_def
            subset = view.get_subset_from_partition_keys(key, partitions, {label for label in due if label})
        else:
            subset = view.get_full_subset(key=key) if due else view.get_empty_subset(key=key)
        return dg.AutomationResult(context, context.candidate_subset.compute_intersection(subset))

    def _requested(self, context: Any) -> dict[str, set[str | None]]:
        """What this tick already requests of the stages that this one reads."""
        found: dict[str, set[str | None]] = {}
        for stage in STAGES[self.stage].reads:
            subset = context.request_subsets_by_key.get(dg.AssetKey([self.collection.name, stage]))
            if subset is not None and not subset.is_empty:
                labelled = STAGES[stage].per_label
                found[stage] = set(subset.expensively_compute_partition_keys()) if labelled else {None}
        return found

    def _crosses(self, requested: dict[str, set[str | None]]) -> bool:
        """Whether a roll-up waits for labels that this tick requests, or a label for a roll-up."""
        return any(STAGES[stage].per_label != STAGES[self.stage].per_label for stage in requested)

    def _set_off_by(self, requested: dict[str, set[str | None]], snapshot: Snapshot) -> set[str | None]:
        """What becomes stale by the requests of this tick, so that one tick asks for a whole chain.
        A new encoder is not assumed to be promoted, and changed features do not set off a new one."""
        due: set[str | None] = set()
        for stage, labels in requested.items():
            if STAGES[self.stage].per_label:
                first = not STAGES[stage].per_label and snapshot.manifest(stage) is None
                due |= labels - {None} or (set(snapshot.labels) if first else set())
            elif STAGES[self.stage].phase != "B" or snapshot.manifest(self.stage) is None:
                due.add(None)
        return due

    def _possible(self, label: str | None, requested: dict[str, set[str | None]], snapshot: Snapshot) -> bool:
        """Whether all that it reads is there, or comes in this tick."""
        if self.stage == "pins":
            return label is None or _settled(snapshot, label)
        for stage in STAGES[self.stage].reads:
            if STAGES[stage].per_label and label is None:
                there = bool(requested.get(stage)) or bool(snapshot.manifests(stage))
            else:
                one = label if STAGES[stage].per_label else None
                there = one in requested.get(stage, ()) or snapshot.manifest(stage, one) is not None
            if not there:
                return False
        return True


def _in_order(context: Any) -> bool:
    """Whether Dagster will carry out this tick's requests in the order of the graph. It makes a backfill
    of them only where some asset wants several partitions; otherwise the runs of one label and those
    of the roll-ups start side by side, so the one that builds on the other waits for the next tick."""
    subsets = context.request_subsets_by_key.values()
    return any(subset.is_partitioned and subset.size > 1 for subset in subsets)


def _settled(snapshot: Snapshot, label: str) -> bool:
    """Whether a label is old enough for the automation: its first run is requested by the sensor that
    added it, and may be about to start."""
    age = snapshot.now - datetime.fromisoformat(snapshot.labels[label].added)
    return snapshot.manifest("pins", label) is not None or age.total_seconds() >= GRACE_SECONDS


# By the view that Dagster makes for one evaluation, so that it goes when the evaluation ends.
_seen: WeakKeyDictionary[Any, dict[tuple[str, str], Snapshot]] = WeakKeyDictionary()


def _look(storage: str, collection: Collection, view: Any) -> Snapshot:
    """One snapshot a tick and collection: all its conditions see the same state."""
    snapshots = _seen.setdefault(view, {})
    key = (storage, collection.name)
    if key not in snapshots:
        snapshots[key] = Snapshot(open_store(storage), collection)
    return snapshots[key]


def condition(storage: str, collection: Collection, stage: str) -> dg.AutomationCondition[Any]:
    """When to request `stage`: it is stale, nobody works on it or above it, and it did not just fail."""
    on = dg.AutomationCondition
    calm = ~on.in_progress() & ~on.any_deps_match(on.in_progress())
    change = on.any_deps_updated() | on.code_version_changed() | on.cron_tick_passed(collection.rescrape)
    # Remembered until it was acted upon: a change may come while something above is still running.
    again = change.since(on.newly_requested() | on.execution_failed().newly_true())
    return (Stale(storage, collection, stage) & calm & (~on.execution_failed() | again)).with_label(
        f"{stage} is stale and nothing above it is running"
    )


def automation_sensor(collection: Collection) -> dg.AutomationConditionSensorDefinition:
    """Evaluates the conditions of one collection in the code location, every half minute."""
    with warnings.catch_warnings():
        # `use_user_code_server` is beta, and the only way to run conditions of one's own.
        warnings.simplefilter("ignore", dg.BetaWarning)
        return dg.AutomationConditionSensorDefinition(
            f"{collection.name}_automation",
            target=dg.AssetSelection.groups(collection.name),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=TICK_SECONDS,
            use_user_code_server=True,
            run_tags={TRIGGER: AUTOMATION},
            description="Requests what is stale: see pinflow/pipeline/automation.py for the table.",
        )
