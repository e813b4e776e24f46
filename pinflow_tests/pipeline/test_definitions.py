"""What Dagster sees: assets, checks, partitions, sensors, schedules, jobs, and what loading them costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from pinflow import schema
from pinflow.collection import Collection, Collections, Source, load
from pinflow.pipeline.build import build_defs
from pinflow.pipeline.checks import CHECKS, COLLECTION_FILES
from pinflow.pipeline.stages import STAGES
from pinflow.settings import Settings

YAML = "description: {0}\nsource: {{kind: folder, path: /pictures}}\nlabels: [red]\n"
# stage: (reads, kinds, pool, checks; a check in brackets does not block)
FLOW = {
    "pins": ("", "parquet scrapy", "scrape", "schema (complete) (count_drift)"),
    "images": ("pins", "parquet pillow", None, "schema nothing_lost (duplicate_drift)"),
    "splits": ("images", "parquet", None, "schema no_group_across_splits"),
    "features": ("images", "parquet pytorch", "gpu", "schema"),
    "encoder": (
        "features images splits",
        "pytorch",
        "gpu",
        "no_group_across_splits no_test_picture_in_training",
    ),
    "tagger": (
        "features splits",
        "numpy safetensors",
        None,
        "schema no_group_across_splits no_test_picture_in_training",
    ),
    "comparison": ("images splits", "json pytorch", None, ""),
    "text_encoder": ("encoder features images splits", "numpy safetensors", None, ""),
    "label_encoder": ("features splits", "pytorch", "gpu", ""),
    "embeddings": ("encoder features images label_encoder", "numpy parquet", None, "schema unit_vectors"),
    "index": (
        "embeddings",
        "faiss",
        None,
        "one_encoder_digest size_equals_embeddings no_tombstone_in_index recall_against_exact",
    ),
    "projection": ("embeddings", "umap", None, ""),
    "gallery": (
        "embeddings images splits",
        "faiss parquet",
        None,
        "one_encoder_digest size_equals_embeddings no_tombstone_in_index recall_against_exact",
    ),
    "atlas": ("gallery images", "umap webp", None, ""),
    "evaluation": ("encoder features images splits tagger text_encoder", "html numpy", None, ""),
    "release": (
        "atlas embeddings encoder evaluation gallery images index label_encoder pins projection tagger "
        "text_encoder",
        "json",
        None,
        "",
    ),
}
ROLL_UPS = {"encoder", "tagger", "comparison", "text_encoder", "gallery", "atlas", "evaluation", "release"}


def settings(tmp_path: Path) -> Settings:
    folder = tmp_path / "collections"
    folder.mkdir(exist_ok=True)
    return Settings(home=tmp_path / "home", collections=folder)


@pytest.fixture
def defs(tmp_path: Path) -> dg.Definitions:
    here = settings(tmp_path)
    (here.collections / "tiny.yaml").write_text(YAML.format("Tiny things"), encoding="utf-8")
    return build_defs(settings=here)


def test_the_graph_is_the_one_of_the_design(defs):
    graph = defs.resolve_asset_graph()
    found = {}
    for stage in FLOW:
        node = graph.get(dg.AssetKey(["tiny", stage]))
        specs = sorted(
            (graph.get(key) for key in node.check_keys), key=lambda spec: list_of(stage).index(spec.key.name)
        )
        found[stage] = (
            " ".join(sorted(key.path[-1] for key in node.parent_keys)),
            " ".join(sorted(node.kinds)),
            next(iter(node.pools or ()), None),
            " ".join(spec.key.name if spec.blocking else f"({spec.key.name})" for spec in specs),
        )
    assert found == FLOW
    assert set(STAGES) == set(FLOW)


def list_of(stage: str) -> list[str]:
    return [check.name for check in CHECKS.get(stage, ())]


def test_every_asset_says_what_it_is_whose_it_is_and_where_it_belongs(defs):
    graph = defs.resolve_asset_graph()
    for stage in FLOW:
        node = graph.get(dg.AssetKey(["tiny", stage]))
        assert node.group_name == "tiny"
        assert node.owners == ["team:pinflow"]
        assert "Tiny things" in node.description
        assert (node.automation_condition is None) == (stage == "comparison")
        assert node.code_version == str(STAGES[stage].code)


def test_per_label_stages_and_their_checks_are_partitioned_by_label_and_roll_ups_are_not(defs):
    graph = defs.resolve_asset_graph()
    for stage in FLOW:
        node = graph.get(dg.AssetKey(["tiny", stage]))
        for one in (node, *(graph.get(key) for key in node.check_keys)):
            if stage in ROLL_UPS:
                assert one.partitions_def is None
            else:
                assert one.partitions_def == dg.DynamicPartitionsDefinition(name="tiny_labels")


@pytest.mark.parametrize(
    ("stage", "expected"),
    [("pins", schema.PINS), ("images", schema.PICTURES), ("splits", schema.SPLIT_ROWS)],
)
def test_tables_show_their_columns_with_what_they_mean(defs, stage, expected):
    node = defs.resolve_asset_graph().get(dg.AssetKey(["tiny", stage]))
    shown = node.metadata["dagster/column_schema"].columns
    assert [column.name for column in shown] == expected.names
    assert all(column.description for column in shown)
    assert [column.constraints.nullable for column in shown] == [field.nullable for field in expected]


def test_names_of_jobs_sensors_and_schedules(defs):
    repository = defs.get_repository_def()
    assert {sensor.name for sensor in repository.sensor_defs} == {"tiny_label_lists", "tiny_automation"}
    assert [schedule.name for schedule in repository.schedule_defs] == ["tiny_nightly_rescrape"]
    assert repository.schedule_defs[0].cron_schedule == "0 3 * * *"
    jobs = {job.name for job in repository.get_all_jobs()}
    assert jobs >= {
        "tiny_label",
        "tiny_encoder",
        "tiny_vectors",
        "tiny_release",
        "tiny_rescrape",
        "tiny_comparison",
    }


def test_sensors_and_the_schedule_run_unless_somebody_stops_them(defs):
    repository = defs.get_repository_def()
    assert {one.default_status for one in repository.sensor_defs} == {dg.DefaultSensorStatus.RUNNING}
    assert repository.schedule_defs[0].default_status == dg.DefaultScheduleStatus.RUNNING


def test_a_file_more_is_a_collection_more_and_a_broken_one_stops_none(tmp_path):
    here = settings(tmp_path)
    for name in ("one", "two"):
        (here.collections / f"{name}.yaml").write_text(YAML.format(name), encoding="utf-8")
    (here.collections / "three.yaml").write_text(YAML.format("x") + "labls: [x]\n", encoding="utf-8")
    defs = build_defs(settings=here)
    dg.Definitions.validate_loadable(defs)
    groups = {node.group_name for node in defs.resolve_asset_graph().asset_nodes}
    assert {"one", "two"} <= groups
    assert "three" not in groups


@pytest.mark.parametrize("broken", [True, False])
def test_the_check_of_the_collection_files_fails_while_one_cannot_be_read(tmp_path, broken):
    here = settings(tmp_path)
    (here.collections / "one.yaml").write_text(YAML.format("one"), encoding="utf-8")
    if broken:
        (here.collections / "two.yaml").write_text("labls: [x]\n", encoding="utf-8")
    defs = build_defs(settings=here)
    (check,) = defs.asset_checks
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([check], selection=dg.AssetSelection.checks(check), instance=instance)
    (verdict,) = result.get_asset_check_evaluations()
    assert (verdict.asset_key, verdict.check_name) == (COLLECTION_FILES, "readable")
    assert verdict.passed is not broken
    if broken:
        assert "did you mean `labels`" in verdict.description
        assert "two.yaml" in verdict.metadata


@pytest.mark.parametrize("cron", ["0 3 * * *", "*/15 0-6 1,15 * 1-5", "5/10 * * * 0"])
def test_a_cron_line_that_a_collection_file_may_hold_loads_in_dagster(tmp_path, cron):
    one = Collection(
        name="tiny", source=Source(kind="folder", path="/pictures"), labels=["red"], rescrape=cron
    )
    dg.Definitions.validate_loadable(
        build_defs(settings=settings(tmp_path), collections=Collections({"tiny": one}))
    )


def test_the_collections_of_the_repository_load(tmp_path):
    found = load(Path(__file__).parents[2] / "collections")
    defs = build_defs(settings=settings(tmp_path), collections=found)
    dg.Definitions.validate_loadable(defs)


def test_no_room_needs_more_than_its_own_library_to_be_defined(tmp_path):
    here = settings(tmp_path)
    (here.collections / "tiny.yaml").write_text(YAML.format("Tiny things"), encoding="utf-8")
    program = (
        "import sys, json, warnings; warnings.simplefilter('error'); import pinflow.definitions as d;"
        "d.defs.get_repository_def(); print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PINFLOW_HOME": str(here.home),
        "PINFLOW_COLLECTIONS": str(here.collections),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    heavy = {"torch", "timm", "faiss", "umap", "sklearn", "scrapy", "twisted", "matplotlib", "PIL", "fastapi"}
    assert not loaded & heavy
    assert "dagster" in loaded
