"""The text encoder as a stage: when it is fitted again, and what a release takes of it."""

from __future__ import annotations

import pytest

from pinflow.pipeline.assets import text
from pinflow.pipeline.assets.text import REPORT, TOWER, served_words
from pinflow.store import File, Manifest


def state(share: float = 0.75, encoder: str = "e1", tower: bool = True) -> Manifest:
    files = {REPORT: File("1" * 64, 1), **({TOWER: File("0" * 64, 1)} if tower else {})}
    facts = {"share": share, "means": "both", "why": "it helps", "sentences": "s", "encoder": encoder}
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
    assert told["share"] == 0.75


@pytest.mark.parametrize("made", [state(encoder="e0"), state(share=1.0, tower=False)])
def test_otherwise_what_is_written_answers(made):
    files, told = served_words(made, "e1")
    assert files == {}
    assert told["share"] == 1.0


def test_without_the_sentence_encoder_the_stage_says_how_to_get_it(monkeypatch, tmp_path):
    choice = text._without()
    assert choice.means == "captions"
    assert "pinflow[text]" in choice.reason
