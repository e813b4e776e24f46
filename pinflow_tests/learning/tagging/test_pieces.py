"""Folds, probe, calibration, strangers, suspects and evidence, each on numbers whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.learning.tagging import strangers
from pinflow.learning.tagging.calibrate import fit_temperature, log_losses, softmax, thresholds, truth
from pinflow.learning.tagging.evidence import evidence
from pinflow.learning.tagging.folds import stratified_folds
from pinflow.learning.tagging.measure import figures, share
from pinflow.learning.tagging.probe import fit_probe, out_of_fold
from pinflow.learning.tagging.suspects import find_suspects


def blobs(tags: int, each: int, *, noise: float = 0.35, width: int = 16, seed: int = 0):
    """Vectors around one axis a tag, and their tags."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(tags), each)
    return (np.eye(width)[of] + noise * rng.normal(size=(len(of), width))).astype(np.float32), of


def alone(count: int) -> np.ndarray:
    return np.arange(count).astype(str)


# Folds


def test_no_group_is_in_two_folds_and_every_fold_has_every_tag() -> None:
    tags = np.repeat([0, 1, 2], [40, 40, 10])
    groups = np.array([f"g{i // 2}" for i in range(90)])
    folds = stratified_folds(tags, groups)
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert all(set(tags[folds == fold]) == {0, 1, 2} for fold in range(5))
    np.testing.assert_array_equal(folds, stratified_folds(tags, groups))


@pytest.mark.parametrize(
    ("tags", "groups", "made"),
    [([], [], 0), ([0], ["a"], 1), ([0, 1], ["a", "a"], 1), ([0, 0, 1], ["a", "b", "c"], 2)],
)
def test_there_are_as_many_folds_as_the_data_allow(tags, groups, made) -> None:
    folds = stratified_folds(np.array(tags, np.int64), np.array(groups, dtype=np.str_))
    assert len(set(folds)) == made


# Probe


@pytest.mark.parametrize("tags", [2, 3, 6])
def test_a_probe_tells_clear_tags_apart_on_pictures_it_never_saw(tags) -> None:
    vectors, of = blobs(tags, 20, noise=0.25)
    probe = fit_probe(vectors, of[:, None], tags, 10.0)
    fresh, true = blobs(tags, 20, noise=0.25, seed=1)
    assert (probe.logits(fresh).argmax(1) == true).mean() > 0.9
    np.testing.assert_allclose(probe.logits(fresh * 7), probe.logits(fresh), atol=1e-4)


def test_a_tag_without_pictures_is_never_likely() -> None:
    vectors, of = blobs(3, 10)
    probabilities = softmax(fit_probe(vectors, of[:, None], 5, 10.0).logits(vectors))
    assert (probabilities[:, 3:] == 0).all()
    np.testing.assert_allclose(probabilities.sum(1), 1)


def test_a_picture_with_two_tags_counts_half_for_each() -> None:
    vectors, of = blobs(3, 12)
    labels = np.stack([of, np.full(len(of), -1)], axis=1)
    both = np.repeat(labels, 2, axis=0)
    once = fit_probe(vectors, labels, 3, 10.0)
    twice = fit_probe(np.repeat(vectors, 2, axis=0), both, 3, 5.0)  # twice the data, half the trust in each
    np.testing.assert_allclose(once.logits(vectors), twice.logits(vectors), atol=0.02)
    labels[0, 1] = 2
    assert fit_probe(vectors, labels, 3, 10.0).logits(vectors[:1])[0, 2] > once.logits(vectors[:1])[0, 2]


def test_out_of_fold_logits_know_nothing_of_their_own_picture() -> None:
    rng = np.random.default_rng(0)
    vectors, of = rng.normal(size=(60, 40)).astype(np.float32), rng.integers(0, 2, 60)
    folds = stratified_folds(of, alone(60))
    seen = (fit_probe(vectors, of[:, None], 2, 100.0).logits(vectors).argmax(1) == of).mean()
    unseen = (out_of_fold(vectors, of[:, None], 2, folds, 100.0).argmax(1) == of).mean()
    assert seen > 0.95
    assert unseen < 0.75


