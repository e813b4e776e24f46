"""What a run came to, as figures: for the terminal, for `summary.json`, and for whoever compares."""

from __future__ import annotations

import json
from typing import Any

from pinflow import releases
from pinflow.collection import Collection
from pinflow.pipeline.planning import Snapshot
from pinflow.pipeline.run import Ran
from pinflow.store import Store

METRICS = ("recall@1", "recall@10", "map@r")
SPACES = ("frozen", "candidate", "served")


def summarise(store: Store, collection: Collection, ran: Ran) -> dict[str, Any]:
    """Per label: scraped, kept, rejected by reason, near-duplicate groups, splits. Per collection: the
    figures of every space with their intervals, seconds a stage, and the release."""
    snapshot = Snapshot(store, collection)
    evaluation = snapshot.manifest("evaluation")
    report = json.loads(store.file(evaluation, "evaluation.json")) if evaluation else {}
    return {
        "collection": collection.name,
        "release": releases.current(store, collection.name),
        "labels": {slug: _label(snapshot, slug) for slug in sorted(snapshot.labels)},
        "figures": {space: report.get("overall", {}).get(space, {}) for space in SPACES},
        "queries": report.get("queries"),
        "promoted": report.get("promoted"),
        "why": report.get("why"),
        "versions": _versions(snapshot),
        "seconds": {stage: round(seconds, 2) for stage, seconds in ran.seconds.items()},
        "steps": ran.steps,
        "body_seconds": round(ran.body_seconds, 2),
        "launch_seconds": round(ran.launch_seconds, 2),
        "wall_seconds": round(ran.wall_seconds, 2),
        "failed": ran.failed,
    }


def _label(snapshot: Snapshot, slug: str) -> dict[str, Any]:
    pins, images, splits = (snapshot.manifest(stage, slug) for stage in ("pins", "images", "splits"))
    counts = splits.facts["splits"] if splits else {}
    return {
        "query": snapshot.labels[slug].query,
        "status": pins.status if pins else "incomplete",
        "reason": pins.reason if pins else "not scraped",
        "scraped": pins.rows if pins else 0,
        "fetched": pins.stats.get("fetched", 0) if pins else 0,
        "kept": images.facts["kept"] if images else 0,
        "rejected": images.facts["rejected"] if images else {},
        "near_duplicate_groups": images.facts["near_duplicate_groups"] if images else 0,
        **{split: counts.get(split, 0) for split in ("train", "val", "test", "held_out")},
    }


def _versions(snapshot: Snapshot) -> dict[str, str]:
    """Every partition's data version, to see that a second run made no new one."""
    from pinflow.pipeline.stages import STAGES

    found: dict[str, str] = {}
    for stage in STAGES.values():
        if stage.per_label:
            found |= {f"{stage.name}/{slug}": m.version for slug, m in snapshot.manifests(stage.name).items()}
        elif manifest := snapshot.manifest(stage.name):
            found[stage.name] = manifest.version
    return found
