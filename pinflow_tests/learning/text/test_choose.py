"""What answers words: towers on made-up words and pictures that do, or do not, belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.learning.head import Head
from pinflow.learning.text.choose import Choice, Words, choose
from pinflow.learning.text.contenders import Contender, of_clip, of_minilm
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


def exact(text: str) -> tuple[np.ndarray, bool]:
    found = np.zeros(N, np.float32)
    found[int(text.split()[-1])] = 1
    return found, text.startswith("about")


def nothing(_: np.ndarray) -> Callable[[str], tuple[np.ndarray, bool]]:
    return lambda text: (np.zeros(N, np.float32), False)


def chosen(words: Words, contenders: list[Contender] | None = None) -> Choice:
    return choose(words, contenders or of_minilm(encode), exact, nothing)


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
    choice = chosen(WORDS)
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
    choice = chosen(shuffled)
    assert choice.means == "captions"
    assert choice.shares == (1, 1)


def test_a_script_that_the_sentence_encoder_cannot_read_leaves_what_is_written_alone() -> None:
    def unread(texts: list[str]) -> np.ndarray:
        return np.tile(SENTENCES[0], (len(texts), 1))

    said = [[f"рыба 魚 about {i}"] for i in range(N)]
    choice = choose(replace(WORDS, own=said), of_minilm(unread), exact, nothing)
    assert choice.means == "captions"
    assert choice.tower is not None
    assert np.isfinite(choice.tower.apply(SENTENCES)).all()


def test_test_pictures_choose_nothing() -> None:
    of_test = (SPLIT == "test")[:, None]
    other = replace(WORDS, vectors=np.where(of_test, unit(RNG.normal(size=PICTURES.shape)), PICTURES))
    one, two = chosen(WORDS), chosen(other)
    assert one.tower is not None
    assert two.tower is not None
    assert one.tower.digest == two.tower.digest


def test_a_guess_of_what_is_written_counts_for_less_than_a_hit() -> None:
    def wrong(_: np.ndarray) -> Callable[[str], tuple[np.ndarray, bool]]:
        return lambda text: (np.roll(exact(text)[0], 1), False)  # a word in common with another picture

    choice = choose(WORDS, of_minilm(encode), exact, wrong)
    assert choice.shares.whole > choice.shares.partial
    assert choice.figures["written"]["served"]["recall@1"].value == 1
    assert choice.figures["unwritten"]["served"]["recall@10"].low > 0.5


def test_words_that_lie_in_the_pictures_space_already_need_no_learning() -> None:
    """As CLIP's do: the untuned ones win where they are exact, whatever there is to learn from."""
    turn = np.linalg.qr(RNG.normal(size=(24, 24)))[0].astype(np.float32)
    head = Head("linear", {"weight": turn})
    mapped = replace(WORDS, vectors=head.apply(PICTURES))

    def exactly(texts: list[str]) -> np.ndarray:
        return np.stack([PICTURES[int(one.split()[-1])] if one != "things" else PICTURES[0] for one in texts])

    noise = 0.2 * RNG.normal(size=SENTENCES.shape).astype(np.float32)

    def vaguely(texts: list[str]) -> np.ndarray:
        return unit(
            np.stack(
                [
                    encode([one])[0] + noise[len(one) if "things" in one else int(one.split()[-1])]
                    for one in texts
                ]
            )
        )

    contenders = [*of_minilm(vaguely), *of_clip("open_clip:tiny/x", exactly, head, 24)]
    choice = chosen(mapped, contenders)
    assert (choice.contender, choice.sentences) == ("open_clip untuned", "open_clip:tiny/x")
    assert choice.figures["unwritten"]["tower"]["recall@1"].value == 1
    assert set(choice.validated) == {"captions", "linear", "mixup", "open_clip untuned", "open_clip tuned"}
    assert choice.validated["open_clip untuned"] >= choice.validated["linear"]


def test_clip_loss_tunes_words_that_lie_beside_their_pictures() -> None:
    """Every word is off by the same turn, which the training pictures show."""
    turn = np.linalg.qr(np.eye(24) + 0.25 * RNG.normal(size=(24, 24)))[0].astype(np.float32)

    def beside(texts: list[str]) -> np.ndarray:
        rows = [PICTURES[int(one.split()[-1])] if one != "things" else PICTURES[0] for one in texts]
        return unit(np.stack(rows) - PICTURES.mean(axis=0)) @ turn

    untuned, tuned = of_clip("open_clip:tiny/x", beside, Head(), 24)
    train, test = (np.flatnonzero(one == SPLIT) for one in ("train", "test"))
    said = {"train": beside([f"about {i}" for i in train]), "test": beside([f"about {i}" for i in test])}

    def places(one: Contender) -> float:
        tower = fit_tower(PICTURES[train], said["train"], np.arange(len(train)), one.recipe, start=one.start)
        meant = tower.apply(said["test"])
        scores = np.stack([tower.likeness(word, PICTURES) for word in meant])
        return float((scores > scores[np.arange(len(test)), test][:, None]).sum(axis=1).mean())

    assert places(tuned) < places(untuned)


def test_a_head_that_takes_other_vectors_leaves_clip_a_regression_to_start_from() -> None:
    assert (
        of_clip("open_clip:tiny/x", encode, Head("linear", {"weight": np.ones((4, 30))}), 24)[0].start is None
    )


def test_pictures_without_words_are_no_error() -> None:
    few = replace(WORDS, own=[["about 1"] if i < LEAST - 1 else [] for i in range(N)])
    choice = chosen(few)
    assert (choice.tower, choice.means) == (None, "captions")
    assert "are needed to learn from" in choice.reason


def test_relevance_is_one_for_the_best_and_nothing_for_the_average() -> None:
    np.testing.assert_allclose(relevance(np.float32([0, 1, 2, 5])), [0, 0, 0, 1], atol=0.01)
    assert relevance(np.ones(4, np.float32)).tolist() == [0, 0, 0, 0]
    assert len(relevance(np.zeros(0, np.float32))) == 0