# Calibration


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_logits_were_spoilt_with_is_found_again(temperature) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 4)) * 2
    drawn = np.array([rng.choice(4, p=p) for p in softmax(logits)])
    assert fit_temperature(logits * temperature, truth(drawn[:, None], 4)) == pytest.approx(
        temperature, rel=0.1
    )


def test_a_threshold_keeps_the_wanted_precision_and_no_more_pictures_than_that() -> None:
    sure = np.linspace(0.99, 0.01, 99)
    probabilities = np.stack([sure, 1 - sure], axis=1)
    right = sure > 0.7
    true = np.stack([right, ~right], axis=1)
    low, _ = thresholds(probabilities, true, 0.9)
    assert right[sure >= low].mean() >= 0.9
    assert right[sure >= low - 0.03].mean() < right[sure >= low].mean()


def test_a_tag_that_is_likelier_wrong_is_not_given_however_well_it_did() -> None:
    sure = np.linspace(0.99, 0.2, 50)
    found = thresholds(np.stack([sure, 1 - sure], axis=1), np.tile([[True, False]], (50, 1)), 0.9)
    assert found[0] == 0.5


def test_few_lucky_pictures_are_no_reason_to_be_sure() -> None:
    probabilities = np.tile([[0.9, 0.1]], (7, 1)) - np.arange(7)[:, None] * [[0.01, -0.01]]
    assert np.isinf(thresholds(probabilities, np.tile([[True, False]], (7, 1)), 0.9)).all()
    more = np.concatenate([probabilities, [[0.8, 0.2]]])
    assert thresholds(more, np.tile([[True, False]], (8, 1)), 0.9)[0] == pytest.approx(0.8)


def test_tags_that_have_too_few_pictures_share_a_threshold() -> None:
    tags = np.repeat(np.arange(5), 4)
    probabilities = np.full((20, 5), 0.02)
    probabilities[np.arange(20), tags] = 0.92
    found = thresholds(probabilities, truth(tags[:, None], 5), 0.9)
    np.testing.assert_allclose(found, 0.92, atol=1e-4)


def test_a_picture_with_two_tags_is_right_with_either() -> None:
    true = truth(np.array([[0, 1], [2, -1]]), 3)
    np.testing.assert_array_equal(true, [[True, True, False], [False, False, True]])
    np.testing.assert_allclose(log_losses(np.array([[0.5, 0.5, 0], [0.5, 0, 0.5]]), true), [0, np.log(2)])


# Figures


def test_figures_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, f1_score, log_loss

    rng = np.random.default_rng(0)
    probabilities, of = softmax(rng.normal(size=(200, 4))), rng.integers(0, 4, 200)
    found = figures(probabilities, truth(of[:, None], 4), alone(200))
    assert found["accuracy"].value == pytest.approx(accuracy_score(of, probabilities.argmax(1)))
    assert found["macro_f1"].value == pytest.approx(f1_score(of, probabilities.argmax(1), average="macro"))
    assert found["log_loss"].value == pytest.approx(log_loss(of, probabilities))
    assert all(one.low < one.value < one.high for name, one in found.items() if name != "ece")


def test_the_calibration_error_of_one_bin_is_its_gap() -> None:
    probabilities = np.tile([[0.85, 0.15]], (10, 1))
    true = truth(np.array([0] * 6 + [1] * 4)[:, None], 2)
    assert figures(probabilities, true, alone(10))["ece"].value == pytest.approx(0.25)


def test_copies_of_one_thing_are_one_piece_of_evidence() -> None:
    rng = np.random.default_rng(0)
    hit = rng.random(40) < 0.5
    everyone = np.ones(40, bool)
    single = share(hit, everyone, alone(40))
    copied = share(np.repeat(hit, 5), np.ones(200, bool), np.repeat(alone(40), 5))
    assert copied.value == single.value
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=0.2)


