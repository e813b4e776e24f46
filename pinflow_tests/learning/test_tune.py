"""The loop: kinds of head, when it stops, and what becomes of data that cannot be learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from pinflow.collection import EncoderRecipe
from pinflow.errors import PinflowError
from pinflow.learning import tune as loop
from pinflow.learning.dataset import Dataset, join
from pinflow.learning.encoder import fit_encoder
from pinflow.learning.evaluate import per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.positives import Positives
from pinflow.learning.promotion import choose
from pinflow.learning.tune import Recipe, fit
from pinflow_tests.learning.conftest import clustered
from pinflow_tests.learning.test_encoder import LEARNABLE, collection

LABELS = Recipe(Positives(("label",)))


def many(labels: int = 120, each: int = 4, width: int = 32, seed: int = 0) -> Dataset:
    """Labels that differ in every second direction; the others vary within them, and more."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(labels), each)
    vectors = rng.normal(size=(labels, width))[of] * (np.arange(width) % 2)
    vectors += rng.normal(size=(len(of), width)) * np.where(np.arange(width) % 2, 0.5, 2)
    ids = np.arange(len(of)).astype(str)
    names = tuple(map(str, range(labels)))
    split, fold = np.full(len(of), "train"), np.arange(len(of)) % 5
    related = np.zeros((0, 2), dtype=np.int64)
    return Dataset(vectors.astype(np.float32), ids, ids, split, fold, names, of[:, None], related)


def map_at_r(data: Dataset, head: Head, rows: np.ndarray) -> float:
    found = per_query(head.apply(data.vectors), rows, rows, data.same_label)
    return float(found.values["map@r"].mean())


def test_many_sets_teach_what_to_forget_and_unseen_labels_gain() -> None:
    data = many()
    seen = np.flatnonzero(data.primary < 80)
    unseen = np.flatnonzero(data.primary >= 80)
    head = fit(data, seen, LABELS.as_affine()).head
    assert head.kind == "affine"
    assert map_at_r(data, head, unseen) > map_at_r(data, IDENTITY, unseen) + 0.1


def test_the_kind_of_head_is_chosen_on_labels_put_aside() -> None:
    data = many()
    found = choose(data, IDENTITY, LABELS, judged=data.in_splits("train"))
    assert found.recipe.kind == "affine"
    assert found.unseen is not None
    assert found.unseen.low is not None
    assert found.unseen.low > 0
    few = many(labels=10, each=12)
    assert choose(few, IDENTITY, LABELS, judged=few.in_splits("train")).recipe.kind == "residual"


def test_without_anything_to_learn_the_affine_head_is_not_chosen() -> None:
    data = replace(many(), vectors=np.random.default_rng(1).normal(size=(480, 32)).astype(np.float32))
    assert choose(data, IDENTITY, LABELS, judged=data.in_splits("train")).recipe.kind == "residual"


def test_it_stops_when_the_pictures_watched_gain_no_more() -> None:
    data = many()
    learned, watched = np.flatnonzero(data.primary < 80), np.flatnonzero(data.primary >= 80)
    long = replace(LABELS.as_affine(), steps=400, learning_rate=0.05, every=5)
    found = fit(data, learned, long, watch=watched)
    assert found.steps < 400
    assert "the best of val" in found.note
    start = fit(data, learned, replace(long, learning_rate=0)).head
    assert map_at_r(data, found.head, watched) > map_at_r(data, start, watched)


@pytest.mark.parametrize("kind", ["residual", "affine"])
def test_a_loss_that_is_not_finite_keeps_the_last_good_state(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = many()
    rows = np.arange(len(data))
    recipe = LABELS if kind == "residual" else LABELS.as_affine()
    calls = 0

    class Broken:
        def __init__(self, *_: object, **__: object) -> None: ...

        def parameters(self) -> list[object]:
            return []

        def __call__(self, vectors, positive, classes):  # type: ignore[no-untyped-def]
            nonlocal calls
            calls += 1
            return (vectors**2)[:, :3].sum() * (np.nan if calls > 7 else 1)

    monkeypatch.setattr("pinflow.learning.loss.Loss", Broken)
    found = fit(data, rows, recipe)
    assert found.note == "the loss was nan at step 8: the state of step 7 is kept"
    assert np.isfinite(found.head.apply(data.vectors)).all()
    assert found.head.kind == kind


def test_features_that_are_not_finite_are_named() -> None:
    table, rows = LEARNABLE
    vectors = np.array(table["vector"].to_pylist())
    vectors[3, 0] = np.nan
    place = table.schema.get_field_index("vector")
    field = table.schema.field("vector")
    bad = table.set_column(place, field, pa.array(vectors.tolist(), field.type))
    with pytest.raises(PinflowError, match=r"1 pictures are not finite, e\.g\. p0003"):
        join(bad, rows)


def test_pictures_that_all_look_the_same_are_told_so() -> None:
    ids, labels, vectors = clustered(3, 12)
    found = fit_encoder(*collection(ids, labels, np.ones_like(vectors)), EncoderRecipe(), served=None)
    assert "look the same" in found.promotion.reason


def test_labels_without_positives_are_named() -> None:
    ids, _, vectors = clustered(3, 12)
    found = fit_encoder(*collection(ids, [f"l{i}" for i in ids], vectors), EncoderRecipe(), served=None)
    assert "too few: lp0000" in found.promotion.reason


def test_the_loop_uses_one_thread_and_gives_them_back() -> None:
    import torch

    before = torch.get_num_threads()
    with loop._one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
