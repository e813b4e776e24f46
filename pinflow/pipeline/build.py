"""`build_defs`: the only place where the Dagster project is put together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import dagster as dg

from pinflow.collection import Collection, Collections, load
from pinflow.pipeline.assets import collection_assets
from pinflow.pipeline.automation import automation_sensor
from pinflow.pipeline.checks import collection_files_check
from pinflow.pipeline.io_managers import TableIOManager
from pinflow.pipeline.jobs import build_jobs
from pinflow.pipeline.resources import House
from pinflow.pipeline.schedules import nightly_rescrape
from pinflow.pipeline.sensors import label_list_sensor
from pinflow.settings import Settings


def build_defs(
    *,
    settings: Settings | None = None,
    collections: Collections | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """A fresh `Definitions` for every collection of the folder. Tests and special deployments override
    instead of patching."""
    settings = settings or Settings()
    found = collections if collections is not None else load(settings.collections)
    everything: list[Collection] = list(found.good.values())
    resources = {
        "house": House.of(settings),
        "tables": TableIOManager(storage=settings.storage_url),
        **(resource_overrides or {}),
    }
    return dg.Definitions(
        assets=[asset for one in everything for asset in collection_assets(one, settings.storage_url)],
        asset_checks=[collection_files_check(found.bad)],
        jobs=[job for one in everything for job in build_jobs(one)],
        schedules=[nightly_rescrape(one) for one in everything],
        sensors=[sensor for one in everything for sensor in (label_list_sensor(one), automation_sensor(one))],
        resources=resources,
        # A spawned process a step costs seconds; Scrapy, which needs one of its own, has its worker.
        executor=dg.in_process_executor,
        loggers={"console": _console},
    )


@dg.logger({"log_level": dg.Field(str, "WARNING"), "name": dg.Field(str, "dagster")})
def _console(context: dg.InitLoggerContext) -> logging.Logger:
    """The terminal gets what somebody should read; every event of a run is in the UI."""
    make = dg.colored_console_logger.logger_fn
    return make(context)