def test_a_share_is_of_the_pictures_that_are_asked_about() -> None:
    hit, among = np.array([True, False, True, True]), np.array([True, True, False, False])
    assert share(hit, among, alone(4)).value == 0.5
    assert share(hit, np.zeros(4, bool), alone(4)).value is None


# Strangers


def test_a_stranger_is_unlike_every_tag() -> None:
    vectors, of = blobs(4, 30, noise=0.2)
    means = strangers.tag_means(vectors, truth(of[:, None], 4))
    known = strangers.out_of_fold_familiarity(
        vectors, truth(of[:, None], 4), stratified_folds(of, alone(120))
    )
    level = strangers.level(known)
    assert (known.max(1) < level).mean() == pytest.approx(strangers.STRANGE, abs=0.01)
    strange = (np.eye(16)[np.repeat(10, 30)] + 0.2 * np.random.default_rng(5).normal(size=(30, 16))).astype(
        np.float32
    )
    assert (strangers.familiarity(strange, means).max(1) < level).mean() > 0.8


def test_labels_put_aside_are_told_from_known_ones_and_labels_at_random_are_not() -> None:
    vectors, of = blobs(4, 30)
    mixed = np.random.default_rng(0).permutation(of)
    area = {}
    for name, tags in (("real", of), ("random", mixed)):
        true = truth(tags[:, None], 4)
        cosines = strangers.out_of_fold_familiarity(vectors, true, stratified_folds(tags, alone(120)))
        area[name] = strangers.auroc(*strangers.put_aside(cosines, true))
    assert area["real"].low > 0.9
    assert area["random"].low < 0.5 < area["random"].high


def test_the_area_is_that_of_scikit_learn_with_ties() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    known, strange = rng.integers(2, 9, 80) / 10, rng.integers(0, 7, 50) / 10
    found = strangers.auroc(known, strange)
    expected = roc_auc_score([1] * 80 + [0] * 50, np.concatenate([known, strange]))
    assert found.value == pytest.approx(expected)
    assert found.low < expected < found.high
    assert strangers.auroc(known, strange[:0]).value is None


# Label errors


def test_planted_label_errors_are_found_and_come_first() -> None:
    vectors, of = blobs(4, 50, noise=0.15)
    wrong = np.arange(0, 200, 20)
    given = of.copy()
    given[wrong] = (of[wrong] + 1) % 4
    logits = out_of_fold(vectors, given[:, None], 4, stratified_folds(given, alone(200)), 10.0)
    found = find_suspects(softmax(logits), given[:, None])
    assert set(found.rows) >= set(wrong)
    assert set(found.rows[:10]) == set(wrong)
    np.testing.assert_array_equal(found.suggested[:10], of[found.rows[:10]])
    np.testing.assert_array_equal(found.given, given[found.rows])
    assert (found.given_probability < found.suggested_probability).all()
    assert (np.diff(found.given_probability) >= 0).all()


def test_a_picture_with_two_labels_is_no_suspect_and_one_label_has_no_rival() -> None:
    probabilities = np.array([[0.01, 0.99]] * 6)
    assert len(find_suspects(probabilities, np.array([[0, 1]] * 6)).rows) == 0
    assert len(find_suspects(probabilities, np.array([[0, -1]] * 6)).rows) == 0
    assert len(find_suspects(np.zeros((0, 2)), np.zeros((0, 1), np.int64)).rows) == 0


# Evidence


def test_evidence_is_the_nearest_pictures_and_what_they_are_called() -> None:
    gallery = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    found = evidence(np.array([1, 0], np.float32), gallery, [["a"], ["a", "b"], ["b"], ["c"]], count=2)
    assert found.rows == (0, 1)
    assert found.similarities == pytest.approx((1, 0.8))
    assert found.support == pytest.approx({"a": 1.0, "b": 0.8 / 1.8})
    assert evidence(np.array([1, 0], np.float32), gallery[:0], []).support == {}
