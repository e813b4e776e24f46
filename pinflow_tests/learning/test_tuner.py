"""Full tuning as a fit does it: judged on what the trial never saw, served with its own trunk."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pinflow import schema
from pinflow.collection import EncoderRecipe
from pinflow.errors import PinflowError
from pinflow.learning import checkpoint, promotion, splits, weights
from pinflow.learning.crops import chosen, cut
from pinflow.learning.encoder import EncoderFit, fit_encoder
from pinflow.learning.features import extract
from pinflow.learning.full import Course
from pinflow.learning.trunk import Trunk, tuned_trunk
from pinflow.learning.tuner import Tuner, features
from pinflow_tests.learning.conftest import pictures, sha
from pinflow_tests.learning.test_full import NAME, PREPROCESS
from pinflow_tests.learning.test_full import pictures as drawn

FULL = EncoderRecipe(tune="full")
LEARNS = Course(epochs=10, batch=32, trunk_rate=3e-3, patience=10)


def load() -> Trunk:
    torch.manual_seed(0)
    return Trunk("mobilenetv3_small_050", weights.create_model(NAME), PREPROCESS, "cpu")


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    Image.fromarray(pixels).save(out := io.BytesIO(), "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def stripes() -> tuple[pa.Table, pa.Table]:
    """A shard of stripes in four directions, and its split rows."""
    pixels, of = drawn(4, 60)
    ids = [f"p{i:03}" for i in range(len(of))]
    shard = pa.table(
        {"id": ids, "sha256": list(map(sha, ids)), "jpeg": list(map(png, pixels))}, schema=schema.SHARD
    )
    tables = [
        splits.assign(pictures([i for i, own in zip(ids, of, strict=True) if own == kind]), f"kind-{kind}")
        for kind in range(4)
    ]
    return shard, splits.resolve(tables)


def fitted(
    stripes: tuple[pa.Table, pa.Table], folder: Path, course: Course, *, cropped: bool = False
) -> EncoderFit:
    shard, rows = stripes
    tuner = Tuner(lambda: iter([shard]), load, folder, course)
    crops = extract(cut([shard], chosen(rows)), load()) if cropped else None
    return fit_encoder(extract([shard], load()), rows, FULL, served=None, crops=crops, tuner=tuner)


@pytest.fixture(scope="module")
def fit(stripes: tuple[pa.Table, pa.Table], tmp_path_factory: pytest.TempPathFactory) -> EncoderFit:
    folder = tmp_path_factory.mktemp("tuning")
    found = fitted(stripes, folder, LEARNS)
    assert list(folder.iterdir()) == [], "neither pixels nor states are left behind"
    return found


def test_a_trunk_that_gains_on_what_it_never_saw_is_served_with_its_head(fit: EncoderFit) -> None:
    assert fit.promotion.promoted, fit.promotion.reason
    assert fit.promotion.reason.startswith("full tuning: gain on unseen pictures")
    assert fit.trunk is not None
    assert fit.served.trunk == Trunk(NAME, checkpoint.from_bytes(fit.trunk).model, PREPROCESS, "cpu").digest
    frozen, served = (fit.report.overall[name]["map@r"].value for name in ("frozen", "served"))
    assert frozen is not None
    assert served is not None
    assert served > frozen + 0.1


def test_a_query_goes_the_way_that_the_pictures_went(
    fit: EncoderFit, stripes: tuple[pa.Table, pa.Table]
) -> None:
    shard, rows = stripes
    assert fit.trunk is not None
    trunk = tuned_trunk(fit.trunk, fit.served.trunk, device="cpu")
    table, crops = features(fit.data.others[fit.served.trunk], rows)
    assert schema.problems(table, schema.features(trunk.width, trunk.stages)) == []
    assert crops.num_rows == 0
    again = extract([shard], trunk)
    np.testing.assert_allclose(schema.matrix(again, "vector"), schema.matrix(table, "vector"), atol=1e-4)


def test_a_later_fit_compares_with_the_tuned_trunk(
    fit: EncoderFit, stripes: tuple[pa.Table, pa.Table]
) -> None:
    shard, rows = stripes
    known = {fit.served.trunk: features(fit.data.others[fit.served.trunk], rows)}
    own = extract([shard], load())
    again = fit_encoder(own, rows, EncoderRecipe(), served=fit.served, trained_on=fit.trained_on, tuned=known)
    assert not again.promotion.promoted
    assert again.served.digest == fit.served.digest
    without = fit_encoder(own, rows, EncoderRecipe(), served=fit.served, trained_on=fit.trained_on)
    assert any("another trunk" in note for note in without.notes)


def test_a_trunk_that_loses_what_tells_the_pictures_of_a_label_apart_is_not_served(
    stripes: tuple[pa.Table, pa.Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "CROPS_LOST", -2.0)  # as if every crop had to find its picture twice
    found = fitted(stripes, tmp_path, LEARNS, cropped=True)
    assert found.trunk is None
    assert "loses pictures inside them" in found.notes[-1]


def test_a_trunk_that_gains_nothing_is_not_served_and_it_says_so(
    stripes: tuple[pa.Table, pa.Table], tmp_path: Path
) -> None:
    found = fitted(stripes, tmp_path, Course(epochs=1, batch=64, trunk_rate=0.0, head_rate=0.0))
    assert found.trunk is None
    assert found.served.trunk == ""
    assert any(note.startswith("full tuning: no sure gain") for note in found.notes)


def test_pictures_without_a_shard_are_named(stripes: tuple[pa.Table, pa.Table], tmp_path: Path) -> None:
    shard, rows = stripes
    tuner = Tuner(lambda: iter([shard.slice(1)]), load, tmp_path, Course(epochs=1))
    with pytest.raises(PinflowError, match="1 pictures are in no shard"):
        fit_encoder(extract([shard], load()), rows, FULL, served=None, tuner=tuner)
