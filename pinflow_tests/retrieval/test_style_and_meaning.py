"""Search by style, the slider between content and style, and words by what they mean."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pinflow.errors import CorruptError, SearchError, TrunkError
from pinflow.imaging.derivatives import derive
from pinflow.learning.style.whitening import fit_whitening
from pinflow.learning.text.tower import Tower
from pinflow.retrieval import fusion
from pinflow.retrieval.fusion import blended
from pinflow.retrieval.index import build
from pinflow.retrieval.query import Query
from pinflow.retrieval.searcher import Searcher
from pinflow_tests.retrieval.releases import GridTrunk, drawing, make_pins, write_info, write_release

PINS = make_pins()


class Strokes:
    """A stand-in for early layers: how a shape is drawn, whatever its colour and place."""

    digest = "strokes"

    def encode(self, pictures):
        return np.array([self._one(data) for data in pictures], np.float32)

    @staticmethod
    def _one(data: bytes) -> tuple[float, float]:
        with Image.open(io.BytesIO(data)) as picture:
            drawn = np.asarray(picture.convert("RGB")).min(axis=2) < 150
        rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        return height / width, float(drawn.sum() / (height * width))


class Sentences:
    """Knows one word that nobody wrote, and what it means: red."""

    def encode(self, texts):
        return np.array([[1.0, 0.0] if "scarlet" in text else [0.0, 1.0] for text in texts], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    home = write_release(tmp_path_factory.mktemp("styled"))
    statistics = Strokes().encode([derive(pin["picture"]).jpeg for pin in PINS])
    whitening = fit_whitening(statistics)
    vectors = whitening.apply(statistics)
    index = build(vectors)
    np.save(home / "style.npy", vectors)
    (home / "style.faiss").write_bytes(index.to_bytes())
    (home / "style.json").write_text(json.dumps(index.meta))
    (home / "style.safetensors").write_bytes(whitening.to_bytes())
    shared = np.load(home / "vectors.npy")
    reds = np.array([pin["labels"] == ["red-things"] for pin in PINS])
    mean = shared.mean(axis=0)
    towards = np.stack([shared[reds].mean(axis=0) - mean, np.zeros_like(mean)])
    none = np.zeros((1, 2), np.float32)
    weights = {
        "skip": np.eye(2),
        "first": none,
        "first_bias": np.zeros(1),
        "second": np.zeros((2, 1)),
        "basis": towards,
        "mean": mean,
    }
    tower = Tower({name: np.asarray(array, np.float32) for name, array in weights.items()})
    (home / "text.safetensors").write_bytes(tower.to_bytes())
    info = json.loads((home / "release.json").read_text())
    info["encoder"]["style_digest"] = "strokes"
    write_info(home, info | {"text": {"share": 0.9, "partial": 0.5, "sentences": "of the test"}})
    return home


def opened(folder: Path, **options) -> Searcher:
    defaults = {"load_style": lambda _: Strokes(), "load_sentences": lambda _: Sentences()}
    return Searcher.open(folder, trunk=GridTrunk(), **defaults | options)


@pytest.fixture(scope="module")
def searcher(folder: Path) -> Searcher:
    return opened(folder)


def found(searcher: Searcher, **query) -> list[str]:
    return [one.id for one in searcher.search(Query.model_validate(query)).results]


def shapes(ids: list[str]) -> set[str]:
    return {one.split("/")[1].split("-")[0] for one in ids}


def colours(ids: list[str]) -> set[str]:
    return {one.split("/")[0] for one in ids}


def test_style_finds_the_same_hand_whatever_it_drew(searcher):
    example = [{"id": "red/bar-0"}]
    by_style = found(searcher, positive=example, limit=11, space="style")
    assert shapes(by_style) == {"bar"}
    assert colours(by_style) == {"red", "green", "blue"}
    assert shapes(found(searcher, positive=example, limit=11)) != {"bar"}


def test_a_picture_from_outside_is_compared_by_style(searcher):
    answer = found(searcher, positive=[{"image": drawing("blue", "bar", 77)}], limit=3, space="style")
    assert shapes(answer) == {"bar"}


def test_the_slider_goes_from_content_to_style(searcher):
    example = [{"id": "red/bar-0"}]
    whole = {"positive": example, "limit": 35}
    assert found(searcher, **whole, style=0.0) == found(searcher, **whole)
    assert found(searcher, **whole, style=1.0) == found(searcher, **whole, space="style")
    assert found(searcher, **whole, style=0.5) not in (
        found(searcher, **whole),
        found(searcher, **whole, style=1.0),
    )


def test_the_pages_of_a_slider_fit_together(searcher):
    query = {"positive": [{"id": "red/bar-0"}], "style": 0.4}
    first = searcher.search(Query.model_validate(query | {"limit": 5}))
    rest = found(searcher, **query, limit=5, cursor=first.next_cursor)
    assert [one.id for one in first.results] + rest == found(searcher, **query, limit=10)


def test_what_a_slider_cannot_do_is_said(searcher, folder):
    with pytest.raises(SearchError, match="use `space: shared`"):
        found(searcher, positive=[{"id": "red/bar-0"}], space="style", style=0.5)
    with pytest.raises(SearchError, match="a vector has no style"):
        found(searcher, positive=[{"vector": [1.0] * 48}], style=0.5)


def test_a_release_without_styles_says_so(tmp_path):
    plain = Searcher.open(write_release(tmp_path / "plain"), trunk=GridTrunk())
    for query in ({"space": "style"}, {"style": 0.5}):
        with pytest.raises(SearchError, match="cannot be searched by style yet"):
            found(plain, positive=[{"id": "red/bar-0"}], **query)


def test_other_early_layers_than_the_release_was_made_with_are_refused(folder):
    class Other(Strokes):
        digest = "other"

    with pytest.raises(TrunkError, match="other weights"):
        found(
            opened(folder, load_style=lambda _: Other()),
            positive=[{"image": drawing("red", "bar")}],
            space="style",
        )


def test_styles_that_do_not_fit_the_pins_are_corrupt(folder, tmp_path):
    import shutil

    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    np.save(broken / "style.npy", np.load(broken / "style.npy")[:-1])
    info = json.loads((broken / "release.json").read_text())
    write_info(broken, info)
    with pytest.raises(CorruptError, match="pins but style"):
        opened(broken)


def test_halfway_means_half_whatever_the_spreads():
    rng = np.random.default_rng(0)
    content, style = 0.8 + 0.01 * rng.normal(size=500), rng.normal(size=500)
    half = blended(content, style, 0.5)
    to_content, to_style = (np.corrcoef(half, one)[0, 1] for one in (content, style))
    assert abs(to_content - to_style) < 0.01
    assert abs(half.mean() - 0.8) < 0.01
    whole = np.argsort(blended(content, style, 1.0))
    np.testing.assert_allclose(style[whole], np.sort(style), atol=0.01)  # equal but for rounding
    assert blended(content, np.ones(500), 0.5).std() > 0


def test_a_word_that_nobody_wrote_finds_what_it_means(searcher, folder):
    assert colours(found(searcher, positive=[{"text": "scarlet"}], limit=5)) == {"red"}
    unread = opened(folder, load_sentences=lambda _: (_ for _ in ()).throw(TrunkError("not installed")))
    assert found(unread, positive=[{"text": "scarlet"}]) == []


def test_where_there_are_many_pins_what_words_mean_is_looked_for_in_the_index(searcher, monkeypatch):
    query = {"positive": [{"text": "scarlet"}], "filter": {"attributes": {"shape": ["bar", "square"]}}}
    exactly = found(searcher, **query, limit=5)
    monkeypatch.setattr(fusion, "EXACT_ROWS", 10)
    monkeypatch.setattr(fusion, "POOL", 6)
    assert found(searcher, **query, limit=5) == exactly
    assert len(found(searcher, **query, limit=30)) == 6  # the others are not looked at
    assert colours(found(searcher, positive=[{"text": "green"}], limit=12)) == {"green"}


def test_what_is_written_comes_first(searcher):
    assert colours(found(searcher, positive=[{"text": "green"}], limit=12)) == {"green"}


def test_without_the_sentence_encoder_the_log_says_so_once(folder, caplog):
    def missing(_: str) -> Sentences:
        raise TrunkError("the sentence encoder is not installed")

    unread = opened(folder, load_sentences=missing)
    with caplog.at_level(logging.WARNING):
        assert shapes(found(unread, positive=[{"text": "bar"}], limit=5)) == {"bar"}
        found(unread, positive=[{"text": "circle"}])
    assert caplog.text.count("not installed") == 1
