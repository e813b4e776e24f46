"""What words mean for the pictures of a release: the text tower that it brings, beside caption-text search.

The sentence encoder is read at the first words; the packaged one needs no torch. Where it is not installed,
what is written answers alone, and the log says so once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pinflow.errors import TrunkError
from pinflow.learning.text.tower import Shares
from pinflow.retrieval.index import Floats

log = logging.getLogger(__name__)


class Sentences(Protocol):
    """A sentence encoder; `pinflow.learning.text.minilm.MiniLM` is one."""

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit vectors (n, t) float32."""


LoadSentences = Callable[[str], Sentences]  # by name


class Meaning:
    """A release's text tower. Safe to use from several threads."""

    def __init__(self, tower: bytes, shares: Shares, load: Callable[[], Sentences]) -> None:
        """`shares`: how much what is written counts beside it, as validation chose."""
        from pinflow.learning.text.tower import Tower

        self._tower = Tower.from_bytes(tower)
        self._shares = shares
        self._load = load
        self._sentences: Sentences | None = None
        self._missing = False
        self._lock = threading.Lock()

    @classmethod
    def of(cls, folder: Path, info: dict[str, Any], load: LoadSentences | None = None) -> Meaning | None:
        """That of the release in `folder`; None for one whose words are answered by what is written."""
        if "text.safetensors" not in info["files"]:
            return None
        told = info["text"]
        # A release from before says one share, and had but one sentence encoder: the packaged one.
        shares = Shares(float(told["share"]), float(told.get("partial", told["share"])))
        wanted = partial(load or load_sentences, told.get("sentences", ""))
        return cls((folder / "text.safetensors").read_bytes(), shares, wanted)

    def vector(self, text: str) -> Floats | None:
        """Words as a unit vector (d,) among the pictures'; None where there is nothing to make it with."""
        sentences = self._ready()
        if sentences is None or not text.strip():
            return None
        found: Floats = self._tower.apply(sentences.encode([text]))[0]
        return found

    def beside(self, written: Floats, whole: bool, seen: Floats) -> Floats:
        """The relevance (n,) in 0..1 of pictures to words, of what caption-text search says, `whole` of pins
        that hold all the words, and of what is seen on them (`fusion.seen`)."""
        share = self._shares.whole if whole else self._shares.partial
        return np.asarray(share * written + (1 - share) * seen, dtype=np.float32)

    def _ready(self) -> Sentences | None:
        with self._lock:
            if self._sentences is None and not self._missing:
                try:
                    self._sentences = self._load()
                except TrunkError as error:
                    self._missing = True
                    log.warning("words are looked for in what is written alone: %s", error)
            return self._sentences


def load_sentences(name: str) -> Sentences:
    """The sentence encoder of that name: the packaged one, or the words of an open_clip trunk. Raises
    `TrunkError`."""
    from pinflow.learning import clip
    from pinflow.learning.text.minilm import load_minilm

    return clip.load_clip_text(name) if clip.named(name) else load_minilm()
