"""The nightly rescrape: every live label, one run each, pins alone."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from pinflow import registry
from pinflow.collection import Collection
from pinflow.pipeline.jobs import rescrape_job
from pinflow.pipeline.partitions import partitions_name
from pinflow.pipeline.resources import House


def nightly_rescrape(collection: Collection) -> dg.ScheduleDefinition:
    """A label whose pins did not change gets no new data version, so nothing behind it runs."""

    @dg.schedule(
        name=f"{collection.name}_nightly_rescrape",
        cron_schedule=collection.rescrape,
        job_name=rescrape_job(collection.name),
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Scrapes every label of {collection.name} again; only what changed is recomputed.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, house: House
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        mirrored = set(context.instance.get_dynamic_partitions(partitions_name(collection.name)))
        slugs = sorted(mirrored & set(registry.live(house.store, collection.name)))
        if not slugs:
            yield dg.SkipReason(f"{collection.name} has no labels yet")
        for slug in slugs:
            # With its tag given, Dagster does not look each partition up again: 3 ms a label.
            yield dg.RunRequest(
                run_key=f"{slug}@{context.scheduled_execution_time.isoformat()}",
                partition_key=slug,
                tags={"dagster/partition": slug},
            )

    return schedule
