"""The pictures of a state that a person looks at: thumbnails, and what a space thinks is alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pinflow.pipeline.partition import Partition
from pinflow.store import Manifest

SHEET_BYTES = 45_000  # Dagster's event log keeps every preview
QUERIES_SHOWN = 3
NEIGHBOURS_SHOWN = 8


def strip(pictures: Sequence[bytes], columns: int = 8) -> bytes | None:
    """A contact sheet of thumbnails, or None for none."""
    from pinflow.imaging.sheet import contact_sheet

    return contact_sheet(pictures, columns=columns, max_bytes=SHEET_BYTES) if pictures else None


def neighbour_strip(part: Partition, ids: Sequence[str], vectors: npt.NDArray[np.float32]) -> bytes | None:
    """A few of the label's pictures, each followed by its nearest neighbours among `vectors` (n, d)."""
    thumbnails = read_thumbnails(part, part.read("images"))
    rows = [row for row, one in enumerate(ids) if one in thumbnails]
    if len(rows) < 2:
        return None
    unit = vectors[rows] / np.maximum(np.linalg.norm(vectors[rows], axis=1, keepdims=True), 1e-12)
    chosen = np.linspace(0, len(rows) - 1, min(QUERIES_SHOWN, len(rows))).astype(int)
    nearest = np.argsort(-(unit[chosen] @ unit.T), axis=1, kind="stable")[:, :NEIGHBOURS_SHOWN]
    return strip([thumbnails[ids[rows[row]]] for line in nearest for row in line], columns=nearest.shape[1])


def read_thumbnails(part: Partition, images: Manifest) -> dict[str, bytes]:
    """Pin id -> WebP of a label."""
    found: dict[str, bytes] = {}
    for name in images.files:
        if name.startswith("thumbnails-"):
            table = part.table(images, name)
            found.update(zip(table["id"].to_pylist(), table["webp"].to_pylist(), strict=True))
    return found
