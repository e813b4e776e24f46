"""Every stage as a software-defined asset, made by one factory from the table of stages.

A stage's body is a function of a `Partition` in the module of its phase; it runs without Dagster, so a
plain script can call it too. The factory adds what every asset does: skip what is unchanged, commit,
report, check.
"""

import time
from collections.abc import Callable

import dagster as dg

from pinflow import schema
from pinflow.collection import Collection
from pinflow.pipeline import checks, metadata
from pinflow.pipeline.assets.comparison import make_comparison
from pinflow.pipeline.assets.encoders import make_encoder, make_label_encoder
from pinflow.pipeline.assets.pictures import make_features, make_images, make_pins, make_splits
from pinflow.pipeline.assets.rollups import make_atlas, make_evaluation, make_gallery, make_release
from pinflow.pipeline.assets.tagger import make_tagger
from pinflow.pipeline.assets.text import make_text_encoder
from pinflow.pipeline.assets.vectors import make_embeddings, make_index, make_projection
from pinflow.pipeline.automation import condition
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.partitions import label_partitions
from pinflow.pipeline.resources import House
from pinflow.pipeline.stages import STAGES, TRIGGER, Stage
from pinflow.store import Manifest

Body = Callable[[Partition, House], Manifest]

BODIES: dict[str, Body] = {
    "pins": make_pins,
    "images": make_images,
    "splits": make_splits,
    "features": make_features,
    "encoder": make_encoder,
    "tagger": make_tagger,
    "comparison": make_comparison,
    "text_encoder": make_text_encoder,
    "label_encoder": make_label_encoder,
    "embeddings": make_embeddings,
    "index": make_index,
    "projection": make_projection,
    "gallery": make_gallery,
    "atlas": make_atlas,
    "evaluation": make_evaluation,
    "release": make_release,
}

COLUMNS = {"pins": schema.PINS, "images": schema.PICTURES, "splits": schema.SPLIT_ROWS}
ONE_TABLE = ("splits", "features")  # these go through the IO manager
OWNERS = ["team:pinflow"]


def make(part: Partition, house: House) -> Manifest:
    """The new state of a partition, not yet committed; the old one where nothing would change."""
    return part.unchanged or BODIES[part.stage](part, house)


def collection_assets(collection: Collection, storage: str) -> list[dg.AssetsDefinition]:
    """The whole graph of one collection."""
    return [_stage_asset(collection, stage, storage) for stage in STAGES.values()]


def _stage_asset(collection: Collection, stage: Stage, storage: str) -> dg.AssetsDefinition:
    key = dg.AssetKey([collection.name, stage.name])
    columns = COLUMNS.get(stage.name)

    @dg.asset(
        key=key,
        deps=[dg.AssetKey([collection.name, name]) for name in stage.reads],
        partitions_def=label_partitions(collection.name) if stage.per_label else None,
        group_name=collection.name,
        description=f"{stage.description}\n\n{collection.description}",
        kinds=set(stage.kinds),
        owners=OWNERS,
        pool=stage.pool,
        code_version=str(stage.code),
        io_manager_key="tables",
        check_specs=checks.specs(key),
        metadata={"dagster/column_schema": metadata.columns(columns)} if columns else None,
        automation_condition=None if stage.by_hand else condition(storage, collection, stage.name),
    )
    # No return annotation: with checks declared, Dagster takes one to mean that there is no value.
    def asset(context: dg.AssetExecutionContext, house: House):  # type: ignore[no-untyped-def]
        started = time.perf_counter()
        part = house.partition(collection, stage.name, context.partition_key if stage.per_label else None)
        part.trigger = context.run.tags.get(TRIGGER)
        manifest = make(part, house)
        if stage.name not in ONE_TABLE:
            manifest = part.commit(manifest)
        verdicts = checks.results(part, manifest)
        about = {
            **metadata.main_columns(part, manifest),
            **metadata.report(part, manifest, time.perf_counter() - started),
        }
        version = dg.DataVersion(manifest.version)
        if stage.name in ONE_TABLE:
            return dg.MaterializeResult(
                value=manifest, data_version=version, metadata=about, check_results=verdicts
            )
        return dg.MaterializeResult(data_version=version, metadata=about, check_results=verdicts)

    return asset
