"""Small real tables for the learning tests: pictures drawn here, and vectors with a known structure."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pinflow import schema

WIDTH = 32


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def spread_hash(text: str) -> int:
    """A perceptual hash far from every other one."""
    return int(sha("phash" + text)[:16], 16)


def pictures(
    ids: Sequence[str],
    *,
    content: dict[str, str] | None = None,
    origin: dict[str, str] | None = None,
    phash: dict[str, int] | None = None,
    attributes: dict[str, dict[str, str]] | None = None,
    related: dict[str, list[str]] | None = None,
) -> pa.Table:
    """The columns of `schema.PICTURES` that splits read; the dicts override by id."""
    content, origin, phash = content or {}, origin or {}, phash or {}
    return pa.table(
        {
            "id": pa.array(list(ids), pa.string()),
            "sha256": pa.array([sha(content.get(i, i)) for i in ids], pa.string()),
            "phash": pa.array([phash.get(i, spread_hash(content.get(i, i))) for i in ids], pa.uint64()),
            "origin_keys": pa.array([[origin[i]] if i in origin else [] for i in ids], schema.TEXTS),
            "duplicates": pa.array([[] for _ in ids], schema.TEXTS),
            "attributes": pa.array(
                [list((attributes or {}).get(i, {}).items()) for i in ids], schema.ATTRIBUTES
            ),
            "related": pa.array([(related or {}).get(i, []) for i in ids], schema.TEXTS),
        }
    )


def features(ids: Sequence[str], vectors: np.ndarray) -> pa.Table:
    column = pa.FixedSizeListArray.from_arrays(
        pa.array(np.asarray(vectors, np.float32).reshape(-1)), vectors.shape[1]
    )
    return pa.table(
        [pa.array(list(ids), pa.string()), pa.array([sha(i) for i in ids], pa.string()), column],
        schema=schema.features(vectors.shape[1]),
    ).sort_by("id")


def jpeg(seed: int, size: tuple[int, int] = (96, 64)) -> bytes:
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).resize(size).save(out, "JPEG", quality=90)
    return out.getvalue()


def clustered(
    labels: int, each: int, *, hidden: float = 0.3, noise: float = 1.0, seed: int = 0
) -> tuple[list[str], list[str], np.ndarray]:
    """ids, labels and vectors whose labels differ in a few quiet directions under loud noise elsewhere."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:04}" for i in range(labels * each)]
    of = np.repeat(np.arange(labels), each)
    centres = rng.normal(size=(labels, 8)) * hidden
    quiet = centres[of] + rng.normal(size=(len(ids), 8)) * hidden / 4
    loud = rng.normal(size=(len(ids), WIDTH - 8)) * noise
    return ids, [f"label-{i}" for i in of], np.concatenate([quiet, loud], axis=1)
