"""The label-list sensor: lists in storage and in the collection file become labels, partitions, runs.

One tick does a bounded amount of work and needs no memory of the last: lists are compared with the
labels that are registered, labels with the partitions that Dagster has. So a tick that died, or came
twice, changes nothing. Partitions of removed labels go once no run of theirs is in flight.
"""

from __future__ import annotations

import json
import time

import dagster as dg

from pinflow import registry, releases
from pinflow.collection import Collection
from pinflow.errors import PinflowError
from pinflow.labels import BadLine, parse_list
from pinflow.pipeline.jobs import phase_job
from pinflow.pipeline.partitions import label_partitions, partitions_name
from pinflow.pipeline.resources import House
from pinflow.store import Store

TICK_SECONDS = 30
RUNS_PER_TICK = 200
RELIST_SECONDS = 3600.0  # how often a source that lists its own labels is asked
IN_FLIGHT = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def label_list_sensor(collection: Collection) -> dg.SensorDefinition:
    """`<collection>_label_lists`: watches `<storage>/label_lists/<collection>/` and the collection file."""
    name = collection.name

    @dg.sensor(
        name=f"{name}_label_lists",
        job_name=phase_job(name, "A"),
        minimum_interval_seconds=TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Turns label lists into labels of {name}: partitions and their first runs.",
    )
    def sensor(context: dg.SensorEvaluationContext, house: House) -> dg.SensorResult:
        store = house.store
        seen = json.loads(context.cursor or "{}")
        for line in register(store, collection, house, seen):
            context.log.warning(line)
        labels = registry.live(store, name)
        if not labels:
            releases.withdraw(store, name)
        mirrored = set(context.instance.get_dynamic_partitions(partitions_name(name)))
        new = sorted(set(labels) - mirrored)[:RUNS_PER_TICK]
        gone = _idle(context.instance, name, sorted(mirrored - set(labels)))
        partitions = label_partitions(name)
        requests = [partitions.build_add_request(new)] if new else []
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(run_key=f"{slug}@{labels[slug].added}", partition_key=slug) for slug in new
            ],
            dynamic_partitions_requests=[
                *requests,
                *([partitions.build_delete_request(gone)] if gone else []),
            ],
            skip_reason=None if new else f"{len(labels)} labels, none of them new",
            cursor=json.dumps(seen),
        )

    return sensor


def register(store: Store, collection: Collection, house: House | None, seen: dict[str, str]) -> list[str]:
    """Register the labels of every list that is new or changed since `seen` (updated in place).

    Returns what a person should know: bad lines, unreadable lists. A report of the bad lines stays in
    `<collection>/rejected_labels/`, where `pinflow doctor` finds it.
    """
    told: list[str] = []
    if collection.labels != "all":
        stamp = json.dumps(collection.labels)
        if seen.get("") != stamp:
            registry.add(store, collection.name, collection.labels, source="collection file", revive=False)
            seen[""] = stamp
    elif house is not None and time.time() - float(seen.get("*", 0)) > RELIST_SECONDS:
        seen["*"] = str(time.time())
        told += _from_source(store, collection, house)
    folder = store.path("label_lists", collection.name)
    lists = {
        path[len(folder) + 1 :]: str(stamp)
        for path, stamp in store.objects("label_lists", collection.name).items()
    }
    for name, stamp in lists.items():
        if seen.get(name) != stamp:
            told += _from_list(store, collection.name, name)
            seen[name] = stamp
    for report in store.names(collection.name, "rejected_labels"):
        if report not in {_report(name) for name in lists}:
            store.delete(collection.name, "rejected_labels", report)
    return told


def _report(name: str) -> str:
    """The name of the report on a list, which may lie in a folder."""
    return f"{name.replace('/', '-')}.json"


def _from_list(store: Store, collection: str, name: str) -> list[str]:
    try:
        data = store.read("label_lists", collection, *name.split("/"))
    except FileNotFoundError:  # deleted since it was listed
        return []
    try:
        good, bad = parse_list(data.decode("utf-8-sig"), "." + name.rsplit(".", 1)[-1].lower())
    except UnicodeDecodeError as error:
        good, bad = [], [BadLine(0, name, f"not UTF-8 ({error}): save the list as UTF-8")]
    registry.add(store, collection, good, source=name, revive=False)
    report = [f"{name}, line {one.line}: {one.text!r} skipped: {one.reason}" for one in bad]
    store.write(
        json.dumps(report, ensure_ascii=False, indent=1).encode(),
        collection,
        "rejected_labels",
        _report(name),
    )
    return report


def _from_source(store: Store, collection: Collection, house: House) -> list[str]:
    from pinflow.scraping.scrape import list_labels

    try:
        found = list_labels(
            collection.source,
            work=house.crawl_folder(collection.name, ".labels"),
            token=house.pinterest_token,
        )
    except PinflowError as error:
        return [f"{collection.name}: its source does not list its labels now: {error}"]
    registry.add(store, collection.name, found, source="source", revive=False)
    return []


def _idle(instance: dg.DagsterInstance, collection: str, slugs: list[str]) -> list[str]:
    """Those partitions that nothing in flight works on: deleting one under a run or a backfill kills it."""
    if not slugs:
        return []
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    unfinished = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
    backfills = instance.get_backfills(BulkActionsFilter(statuses=unfinished))
    if any(key.path[0] == collection for backfill in backfills for key in backfill.asset_selection or ()):
        return []
    busy = {
        run.tags.get("dagster/partition")
        for run in instance.get_runs(dg.RunsFilter(statuses=IN_FLIGHT))
        if any(key.path[0] == collection for key in run.asset_selection or ()) or collection in run.job_name
    }
    return [slug for slug in slugs if slug not in busy]
