"""The comparison, end to end on drawn pictures: real networks, few of them, few epochs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pinflow.learning.tagging.chart import chart
from pinflow.learning.tagging.compare import compare, table
from pinflow.learning.tagging.contenders import Ann, Cnn, FineTuned, LinearProbe
from pinflow.learning.tagging.nets import basic_ann, net_logits, train_net
from pinflow.learning.tagging.probe import fit_probe
from pinflow.sample.made import make_samples


@pytest.fixture(scope="module")
def drawn(one_thread, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    found = make_samples(tmp_path_factory.mktemp("drawn"), labels=3, per_label=12).market
    names = sorted(found.labels)
    tags = np.array([names.index(row.label) for row in found.rows])
    return (
        [found.path(row).read_bytes() for row in found.rows],
        tags,
        np.array([row.file for row in found.rows]),
    )


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """More are slower as soon as anything else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class QuickAnn(Ann):
    epochs, settings = 8, (1e-3, 3e-3)


class QuickCnn(Cnn):
    epochs, settings = 8, (3e-3, 1e-2)


@pytest.fixture(scope="module")
def rows(drawn):
    makers = [
        lambda: QuickAnn(3),
        lambda: QuickCnn(3),
        lambda: LinearProbe(3, "tf_efficientnet_lite0"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pinflow.learning.tagging.compare.BATCHES", {1: 5, 32: 2})
        return compare(*drawn, makers, folds=2)


def test_every_contender_is_measured_in_the_same_way(rows) -> None:
    assert [row["name"] for row in rows] == ["basic ANN", "basic CNN", "Lite0 linear probe"]
    for row in rows:
        assert row["accuracy"]["n"] == 36
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]
        assert set(row["milliseconds"]) == {"1", "32"}
        assert 0 < row["milliseconds"]["1"]["median"] <= row["milliseconds"]["1"]["p95"]
        assert row["bytes"] >= 4 * row["parameters"] * 0.99
        assert str(row["setting"]) in row["trials"]
        assert row["trials"][str(row["setting"])] == min(row["trials"].values())


def test_what_was_learned_elsewhere_tells_a_few_pictures_apart(rows) -> None:
    assert rows[2]["accuracy"]["value"] > 0.7
    assert rows[2]["log_loss"]["value"] < np.log(3)


def test_networks_show_how_they_learned(rows) -> None:
    for row in rows[:2]:
        assert len(row["curve"]) == 8
        assert row["curve"][-1]["train"] < row["curve"][0]["train"]
    assert rows[2]["curve"] == []


def test_the_comparison_is_a_table_and_a_chart(rows) -> None:
    lines = table(rows).splitlines()
    assert len(lines) == 5
    assert all(line.count("|") == 10 for line in lines)
    assert chart(rows, "drawn").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "make", [lambda: QuickCnn(3), lambda: LinearProbe(3, "tf_efficientnet_lite0"), lambda: FineTuned(3)]
)
def test_a_fresh_picture_is_predicted_as_a_prepared_one(drawn, make) -> None:
    pictures, tags, _ = drawn
    contender = make()
    contender.prepare(pictures[::3])
    rows = np.arange(len(pictures[::3]))
    if isinstance(contender, FineTuned):
        contender.model = contender.fresh(tags[::3], rows)
    else:
        contender.fit(tags[::3], rows, rows, contender.settings[0])
    np.testing.assert_allclose(contender.raw(pictures[::3][:2]), contender.logits(rows[:2]), atol=1e-3)


def test_fine_tuning_starts_where_the_linear_probe_ends(drawn) -> None:
    pictures, tags, _ = drawn
    contender = FineTuned(3)
    contender.prepare(pictures[::3])
    rows = np.arange(len(pictures[::3]))
    contender.model = contender.fresh(tags[::3], rows)
    probe = fit_probe(contender.pooled, tags[::3, None], 3, 10.0)
    np.testing.assert_allclose(contender.logits(rows), probe.logits(contender.pooled), atol=1e-3)
    moving = [name for name, weight in contender.model.named_parameters() if weight.requires_grad]
    assert any("0.model.0" in name for name in moving)


def test_training_is_deterministic_and_keeps_the_best_epoch() -> None:
    rng = np.random.default_rng(0)
    views = torch.from_numpy(rng.normal(size=(1, 60, 3, 8, 8)).astype(np.float32))
    tags, train, val = rng.integers(0, 2, 60), np.arange(40), np.arange(40, 60)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        model = basic_ann(8, 2)
        curve = train_net(model, views, tags, train, val, learning_rate=1e-2, epochs=12)
        found.append((curve, net_logits(model, views[0], val)))
    assert found[0][0] == found[1][0]
    loss = torch.nn.functional.cross_entropy(torch.from_numpy(found[0][1]), torch.from_numpy(tags[val]))
    best = min(epoch.val for epoch in found[0][0])
    assert float(loss) == pytest.approx(best)
    assert best < found[0][0][-1].val  # noise: the last epoch has learned it by heart
