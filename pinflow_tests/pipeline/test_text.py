"""The text encoder as a stage: when it is fitted again, and what a release takes of it."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.errors import CorruptError
from pinflow.learning.head import Head
from pinflow.learning.text.known import Known
from pinflow.pipeline.assets import text
from pinflow.pipeline.assets.text import REPORT, TOWER, served_words
from pinflow.store import File, Manifest


def state(means: str = "both", encoder: str = "e1", tower: bool = True) -> Manifest:
    files = {REPORT: File("1" * 64, 1), **({TOWER: File("0" * 64, 1)} if tower else {})}
    facts = {
        "share": 0.9,
        "partial": 0.5,
        "means": means,
        "why": "it helps",
        "sentences": "s",
        "encoder": encoder,
    }
    return Manifest(
        collection="pets",
        stage="text_encoder",
        label=None,
        version="v",
        recipe="r",
        inputs={},
        files=files,
        facts=facts,
    )


def test_a_release_takes_the_tower_of_its_own_space():
    files, told = served_words(state(), "e1")
    assert files.keys() == {TOWER}
    assert (told["share"], told["partial"]) == (0.9, 0.5)


@pytest.mark.parametrize("made", [state(encoder="e0"), state(tower=False)])
def test_otherwise_what_is_written_answers(made):
    files, told = served_words(made, "e1")
    assert files == {}
    assert (told["share"], told["partial"], told["means"]) == (1.0, 1.0, "captions")


def test_without_a_sentence_encoder_there_is_nothing_to_try(monkeypatch):
    monkeypatch.setattr(text, "available", lambda: False)
    assert text.contenders("tf_efficientnet_lite0", Head(), 1280, Known()) == []


def test_an_open_clip_trunk_brings_its_own_words(monkeypatch):
    monkeypatch.setattr(text, "available", lambda: True)
    names = [one.name for one in text.contenders("open_clip:ViT-B-32/openai", Head(), 512, Known())]
    assert names == ["linear", "mixup", "open_clip untuned", "open_clip tuned"]


def test_a_sentence_is_computed_once():
    asked = []

    class Model:
        def encode(self, texts):
            asked.extend(texts)
            return np.array([[len(one), 1] for one in texts], np.float32)

    known = Known()
    encode = known.encoder("m", Model)
    assert encode(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    again = Known.from_bytes(known.to_bytes())
    assert again.encoder("m", Model)(["bb", "ccc", "рыба \ud800"])[:, 0].tolist() == [2, 3, 6]
    assert asked == ["a", "bb", "ccc", "рыба \ud800"]
    forgets = Known.from_bytes(again.to_bytes())
    forgets.encoder("m", Model)(["a"])
    forgets.encoder("other", Model)(["bb"])
    assert asked[4:] == ["a", "bb"]
    with pytest.raises(CorruptError):
        Known.from_bytes(b"nothing")
