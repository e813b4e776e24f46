"""The product's own path from pictures to what is served: split rows, features, crops, and the function that
the asset `encoder` calls."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from pinflow.learning.dataset import Dataset
    from pinflow.learning.encoder import EncoderFit
    from pinflow.learning.trunk import Seen, Trunk

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Product:
    """A fit as a collection gets it; `data` holds the pictures once each, sorted by sha256."""

    fit: EncoderFit
    data: Dataset


def served(
    pictures: Sequence[bytes],
    labels: Sequence[str],
    origins: Sequence[str],
    seen: Seen,
    crops: Seen,
) -> Product:
    """`origins`: what must not straddle a split; `seen`, `crops`: of the pictures and of their parts."""
    from pinflow.collection import EncoderRecipe
    from pinflow.learning.crops import chosen
    from pinflow.learning.dataset import join
    from pinflow.learning.encoder import fit_encoder
    from pinflow.learning.splits import assign, resolve

    table = _pictures(pictures, origins)
    features, parts = (_features(table, one) for one in (seen, crops))
    rows = resolve(
        [
            assign(table.filter(pa.array([own == label for own in labels])), label)
            for label in sorted(set(labels))
        ]
    )
    some = parts.filter(pa.array([one in chosen(rows) for one in parts["sha256"].to_pylist()]))
    fit = fit_encoder(features, rows, EncoderRecipe(), served=None, crops=some)
    return Product(fit, join(features, rows, some))


def told(product: Product) -> dict[str, Any]:
    """What was decided, and the figures on test of the spaces."""
    from benchmarks.learning import shown

    fit = product.fit
    overall = {
        space: {metric: shown(metrics[metric]) for metric in ("recall@1", "map@r")}
        for space, metrics in fit.report.overall.items()
    }
    return {
        "promoted": fit.promotion.promoted,
        "why": fit.promotion.reason,
        "served": f"{fit.served.kind} of {fit.served.reads}, strength {fit.promotion.strength}",
        "unseen labels, MAP@R gain": shown(fit.promotion.unseen_labels)
        if fit.promotion.unseen_labels
        else None,
        "crops that find their picture, gain": shown(fit.promotion.crops) if fit.promotion.crops else None,
        "test": overall,
        "test, crops": {space: shown(one) for space, one in fit.report.crops.items()},
    }


def crops_of(trunk: Trunk, pictures: Sequence[bytes]) -> Seen:
    """The parts of the pictures, embedded."""
    from pinflow.learning.crops import part_of

    return trunk.look([part_of(one, hashlib.sha256(one).hexdigest()) for one in pictures])


def _pictures(pictures: Sequence[bytes], origins: Sequence[str]) -> pa.Table:
    """The columns of `schema.PICTURES` that splits read."""
    from PIL import Image

    from pinflow import schema
    from pinflow.imaging.derivatives import perceptual_hash

    digests = [hashlib.sha256(one).hexdigest() for one in pictures]
    hashes = [perceptual_hash(Image.open(io.BytesIO(one)).convert("RGB")) for one in pictures]
    n = len(digests)
    return pa.table(
        {
            "id": pa.array([f"p{number:06}" for number in range(n)]),
            "sha256": pa.array(digests),
            "phash": pa.array(hashes, pa.uint64()),
            "origin_keys": pa.array([[origin] for origin in origins], schema.TEXTS),
            "duplicates": pa.array([[] for _ in range(n)], schema.TEXTS),
            "attributes": pa.array([[] for _ in range(n)], schema.ATTRIBUTES),
            "related": pa.array([[] for _ in range(n)], schema.TEXTS),
        }
    )


def _features(table: pa.Table, seen: Seen) -> pa.Table:
    from pinflow import schema

    columns = [table["id"], table["sha256"], schema.vectors(seen.last), schema.vectors(seen.stages)]
    return pa.table(columns, schema=schema.features(seen.last.shape[1], seen.stages.shape[1]))
