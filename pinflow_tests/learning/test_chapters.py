"""The chapters of the evaluation page, and what they are fed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from pinflow.learning import chapters
from pinflow.learning.dataset import Dataset
from pinflow.learning.style.compare import style_report
from pinflow.learning.style.pair import choose_pair

GRAIN = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def figure(value: float | None = 0.5) -> dict[str, Any]:
    return {"value": value, "low": value, "high": value, "n": 9}


def png(array: Any) -> bytes:
    out = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(out, "PNG")
    return out.getvalue()


def pot(colour: str, ground: str = "#e8d8c0") -> bytes:
    picture = Image.new("RGB", (96, 96), ground)
    ImageDraw.Draw(picture).rectangle((36, 40, 60, 76), fill=colour)
    return png(picture)


def words_report(**changes: Any) -> dict[str, Any]:
    metrics = {"recall@1": figure(0.125), "recall@10": figure(0.75)}
    return {
        "means": "both",
        "why": "it <helps>",
        "validated": {"captions": 0.5, "mixup": 0.625},
        "figures": {
            "unwritten": dict.fromkeys(("chance", "captions", "tower", "served"), metrics),
        },
    } | changes


def test_words_stand_beside_chance_and_caption_text_search() -> None:
    page = chapters.words(words_report())
    assert page.count("0.125, 0.750") == 4
    assert "chance" in page
    assert "it &lt;helps&gt;" in page
    assert "captions 0.500, mixup 0.625" in page
    assert "9 test pictures" in page


def test_a_collection_without_words_says_why() -> None:
    page = chapters.words(
        words_report(means="captions", why="0 training pictures have words", figures={}, validated={})
    )
    assert "0 training pictures have words" in page
    assert "<table>" not in page


def test_tags_show_figures_and_doubted_labels() -> None:
    report = {
        "why": "2 tags learned from 9 pictures",
        "suspects": 14,
        "figures": {"accuracy": figure(0.875), "ece": figure(0.0625), "coverage": figure(None)},
    }
    one = {
        "sha256": "ab" * 32,
        "label": "cats",
        "suggested": "dogs",
        "probability": 0.1,
        "suggested_probability": 0.8,
    }
    page = chapters.tags(report, drawn=png(GRAIN), suspects=[one] * 14, thumbnails={"ab" * 32: pot("red")})
    assert "0.875" in page
    assert "14 labels that the tagger doubts" in page
    assert page.count("cats → <strong>dogs</strong>") == chapters.SUSPECTS
    assert page.count("<img") == chapters.SUSPECTS + 1
    assert "abstains" not in page  # coverage was not measured


def test_one_tag_alone_says_that_there_is_no_tagger() -> None:
    report = {"why": "1 labels have training pictures, 2 are needed", "suspects": 0, "figures": {}}
    page = chapters.tags(report)
    assert "2 are needed" in page
    assert "<table>" not in page


def data(n: int, **more: Any) -> Dataset:
    return Dataset(
        vectors=np.zeros((n, 4), np.float32),
        sha256=np.array([f"{i:02d}" * 32 for i in range(n)]),
        group=np.array([str(i) for i in range(n)]),
        split=np.array((["train", "test"] * n)[:n]),
        fold=np.zeros(n, np.int64),
        label_names=("a", "b"),
        labels=np.arange(n)[:, None] // 2 % 2,
        related=np.zeros((0, 2), np.int64),
        **more,
    )


def test_style_and_content_are_measured_by_what_each_should_find() -> None:
    """Content knows the label, style the hand."""
    n = 24
    hand = np.arange(n) // 4 % 2
    content = np.eye(2, dtype=np.float32)[np.arange(n) // 2 % 2]
    style = np.eye(2, dtype=np.float32)[hand]
    found = style_report(data(n, attributes={"hand": hand}), content, style)
    assert found["queries"] == 12
    assert found["figures"]["label"]["content"]["value"] == 1
    assert found["figures"]["label"]["style"]["value"] < 1
    assert found["figures"]["hand"]["style"]["value"] == 1
    assert found["figures"]["hand"]["content"]["value"] < 1
    assert 0 < found["shared"] < 10
    assert len(found["examples"]) == 4
    assert found["examples"][0]["query"] not in found["examples"][0]["style"]
    page = chapters.style(found, advice="get it so")
    assert "get it so" in page
    assert "hand" in page
    assert page.count("nearest in style") == 4
    drawn = chapters.style(found, transferred=[pot("red"), png(GRAIN), pot("blue")])
    assert drawn.count("<figcaption>") == 3


def test_without_test_pictures_style_says_so() -> None:
    one = data(1)
    found = style_report(one, np.ones((1, 2), np.float32), np.ones((1, 2), np.float32))
    assert (found["shared"], found["examples"]) == (None, [])
    assert "too few pictures" in chapters.style(found)


def test_a_thing_on_quiet_ground_takes_the_manner_that_fills_its_picture() -> None:
    plain = png(np.full((64, 64, 3), 200, np.uint8))
    half = GRAIN.repeat(4, 0).repeat(4, 1).copy()
    half[:, 40:] = 128
    grain = GRAIN.repeat(4, 0).repeat(4, 1)
    pictures = {
        "plain": plain,
        "half": png(half),
        "grain": png(grain),
        "pot": pot("red"),
        "pale": pot("#e0d0b0"),
    }
    assert choose_pair(pictures) == ("pot", "grain")
    assert choose_pair({"plain": plain, "grain": png(grain)}) is None
    assert choose_pair({"pot": pot("red")}) is None
    assert choose_pair({}) is None


def test_compared_taggers_stand_in_a_table_in_which_the_served_one_stands_out() -> None:
    one = dict.fromkeys(("accuracy", "macro_f1", "log_loss", "ece"), figure(0.25))
    size = {"parameters": 12345, "bytes": 2_000_000}
    times = {"milliseconds": {"1": {"median": 3.0, "p95": 4.0}, "32": {"median": 50.0, "p95": 60.0}}}
    found = [{"name": name, **one, **size, **times} for name in ("basic <ANN>", "Lite0 linear probe")]
    page = chapters.comparison(
        {"rows": found, "served": "Lite0 linear probe"}, drawn=png(GRAIN), said=["9 pictures", "served: <it>"]
    )
    assert page.count("0.250") == 8
    assert "<strong>Lite0 linear probe</strong>, served" in page
    assert page.count(", served<") == 1
    assert "basic &lt;ANN&gt;" in page
    assert "12,345" in page
    assert "3 (p95 4)" in page
    assert "9 pictures. served: &lt;it&gt;." in page
    assert "data:image/png" in page


def test_of_a_collection_too_small_to_compare_it_only_says_so() -> None:
    page = chapters.comparison({"rows": [], "served": None}, said=["too few pictures"])
    assert "too few pictures." in page
    assert "<table>" not in page
    assert "<img" not in page
