"""Everything known about the pins, their vectors and splits, as one Parquet file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pinflow import schema
from pinflow.commands.exports.content import Content

if TYPE_CHECKING:
    from pinflow.commands.console import Console

FILE = "pins.parquet"


def write(content: Content, folder: Path, _: Console) -> str:
    """`pins.parquet`: `schema.RELEASE_PINS`, `split`, and `vector` (the collection's space, unit length)."""
    import pyarrow.parquet as pq

    described = content.pins.append_column("split", pa.array(content.splits, pa.string()))
    whole = described.append_column("vector", schema.vectors(content.vectors))
    pq.write_table(whole, folder / FILE, compression="zstd")
    return (
        f"`{FILE}`: a row a pin. `vector` is of length 1: the scalar product of two is their similarity. "
        "Pictures are not in it; `picture_url` says where they came from."
    )
