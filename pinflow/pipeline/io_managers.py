"""The one IO manager: a single-table stage's state, on a disk or S3 alike.

An asset hands over a drafted manifest, whose table is already stored by content; handling the output
is the commit. An input is the verified table. Stages of many files commit through the store itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from pinflow.store import Manifest, open_store

if TYPE_CHECKING:
    from upath import UPath

TABLE = "table.parquet"


class TableIOManager(dg.ConfigurableIOManager, dg.UPathIOManager):
    """Output: a drafted `Manifest` with one file `table.parquet`. Input: that `pyarrow.Table`."""

    storage: str
    _base_path: Any = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002
        from upath import UPath

        self._base_path = UPath(self.storage)

    def get_path_for_partition(self, context: Any, path: UPath, partition: str) -> UPath:  # noqa: ARG002
        return path / partition / "manifest.json"

    def make_directory(self, path: UPath) -> None:
        """The store makes folders as it writes."""

    def dump_to_path(self, context: dg.OutputContext, obj: Manifest, path: UPath) -> None:
        if not obj.written_at:
            open_store(self.storage).commit(obj)
        context.log.debug(f"{path}: version {obj.version[:12]}")

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        collection, stage = context.asset_key.path
        # From the path: a reader of all labels has no partition key of its own.
        label = path.parent.name
        store = open_store(self.storage)
        manifest = store.manifest(collection, stage, label)
        if manifest is None:
            # Dagster knows this one: an input may allow missing partitions.
            raise FileNotFoundError(f"{path} is not there: materialise {collection}/{stage} for {label}")
        return store.table(manifest, TABLE)
