"""Dagster's view of labels: one dynamic partitions definition a collection, mirroring the registry.

Partition keys are slugs; the raw query stays in the registry, since commas, spaces and slashes in a
key break the Dagster UI and paths.
"""

from __future__ import annotations

import dagster as dg

BATCH = 1000  # partition keys a request; SQLite limits the variables of one statement


def partitions_name(collection: str) -> str:
    return f"{collection}_labels"


def label_partitions(collection: str) -> dg.DynamicPartitionsDefinition:
    """The labels of a collection as partitions."""
    return dg.DynamicPartitionsDefinition(name=partitions_name(collection))


def mirror(instance: dg.DagsterInstance, collection: str, slugs: set[str]) -> list[str]:
    """Add the partitions that are missing for `slugs`; returns them. Deleting is the sensor's work,
    which waits for runs in flight."""
    known = set(instance.get_dynamic_partitions(partitions_name(collection)))
    new = sorted(slugs - known)
    for start in range(0, len(new), BATCH):
        instance.add_dynamic_partitions(partitions_name(collection), new[start : start + BATCH])
    return new
