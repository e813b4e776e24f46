"""Jobs: the selections of assets that sensors, schedules and the command line launch."""

from __future__ import annotations

import dagster as dg

from pinflow.collection import Collection
from pinflow.pipeline.stages import PHASES, of_phase


def phase_job(collection: str, phase: str) -> str:
    return f"{collection}_{ {'A': 'label', 'B': 'encoder', 'C': 'vectors', 'D': 'release'}[phase] }"


def rescrape_job(collection: str) -> str:
    return f"{collection}_rescrape"


def comparison_job(collection: str) -> str:
    return f"{collection}_comparison"


def build_jobs(collection: Collection) -> list[dg.UnresolvedAssetJobDefinition]:
    """A job a phase; one that only scrapes: what it changes is picked up by the automation; and the one
    that somebody asks for to compare taggers."""
    name = collection.name
    jobs = [
        dg.define_asset_job(
            phase_job(name, phase),
            selection=dg.AssetSelection.assets(
                *[dg.AssetKey([name, stage.name]) for stage in of_phase(phase)]
            ),
        )
        for phase in PHASES
    ]
    pins = dg.AssetSelection.assets(dg.AssetKey([name, "pins"]))
    comparison = dg.AssetSelection.assets(dg.AssetKey([name, "comparison"]))
    return [
        *jobs,
        dg.define_asset_job(rescrape_job(name), selection=pins),
        dg.define_asset_job(comparison_job(name), selection=comparison),
    ]
