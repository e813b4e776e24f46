"""Tuning, the rule of promotion, and what becomes of odd collections."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from pinflow.collection import EncoderRecipe
from pinflow.errors import PinflowError
from pinflow.learning import splits
from pinflow.learning.dataset import join
from pinflow.learning.encoder import fit_encoder, training_rows
from pinflow.learning.evaluate import Estimate
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.label_encoder import fit_label_encoder
from pinflow.learning.promotion import Choice, Gain, decide, held_back, strongest, unseen_by
from pinflow.learning.tune import Recipe, tune
from pinflow_tests.learning.conftest import clustered, features, pictures, sha


def collection(
    ids: list[str], labels: list[str], vectors: np.ndarray, related: dict[str, list[str]] | None = None
) -> tuple[pa.Table, pa.Table]:
    tables = [
        splits.assign(
            pictures([i for i, own in zip(ids, labels, strict=True) if own == label], related=related), label
        )
        for label in sorted(set(labels))
    ]
    return features(ids, vectors), splits.resolve(tables)


LEARNABLE = collection(*clustered(4, 40, hidden=0.6))


def test_what_can_be_learned_is_learned_and_promoted() -> None:
    fit = fit_encoder(*LEARNABLE, EncoderRecipe(), served=None)
    assert fit.promotion.promoted, fit.promotion.reason
    assert fit.served is fit.candidate
    assert fit.promotion.low is not None
    assert fit.promotion.low > 0
    frozen, served = (fit.report.overall[name]["map@r"].value for name in ("frozen", "served"))
    assert frozen is not None
    assert served is not None
    assert served > frozen + 0.05


def test_noise_is_not_promoted() -> None:
    ids, labels, vectors = clustered(4, 40, hidden=0)
    fit = fit_encoder(*collection(ids, labels, vectors), EncoderRecipe(), served=None)
    assert not fit.promotion.promoted
    assert fit.served.kind == "identity"
    assert fit.candidate.kind == "residual"
    assert fit.trained_on == ()


def test_only_train_is_learned_from() -> None:
    table, rows = LEARNABLE
    fit = fit_encoder(table, rows, EncoderRecipe(), served=None)
    train = {row["sha256"] for row in rows.to_pylist() if row["split"] == "train"}
    groups = {row["group"] for row in rows.to_pylist() if row["split"] == "train"}
    assert set(fit.trained_on) == train | groups
    # The proof: nothing that is not train changes the candidate.
    data = join(table, rows)
    vectors = data.vectors.copy()
    vectors[~data.in_splits("train")] = 99
    other = features([f"x{i:04}" for i in range(len(vectors))], vectors)
    moved = pa.table([other["id"], pa.array(data.sha256), other["vector"]], schema=table.schema)
    by_sha = {row["sha256"]: row["id"] for row in rows.to_pylist()}
    moved = moved.set_column(0, table.schema.field("id"), pa.array([by_sha[s] for s in data.sha256.tolist()]))
    changed = join(moved, rows)
    assert tune(changed, training_rows(changed)).digest == tune(data, training_rows(data)).digest


def test_test_pictures_take_no_part_in_the_decision() -> None:
    table, rows = LEARNABLE
    test = [row["id"] for row in rows.to_pylist() if row["split"] == "test"]
    vectors = {row["id"]: row["vector"] for row in table.to_pylist()}
    worse = np.array([[1.0] * 32 if i in test else vectors[i] for i in sorted(vectors)])
    other = fit_encoder(features(sorted(vectors), worse), rows, EncoderRecipe(), served=None)
    assert other.promotion == fit_encoder(table, rows, EncoderRecipe(), served=None).promotion


def test_same_seed_same_bytes_and_order_does_not_matter() -> None:
    table, rows = LEARNABLE
    mixed = np.random.default_rng(0).permutation(rows.num_rows)
    one = fit_encoder(table, rows, EncoderRecipe(), served=None, seed=7)
    two = fit_encoder(
        table.take(pa.array(mixed)), rows.take(pa.array(mixed)), EncoderRecipe(), served=None, seed=7
    )
    assert one.candidate.to_bytes() == two.candidate.to_bytes()
    assert one.report == two.report
    data = join(table, rows)
    assert tune(data, training_rows(data), seed=7).digest != tune(data, training_rows(data), seed=8).digest


def test_a_served_head_stays_until_something_beats_it() -> None:
    first = fit_encoder(*LEARNABLE, EncoderRecipe(), served=None)
    again = fit_encoder(*LEARNABLE, EncoderRecipe(), served=first.served, trained_on=first.trained_on)
    assert not again.promotion.promoted
    assert again.served.digest == first.served.digest
    assert again.trained_on == first.trained_on


def test_a_bad_served_head_is_replaced() -> None:
    table, rows = LEARNABLE
    bad = Head("linear", {"weight": np.eye(32, dtype=np.float32)[-4:]})
    fit = fit_encoder(table, rows, EncoderRecipe(), served=bad, trained_on=[sha("p0000")])
    assert fit.promotion.promoted
    assert fit.served is fit.candidate


def test_a_served_head_is_judged_on_what_it_did_not_see() -> None:
    data = join(*LEARNABLE)
    head = Head("linear", {"weight": np.eye(32, dtype=np.float32)})
    train = data.in_splits("train")
    assert not (unseen_by(data, head, data.sha256[train].tolist()) & train).any()
    assert (unseen_by(data, head, ()) == data.in_splits("val")).all()
    assert (unseen_by(data, IDENTITY, ()) == data.in_splits("train", "val")).all()


def test_a_head_of_another_trunk_is_not_compared_with() -> None:
    other = Head("linear", {"weight": np.eye(9, dtype=np.float32)})
    fit = fit_encoder(*LEARNABLE, EncoderRecipe(), served=other)
    assert any("another trunk" in note for note in fit.notes)
    assert fit.promotion.promoted


@pytest.mark.parametrize(
    ("labels", "each"), [(1, 30), (2, 1), (2, 2), (1, 1), (3, 3)], ids=lambda value: str(value)
)
def test_tiny_collections_get_an_answer(labels: int, each: int) -> None:
    ids, names, vectors = clustered(labels, each)
    fit = fit_encoder(*collection(ids, names, vectors), EncoderRecipe(), served=None)
    assert not fit.promotion.promoted
    assert fit.promotion.reason
    assert fit.served.kind == "identity"


def test_no_pictures_at_all_get_an_answer() -> None:
    table, rows = LEARNABLE
    fit = fit_encoder(table.slice(0, 0), rows.slice(0, 0), EncoderRecipe(), served=None)
    assert not fit.promotion.promoted
    assert fit.report.queries == 0


def test_identical_vectors_do_not_break_it() -> None:
    ids, names, vectors = clustered(3, 12)
    fit = fit_encoder(*collection(ids, names, np.ones_like(vectors)), EncoderRecipe(), served=None)
    assert not fit.promotion.promoted


def test_tune_none_serves_the_frozen_space() -> None:
    fit = fit_encoder(*LEARNABLE, EncoderRecipe(tune="none"), served=None)
    assert (fit.candidate.kind, fit.served.kind) == ("identity", "identity")
    assert "tune: none" in fit.promotion.reason


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"loss": "tripel"}, "did you mean triplet"),
        ({"grayscale": True}, "grayscale"),
        ({"positives": ["captions"]}, "positives"),
    ],
)
def test_recipes_that_cannot_be_followed_are_refused(recipe: dict[str, object], says: str) -> None:
    with pytest.raises(PinflowError, match=says):
        fit_encoder(*LEARNABLE, EncoderRecipe(**recipe), served=None)  # type: ignore[arg-type]


def test_captions_are_left_to_the_text_encoder() -> None:
    fit = fit_encoder(*LEARNABLE, EncoderRecipe(positives=["label", "captions"]), served=None)
    assert "positives `captions` are for the text encoder" in fit.notes


def test_attributes_that_do_not_exist_are_named() -> None:
    recipe = EncoderRecipe(positives=["attributes"])
    with pytest.raises(PinflowError, match="names no column"):
        fit_encoder(*LEARNABLE, recipe, served=None)
    with pytest.raises(PinflowError, match="'school'; what the source gives: none"):
        fit_encoder(*LEARNABLE, recipe, served=None, attributes=["school"])


def test_missing_features_are_named() -> None:
    table, rows = LEARNABLE
    with pytest.raises(PinflowError, match=r"1 pictures have no features, e\.g\. p0000"):
        fit_encoder(table.slice(1), rows, EncoderRecipe(), served=None)


def test_unresolved_splits_are_refused() -> None:
    table, rows = LEARNABLE
    place = rows.schema.get_field_index("group")
    one_group = rows.set_column(place, rows.schema.field("group"), pa.array(["g"] * rows.num_rows))
    with pytest.raises(PinflowError, match="resolve the splits first"):
        fit_encoder(table, one_group, EncoderRecipe(), served=None)


EMPTY = Estimate(None, None, None, 0)
GAIN, NONE, LOSS = (Estimate(v, v - 0.02, v + 0.02, 100) for v in (0.05, 0.0, -0.05))


@pytest.mark.parametrize(
    ("known", "unseen", "promoted", "says"),
    [
        (GAIN, None, True, "gain on unseen pictures"),
        (GAIN, NONE, True, "gain on unseen pictures"),
        (GAIN, GAIN, True, "gain on unseen pictures"),
        (GAIN, LOSS, False, "loses on unseen"),
        (NONE, None, False, "no sure gain"),
        (NONE, GAIN, False, "no sure gain"),
        (LOSS, None, False, "no sure gain"),
        (EMPTY, None, False, "more pictures"),
    ],
)
def test_the_rule(known: Estimate, unseen: Estimate | None, promoted: bool, says: str) -> None:
    found = decide(Gain(known, EMPTY), Choice(Recipe(), unseen=unseen))
    assert found.promoted is promoted
    assert says in found.reason


@pytest.mark.parametrize(("crops", "promoted"), [(0.01, True), (-0.01, True), (-0.02, False)])
def test_a_head_that_loses_pictures_inside_a_label_is_not_promoted(crops: float, promoted: bool) -> None:
    found = decide(Gain(GAIN, Estimate(crops, crops, crops, 100)), Choice(Recipe()))
    assert found.promoted is promoted
    assert promoted or "loses pictures inside them (-0.020 of 100 crops" in found.reason


def test_a_head_goes_as_far_as_crops_still_find_their_picture() -> None:
    kept, lost = (Gain(GAIN, Estimate(value, value, value, 100)) for value in (-0.005, -0.03))
    assert held_back({1.0: lost, 0.5: kept, 0.25: kept}) == 0.5
    assert held_back({1.0: lost, 0.5: lost}) == 0.5


def test_unseen_labels_choose_how_far_to_go() -> None:
    assert strongest({1.0: LOSS, 0.5: NONE, 0.25: GAIN}) == 0.5
    assert strongest({1.0: LOSS, 0.5: LOSS}) == 0.5
    assert strongest({}) == 1.0


@pytest.mark.parametrize(("count", "measured"), [(3, False), (4, True), (8, True)])
def test_with_four_labels_unseen_ones_are_measured(count: int, measured: bool) -> None:
    ids, labels, vectors = clustered(count, 12)
    fit = fit_encoder(*collection(ids, labels, vectors), EncoderRecipe(), served=None)
    assert (fit.promotion.unseen_labels is not None) is measured


def kinds(each: int, hidden: float = 0.6) -> tuple[pa.Table, pa.Table]:
    """One label whose pictures are of several kinds, related within a kind."""
    ids, kind, vectors = clustered(6, each, hidden=hidden)
    related = {
        i: [j for j, other in zip(ids, kind, strict=True) if other == own and j != i]
        for i, own in zip(ids, kind, strict=True)
    }
    return collection(ids, ["dogs"] * len(ids), vectors, related)


def test_label_encoder_learns_the_kinds_inside_a_label() -> None:
    fit = fit_label_encoder(*kinds(20))
    assert fit.promotion.promoted, fit.promotion.reason
    assert fit.test is not None
    assert fit.test.value is not None
    assert fit.test.value > 0


def test_label_encoder_says_why_it_stays_frozen() -> None:
    few = fit_label_encoder(*kinds(2))
    assert few.served.kind == "identity"
    assert "related pairs" in few.promotion.reason
    noise = fit_label_encoder(*kinds(12, hidden=0))
    assert noise.served.kind == "identity"
    assert "no sure gain" in noise.promotion.reason


def test_nothing_heavy_is_imported_without_something_to_learn() -> None:
    code = (
        "import sys, pkgutil, importlib, pinflow.learning as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'pinflow.learning.{module.name}')\n"
        "from pinflow import schema\n"
        "from pinflow.learning.label_encoder import fit_label_encoder\n"
        "fit_label_encoder(schema.empty(schema.features(8)), schema.empty(schema.SPLIT_ROWS))\n"
        "heavy = {'torch', 'timm', 'sklearn', 'PIL', 'matplotlib', 'pytorch_metric_learning'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
