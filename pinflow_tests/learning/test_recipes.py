"""The recipes that have a name, each from drawn pictures to a head, on a network that a hub would give
(here with random weights)."""

from __future__ import annotations

import io
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.collection import RECIPES, Collection
from pinflow.learning import splits, weights
from pinflow.learning.crops import chosen, cut
from pinflow.learning.encoder import fit_encoder
from pinflow.learning.features import extract
from pinflow.learning.trunk import Trunk
from pinflow_tests.learning.conftest import pictures, sha

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200)}
EACH = 12


def painting(school: str, style: str, seed: int) -> bytes:
    """A shape in a colour, a little different each time."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    ground = Image.new("RGB", (96, 96), tuple(rng.integers(150, 255, 3).tolist()))
    pen = ImageDraw.Draw(ground)
    for _ in range(6):
        x, y, side = rng.integers(5, 60), rng.integers(5, 60), rng.integers(15, 30)
        box = (int(x), int(y), int(x + side), int(y + side))
        (pen.ellipse if style == "round" else pen.rectangle)(box, fill=COLOURS[school])
    out = io.BytesIO()
    ground.save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture(scope="module")
def art() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Features, split rows and crops of paintings in two schools and two styles, all under one label."""
    import torch

    torch.manual_seed(0)
    model = weights.create_model(RECIPES["painting"]["trunk"])
    trunk = Trunk("shufflenet", model, weights.Preprocess(64, (0.5,) * 3, (0.25,) * 3), "cpu")
    of = {
        f"p{number:03}": (school, style)
        for number, (school, style, _) in enumerate(product(COLOURS, ("round", "square"), range(EACH)))
    }
    jpeg = [painting(*kind, seed) for seed, kind in enumerate(of.values())]
    shard = pa.table({"id": list(of), "sha256": list(map(sha, of)), "jpeg": jpeg}, schema=schema.SHARD)
    told = {i: {"school": school, "style": style, "type": "still life"} for i, (school, style) in of.items()}
    rows = splits.resolve([splits.assign(pictures(list(of), attributes=told), "art")])
    crops = extract(cut([shard], chosen(rows)), trunk)
    assert crops.num_rows == len(of)
    return extract([shard], trunk), rows, crops


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_trains_from_pictures_to_a_head(
    art: tuple[pa.Table, pa.Table, pa.Table], name: str
) -> None:
    table, rows, crops = art
    asked = Collection.model_validate({"name": "art", "labels": ["art"], "encoder": {"recipe": name}})
    found = fit_encoder(table, rows, asked.encoder, served=None, attributes=asked.attributes, crops=crops)
    assert found.candidate.kind == "residual"
    assert found.promotion.crops is not None
    assert found.promotion.crops.n > 0
    assert set(found.report.crops) == {"frozen", "candidate", "served"}
