"""Prices by neighbours: what is held out, what is kept apart, and whether the interval keeps its promise."""

import json

import numpy as np
import pytest

from pinflow.retrieval.attributes import Facet
from pinflow.retrieval.ballot import Kernel
from pinflow.retrieval.pricing import LEVEL, Prices, Pricing, Rule, fit_prices, fit_rule, held_out
from pinflow_tests.retrieval.test_votes import everyone, unit


def prices(log, category=None, currency=None, categories=("a", "b")):
    n = len(log)
    category = np.zeros(n, np.int64) if category is None else category
    currency = np.zeros(n, np.int64) if currency is None else currency
    return Prices(
        np.asarray(log, np.float64), currency, ["EUR", "USD"], Facet("label", category, list(categories))
    )


def arc(n, seed=0, noise=0.3):
    """Products on an arc, dearer along it; how dear is a matter of luck too."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, np.pi / 2, n)
    vectors = unit(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return vectors, 3 + 2 * angle + rng.normal(0, noise, n)


class TestHeldOut:
    def test_neighbours_are_of_the_same_category_and_currency_and_of_another_product(self):
        rng = np.random.default_rng(1)
        vectors, _ = arc(120)
        category, currency = rng.integers(2, size=120), rng.integers(2, size=120)
        groups = np.repeat(np.arange(60), 2)
        # The price of a row says which row it is.
        made = prices(np.arange(120.0), category, currency)
        asked, logs, similarities = held_out(made, vectors, everyone(120), groups)
        assert len(asked) == 120
        for row, answers in zip(asked, logs, strict=True):
            others = answers[np.isfinite(answers)].astype(int)
            assert (category[others] == category[row]).all()
            assert (currency[others] == currency[row]).all()
            assert not (groups[others] == groups[row]).any()
        assert (np.diff(similarities[:, :5], axis=1) <= 0).all()

    def test_a_product_with_too_few_comparables_is_not_asked(self):
        vectors, log = arc(30)
        category = (np.arange(30) >= 27).astype(np.int64)
        asked, _, _ = held_out(prices(log, category), vectors, everyone(30), np.arange(30))
        assert asked.tolist() == list(range(27))

    def test_only_what_training_never_saw_is_asked_but_all_answer(self):
        vectors, log = arc(60)
        asked, logs, _ = held_out(prices(log), vectors, np.arange(60) < 25, np.arange(60))
        assert asked.max() < 25
        assert np.isfinite(logs[:, :40]).all()


class TestRule:
    def test_the_estimate_is_the_weighted_median_and_one_absurd_price_does_not_move_it_far(self):
        rule = Rule(Kernel(5, 10.0), 0.1, 1.0, 0.0)
        logs = np.log([[10.0, 11.0, 12.0, 13.0, 1e6]])
        middle, low, high = rule.price(logs, np.full((1, 5), 0.9, np.float32))
        assert np.exp(middle[0]) == pytest.approx(12, rel=0.01)
        assert low[0] < middle[0] < high[0]

    def test_where_neighbours_agree_the_interval_is_narrower(self):
        rule = Rule(Kernel(5, 10.0), 0.1, 1.0, 0.0)
        alike = np.full((2, 5), 0.9, np.float32)
        _, low, high = rule.price(np.log([[10.0, 10, 10, 10, 10], [2.0, 5, 10, 20, 50]]), alike)
        assert (high - low)[0] < (high - low)[1]

    def test_neighbours_that_are_not_there_do_not_count(self):
        rule = Rule(Kernel(3, 0.1), 0.1, 1.0, 0.0)
        similarities = np.array([[0.9, -np.inf, -np.inf]], np.float32)
        middle, _, _ = rule.price(np.array([[2.0, np.nan, np.nan]]), similarities)
        assert middle[0] == 2
        assert np.isnan(rule.price(np.full((1, 3), np.nan), np.full((1, 3), -np.inf, np.float32))[0][0])

    def test_too_few_products_make_no_rule(self):
        assert fit_rule(np.zeros(19), np.zeros((19, 40)), np.zeros((19, 40), np.float32)) is None


class TestFit:
    def test_the_interval_holds_new_prices_as_often_as_promised(self):
        kept = []
        for seed in range(12):
            vectors, log = arc(160, seed)
            pricing = fit_prices(prices(log[:80]), vectors[:80], everyone(80), np.arange(80))
            made = prices(np.concatenate([log[:80], log[80:]]))
            # New products ask the old ones alone: all of them are one group.
            groups = np.concatenate([np.arange(80), np.full(80, 80)])
            asked, logs, similarities = held_out(made, vectors, np.arange(160) >= 80, groups)
            _, low, high = pricing.shared.price(logs, similarities)
            kept.append(((low <= log[asked]) & (log[asked] <= high)).mean())
        assert np.mean(kept) == pytest.approx(LEVEL, abs=0.05)

    def test_neighbours_tell_more_than_the_median_of_all(self):
        vectors, log = arc(200)
        pricing = fit_prices(prices(log), vectors, everyone(200), np.arange(200))
        assert pricing.shared.figures["log_error"] < 0.6 * np.abs(log - np.median(log)).mean()

    def test_prices_of_another_currency_change_nothing(self):
        vectors, log = arc(100)
        doubled = np.concatenate([vectors, vectors])
        mixed = prices(np.concatenate([log, log + 5]), currency=np.repeat(np.array([0, 1], np.int64), 100))
        alone = fit_prices(prices(log), vectors, everyone(100), np.arange(100))
        both = fit_prices(mixed, doubled, np.arange(200) < 100, np.arange(200))
        assert both.shared == alone.shared

    def test_a_labels_own_space_is_taken_where_it_proves_better(self):
        good, log = arc(120, noise=0.1)
        rng = np.random.default_rng(4)
        bad = unit(rng.normal(size=(120, 2)))
        rows = np.arange(120)
        fit = fit_prices(prices(log), bad, everyone(120), rows, {"a": (rows, good)})
        assert set(fit.local) == {"a"}
        assert fit_prices(prices(log), good, everyone(120), rows, {"a": (rows, bad)}).local == {}

    def test_without_enough_prices_there_is_no_pricing(self):
        vectors, log = arc(100)
        log[15:] = np.nan
        assert fit_prices(prices(log), vectors, everyone(100), np.arange(100)) is None

    def test_it_survives_json(self):
        vectors, log = arc(60)
        fit = fit_prices(prices(log), vectors, everyone(60), np.arange(60), {"a": (np.arange(60), vectors)})
        assert Pricing.from_json(json.loads(json.dumps(fit.to_json()))) == fit
