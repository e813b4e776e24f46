"""The IO manager through real materialisations, on a disk and on S3."""

from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from pinflow.pipeline.io_managers import TABLE, TableIOManager
from pinflow.store import Manifest, Store, open_store
from pinflow_tests.storages import flip, table

LABELS = dg.StaticPartitionsDefinition(["red-shoes", "blue-shoes"])
ROWS = {"red-shoes": 3, "blue-shoes": 5}
KEY = dg.AssetKey(["shop", "splits"])


@dg.asset(key=KEY, partitions_def=LABELS, io_manager_key="tables")
def splits(context: dg.AssetExecutionContext, house: dg.ResourceParam[str]) -> Manifest:
    """A drafted manifest, as a stage of one table hands it over."""
    store, label = open_store(house), context.partition_key
    file = store.put_table("shop", table(ROWS[label]))
    return Manifest("shop", "splits", label, f"v-{label}", "r", {}, {TABLE: file})


@dg.asset(key=["shop", "one"], ins={"rows": dg.AssetIn(KEY)}, partitions_def=LABELS)
def one(rows: pa.Table) -> int:
    return int(rows.num_rows)


@dg.asset(key=["shop", "together"], ins={"rows": dg.AssetIn(KEY)})
def together(rows: dict[str, pa.Table]) -> dict[str, int]:
    return {label: part.num_rows for label, part in rows.items()}


@dg.asset(
    key=["shop", "what_is_there"],
    ins={"rows": dg.AssetIn(KEY, metadata={"allow_missing_partitions": True})},
)
def what_is_there(rows: dict[str, pa.Table]) -> list[str]:
    return sorted(rows)


def run(url: str, asset: Any, label: str | None = None, **options: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [splits, one, together, what_is_there],
        selection=[asset],
        partition_key=label,
        instance=options.pop("instance", dg.DagsterInstance.ephemeral()),
        resources={
            "tables": TableIOManager(storage=url),
            "io_manager": dg.InMemoryIOManager(),
            "house": url,
        },
        **options,
    )


def test_handling_an_output_commits_the_manifest(url: str):
    assert run(url, splits, "red-shoes").success
    found = Store(url).manifests("shop", "splits")
    assert {label: manifest.version for label, manifest in found.items()} == {"red-shoes": "v-red-shoes"}
    assert found["red-shoes"].written_at


def test_a_state_that_is_there_already_is_not_written_again(url: str):
    run(url, splits, "red-shoes")
    store = Store(url)
    before = store.objects("shop")
    unchanged = store.manifests("shop", "splits")["red-shoes"]

    @dg.asset(key=KEY, partitions_def=LABELS, io_manager_key="tables")
    def same() -> Manifest:
        return unchanged

    assert dg.materialize(
        [same], partition_key="red-shoes", resources={"tables": TableIOManager(storage=url)}
    ).success
    assert store.objects("shop") == before


def test_an_input_of_the_same_label_is_its_verified_table(url: str):
    run(url, splits, "blue-shoes")
    assert run(url, one, "blue-shoes").output_for_node("shop__one") == 5


def test_a_roll_up_gets_the_tables_of_all_labels(url: str):
    for label in ROWS:
        run(url, splits, label)
    assert run(url, together).output_for_node("shop__together") == ROWS


def test_a_notebook_loads_a_label_through_dagster(url: str):
    run(url, splits, "red-shoes")
    defs = dg.Definitions(assets=[splits], resources={"tables": TableIOManager(storage=url), "house": url})
    assert defs.load_asset_value(KEY, partition_key="red-shoes").equals(table(3))


def test_a_label_that_was_never_made_is_named_with_what_to_do(url: str):
    result = run(url, one, "red-shoes", raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "materialise shop/splits for red-shoes" in str(failed.step_failure_data.error)


def test_a_roll_up_may_allow_labels_to_be_missing(url: str):
    run(url, splits, "red-shoes")
    assert run(url, what_is_there).output_for_node("shop__what_is_there") == ["red-shoes"]


def test_a_damaged_table_fails_the_reader_clearly_and_is_mended_by_the_next_run(url: str):
    run(url, splits, "red-shoes")
    store = Store(url)
    flip(store, store.manifests("shop", "splits")["red-shoes"].files[TABLE].sha256)
    result = run(url, one, "red-shoes", raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "shop/splits/red-shoes, table.parquet" in str(failed.step_failure_data.error)
    assert store.manifests("shop", "splits") == {}
    run(url, splits, "red-shoes")
    assert run(url, one, "red-shoes").output_for_node("shop__one") == 3


def test_an_unreachable_storage_fails_the_step_with_what_to_check(tmp_path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "storage").write_text("a file")
    result = run(str(tmp_path / "storage"), splits, "red-shoes", raise_on_error=False)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    assert "PINFLOW_STORAGE" in str(failed.step_failure_data.error)
