"""Votes of neighbours: how they are counted, what is held out, whether their confidence can be believed."""

import json

import numpy as np
import pytest

from pinflow.retrieval.attributes import Facet, Span
from pinflow.retrieval.ballot import Kernel, conformal, outsiders, quantiles, shares
from pinflow.retrieval.votes import LEVEL, Vote, fit_votes


def unit(array):
    return (array / np.linalg.norm(array, axis=1, keepdims=True)).astype(np.float32)


def clouds(n=300, values=3, spread=0.5, seed=0):
    """Points around `values` corners, and which corner each is of."""
    rng = np.random.default_rng(seed)
    of = rng.integers(values, size=n)
    return unit(np.eye(values + 5)[of] + rng.normal(0, spread, (n, values + 5))), of.astype(np.int64)


def everyone(n):
    return np.ones(n, np.bool_)


class TestCounting:
    def test_the_nearest_weighs_one_and_the_others_less_by_how_much_less_alike_they_are(self):
        weights = Kernel(3, 0.1).weights(np.array([[0.9, 0.8, 0.9 - 0.2, 0.9]], np.float32))
        assert weights[0] == pytest.approx([1, np.exp(-1), np.exp(-2)], rel=1e-5)

    def test_nobody_weighs_nothing(self):
        assert Kernel(2, 0.1).weights(np.full((1, 2), -np.inf, np.float32)).tolist() == [[0, 0]]

    def test_votes_and_prior_add_up_to_one(self):
        found = shares(np.array([[0, 1, -1]]), np.array([[1.0, 0.5, 0.9]]), np.array([0.2, 0.3, 0.5]), 1.0)
        assert found[0] == pytest.approx([1.2 / 2.5, 0.8 / 2.5, 0.5 / 2.5])

    def test_without_votes_the_prior_speaks(self):
        found = shares(np.array([[-1]]), np.zeros((1, 1)), np.array([0.25, 0.75]), 0.1)
        assert found[0] == pytest.approx([0.25, 0.75])

    def test_a_weighted_median_is_where_half_the_weight_lies_on_each_side(self):
        found = quantiles(np.array([[30.0, 10.0, 20.0]]), np.array([[1.0, 1.0, 2.0]]), (0.5,))
        assert found[0, 0] == pytest.approx(20)

    def test_what_has_no_weight_takes_no_part(self):
        found = quantiles(
            np.array([[1.0, np.nan], [np.nan, 5.0]]), np.array([[1.0, 0.0], [0.0, 0.0]]), (0.5,)
        )
        assert found[0, 0] == 1
        assert np.isnan(found[1, 0])


class TestConformal:
    def test_it_is_the_rank_that_keeps_the_promise_for_one_more(self):
        assert conformal(np.arange(1.0, 10.0), 0.8) == 8  # ceil(10 * .8)

    def test_too_few_scores_promise_nothing(self):
        assert conformal(np.array([1.0, 2.0]), 0.8) == np.inf

    def test_new_scores_stay_below_it_as_often_as_promised(self):
        rng = np.random.default_rng(3)
        kept = [rng.exponential() <= conformal(rng.exponential(size=24), 0.8) for _ in range(4000)]
        assert np.mean(kept) == pytest.approx(0.8, abs=0.02)


class TestOutsiders:
    def test_no_one_of_the_own_group_answers(self):
        vectors, _ = clouds(60)
        groups = np.repeat(np.arange(20), 3)
        _, rows = outsiders(vectors, np.arange(60), groups, 10)
        assert (rows >= 0).all()
        assert not (groups[rows] == groups[:, None]).any()

    def test_they_are_the_nearest_of_the_others(self):
        vectors, _ = clouds(60)
        groups = np.repeat(np.arange(20), 3)
        scores, rows = outsiders(vectors, np.array([7]), groups, 5)
        cosine = vectors @ vectors[7]
        cosine[groups == groups[7]] = -np.inf
        assert rows[0].tolist() == np.argsort(-cosine)[:5].tolist()
        assert scores[0] == pytest.approx(np.sort(cosine)[::-1][:5], abs=1e-6)

    def test_a_group_may_be_called_anything(self):
        vectors, _ = clouds(10)
        groups = np.where(np.arange(10) < 4, -1, 10**12)
        _, rows = outsiders(vectors, np.array([0]), groups, 6)
        assert set(rows[0]) == set(range(4, 10))

    def test_only_those_among_may_answer_and_the_rest_is_padding(self):
        vectors, _ = clouds(10)
        scores, rows = outsiders(vectors, np.array([0]), np.arange(10), 4, np.arange(10) < 3)
        assert set(rows[0, :2]) == {1, 2}
        assert rows[0, 2:].tolist() == [-1, -1]
        assert np.isneginf(scores[0, 2:]).all()


@pytest.fixture(scope="module")
def fitted():
    vectors, of = clouds(500, spread=0.6)
    facet = Facet("school", of, ["a", "b", "c"])
    fit = fit_votes({"school": facet}, {"shared": vectors}, everyone(500), np.arange(500), np.arange(500))
    return vectors, facet, fit["school"]


