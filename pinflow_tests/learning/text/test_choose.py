"""What answers words: towers on made-up words and pictures that do, or do not, belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.learning.text.choose import Words, choose
from pinflow.learning.text.tower import Tower, relevance
from pinflow.learning.text.tune import LEAST, Recipe, fit_tower

RNG = np.random.default_rng(0)
N = 160
HIDDEN = RNG.normal(size=(N, 12))  # what a picture is about
SENTENCES = HIDDEN @ RNG.normal(size=(12, 20)) + 0.1 * RNG.normal(size=(N, 20))
PICTURES = 3 + HIDDEN @ RNG.normal(size=(12, 24)) + 0.1 * RNG.normal(size=(N, 24))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


SENTENCES, PICTURES = unit(SENTENCES), unit(PICTURES)
SPLIT = np.array((["train"] * 6 + ["val"] * 2 + ["test"] * 2) * (N // 10))
WORDS = Words(PICTURES, SPLIT, np.arange(N) % 5, [[f"about {i}"] for i in range(N)], [["things"]] * N)


def encode(texts: list[str]) -> np.ndarray:
    return np.stack(
        [
            SENTENCES[int(one.split()[-1])] if one != "things" else np.ones(20, np.float32) / 20**0.5
            for one in texts
        ]
    )


def exact(text: str) -> np.ndarray:
    found = np.zeros(N, np.float32)
    found[int(text.split()[-1])] = 1
    return found


def nothing(_: np.ndarray) -> Callable[[str], np.ndarray]:
    return lambda text: np.zeros(N, np.float32)


def own_rank(tower: Tower, rows: np.ndarray) -> float:
    """Median place of the picture that a sentence is about."""
    said = tower.apply(SENTENCES[rows])
    return float(
        np.median(
            [
                (tower.likeness(one, PICTURES) >= PICTURES[row] @ one - tower.weights["mean"] @ one).sum()
                for one, row in zip(said, rows, strict=True)
            ]
        )
    )


@pytest.mark.parametrize("recipe", [Recipe(steps=0), Recipe(steps=60), Recipe(steps=60, mixup=1.0)])
def test_a_tower_finds_pictures_that_it_never_saw_by_words_that_it_never_read(recipe: Recipe) -> None:
    train, test = (np.flatnonzero(one == SPLIT) for one in ("train", "test"))
    tower = fit_tower(PICTURES[train], SENTENCES[train], np.arange(len(train)), recipe)
    assert own_rank(tower, test) < N / 10


def test_it_is_deterministic_and_kept_as_safetensors() -> None:
    one, two = (fit_tower(PICTURES, SENTENCES, np.arange(N), Recipe(steps=5), seed=3) for _ in range(2))
    assert one.digest == two.digest == Tower.from_bytes(one.to_bytes()).digest
    assert one.width == PICTURES.shape[1]
    np.testing.assert_allclose(np.linalg.norm(one.apply(SENTENCES), axis=1), 1, rtol=1e-5)
    with pytest.raises(CorruptError, match="fit the text encoder again"):
        Tower.from_bytes(b"nothing")
    with pytest.raises(ValueError, match="20 numbers a sentence, not 3"):
        one.apply(SENTENCES[:, :3])


def test_several_texts_of_a_picture_and_the_same_text_of_several_are_fine() -> None:
    of = np.repeat(np.arange(N), 2)
    texts = np.concatenate([SENTENCES, np.ones_like(SENTENCES) / 20**0.5])[
        np.argsort(np.tile(np.arange(N), 2), kind="stable")
    ]
    assert np.isfinite(fit_tower(PICTURES, texts, of, Recipe(steps=20)).apply(SENTENCES)).all()


def test_meaning_is_served_beside_what_is_written_where_it_helps() -> None:
    choice = choose(WORDS, encode, exact, nothing)
    assert choice.means == "both"
    assert choice.gain is not None
    assert choice.gain.low > 0
    test = choice.figures
    assert test["written"]["served"]["recall@1"].value == 1
    chance = test["unwritten"]["chance"]["recall@10"].value
    assert test["unwritten"]["captions"]["recall@10"].value == pytest.approx(chance)
    assert test["unwritten"]["served"]["recall@10"].low > chance


def test_words_that_say_nothing_of_the_pictures_leave_what_is_written_alone() -> None:
    shuffled = replace(WORDS, vectors=PICTURES[np.random.default_rng(1).permutation(N)])
    choice = choose(shuffled, encode, exact, nothing)
    assert choice.means == "captions"
    assert choice.share == 1


def test_test_pictures_choose_nothing() -> None:
    of_test = (SPLIT == "test")[:, None]
    other = replace(WORDS, vectors=np.where(of_test, unit(RNG.normal(size=PICTURES.shape)), PICTURES))
    one, two = choose(WORDS, encode, exact, nothing), choose(other, encode, exact, nothing)
    assert one.tower is not None
    assert two.tower is not None
    assert one.tower.digest == two.tower.digest


def test_pictures_without_words_are_no_error() -> None:
    few = replace(WORDS, own=[["about 1"] if i < LEAST - 1 else [] for i in range(N)])
    choice = choose(few, encode, exact, nothing)
    assert (choice.tower, choice.means) == (None, "captions")
    assert "are needed to learn from" in choice.reason


def test_relevance_is_one_for_the_best_and_nothing_for_the_average() -> None:
    np.testing.assert_allclose(relevance(np.float32([0, 1, 2, 5])), [0, 0, 0, 1], atol=0.01)
    assert relevance(np.ones(4, np.float32)).tolist() == [0, 0, 0, 0]
    assert len(relevance(np.zeros(0, np.float32))) == 0