class TestFacets:
    def test_it_beats_the_majority(self, fitted):
        told = fitted[2].figures
        assert told["accuracy"]["low"] > told["majority"]

    def test_its_confidence_is_calibrated_on_pictures_that_nothing_was_chosen_on(self, fitted):
        _, facet, vote = fitted
        vectors, of = clouds(1200, spread=0.6, seed=9)
        scores, rows = outsiders(
            np.concatenate([fitted[0], vectors]),
            np.arange(500, 1700),
            np.concatenate([np.arange(500), np.arange(500, 1700)]),
            50,
            np.arange(1700) < 500,
        )
        found = vote.shares(facet, scores, rows)
        sure, right = vote.confidence(found), found.argmax(axis=1) == of
        assert sure.mean() == pytest.approx(right.mean(), abs=0.04)

    def test_more_votes_never_make_it_less_sure(self, fitted):
        vote = fitted[2]
        rising = np.linspace(0, 1, 200)
        shares = np.stack([rising, 1 - rising], axis=1)
        confidence = vote.confidence(shares[shares[:, 0] >= 0.5])
        assert (np.diff(confidence) >= -1e-12).all()
        assert 0 < confidence.min() <= confidence.max() < 1

    def test_few_held_out_votes_make_nobody_sure(self):
        vectors, of = clouds(24, values=2, spread=0.01)
        facet = Facet("school", of, ["a", "b"])
        fit = fit_votes({"school": facet}, {"shared": vectors}, everyone(24), np.arange(24), np.arange(24))
        assert fit["school"].confidence(np.array([[1.0, 0.0]]))[0] <= 25 / 26

    def test_the_space_that_knows_the_attribute_is_chosen(self):
        vectors, of = clouds(200, spread=0.3)
        noise = unit(np.random.default_rng(1).normal(size=(200, 8)))
        facet = Facet("school", of, ["a", "b", "c"])
        fit = fit_votes(
            {"school": facet},
            {"shared": noise, "style": vectors},
            everyone(200),
            np.arange(200),
            np.arange(200),
        )
        assert fit["school"].space == "style"

    def test_a_group_with_one_value_does_not_confirm_itself(self):
        """Copies of a picture would vote for it with certainty."""
        rng = np.random.default_rng(2)
        each = unit(rng.normal(size=(60, 8)))
        vectors, of = np.repeat(each, 3, axis=0), np.repeat(rng.integers(2, size=60), 3)
        facet, groups = Facet("school", of, ["a", "b"]), np.repeat(np.arange(60), 3)
        fit = fit_votes({"school": facet}, {"shared": vectors}, everyone(180), groups, np.arange(180))
        assert fit["school"].figures["accuracy"]["value"] < 0.8

    def test_what_the_group_itself_is_named_by_is_asked_of_other_listings(self):
        """Grouped by author, the author could never be found."""
        vectors, of = clouds(120, values=4, spread=0.2)
        facet = Facet("author", of, list("abcd"))
        fit = fit_votes({"author": facet}, {"shared": vectors}, everyone(120), of, np.arange(120))
        assert fit["author"].left_out == "listing"
        assert fit["author"].figures["accuracy"]["value"] > 0.9

    def test_only_pictures_that_no_training_saw_are_asked(self):
        vectors, of = clouds(100)
        facet = Facet("school", of, ["a", "b", "c"])
        few = np.arange(100) < 15
        one = {"school": facet}
        assert fit_votes(one, {"shared": vectors}, few, np.arange(100), np.arange(100)) == {}
        many = fit_votes(one, {"shared": vectors}, np.arange(100) < 40, np.arange(100), np.arange(100))
        assert many["school"].figures["accuracy"]["n"] == 40

    def test_it_survives_json(self, fitted):
        assert Vote.from_json(json.loads(json.dumps(fitted[2].to_json()))) == fitted[2]


class TestSpans:
    def test_the_interval_holds_the_truth_as_often_as_promised_on_new_pictures(self):
        rng = np.random.default_rng(5)
        n = 1400
        angle = rng.uniform(0, np.pi / 2, n)
        vectors = unit(np.stack([np.cos(angle), np.sin(angle)], axis=1))
        middle = 1400 + 300 * angle + rng.normal(0, 20, n)
        span = Span("year", middle - 5, middle + 5)
        asked = np.arange(n) < 400
        vote = fit_votes({"year": span}, {"shared": vectors}, asked, np.arange(n), np.arange(n))["year"]
        scores, rows = outsiders(vectors, np.arange(400, n), np.arange(n), 50, asked)
        low, mid, high = vote.interval(span, scores, rows).T
        inside = (low <= middle[400:]) & (middle[400:] <= high)
        assert inside.mean() == pytest.approx(LEVEL, abs=0.06)
        assert np.median(high - low) < 120  # of about 500 years
        assert np.abs(mid - middle[400:]).mean() < vote.figures["error_of_the_median"] / 3

    def test_without_neighbours_there_is_no_interval(self):
        span = Span("year", np.array([1500.0]), np.array([1510.0]))
        vote = Vote("span", "shared", Kernel(5, 0.1), 0.0)
        found = vote.interval(span, np.full((1, 5), -np.inf, np.float32), np.full((1, 5), -1))
        assert np.isnan(found).all()
