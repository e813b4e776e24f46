"""Search by words over what is written about each pin: title, labels, caption.

SQLite's FTS5 in memory, ranked by BM25 (Robertson & Zaragoza 2009, as FTS5 implements it). Words are
compared without case and accents, and each also matches as the beginning of a longer word. Scripts
without spaces between words (Chinese, Thai) are found by the beginning of a phrase only.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MAX_WORDS = 32
# How much a word counts by where it stands: a title is chosen with care, a caption is often long.
_COLUMNS = {"title": 3.0, "labels": 2.0, "caption": 1.0}
_WORD = re.compile(r"[^\W_]+")


class Captions:
    """The words of a release's pins, row by row. Safe to search from several threads."""

    def __init__(self, pins: pa.Table, labels: dict[str, str] | None = None) -> None:
        """`pins`: `schema.RELEASE_PINS`. `labels`: slug -> query, so that a label's own words are found.

        The words are indexed at the first search, or by `load`: half a second for 100,000 pins.
        """
        self._pins = pins.select(["title", "labels", "caption"])
        self._names = labels or {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Index the words now, so that the first search need not wait."""
        with self._lock:
            _ = self._database

    @cached_property
    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(":memory:", check_same_thread=False)
        columns = ", ".join(_COLUMNS)
        database.execute(
            f"CREATE VIRTUAL TABLE pins USING fts5({columns}, content='', prefix='2 3', "
            "tokenize='unicode61 remove_diacritics 2')"
        )
        start = 0
        for batch in self._pins.to_batches(max_chunksize=10_000):
            titles, slugs, captions = (column.to_pylist() for column in batch.columns)
            words = [" ".join(self._names.get(slug, slug) for slug in each) for each in slugs]
            rows = range(start, start + batch.num_rows)
            database.executemany(
                f"INSERT INTO pins(rowid, {columns}) VALUES (?, ?, ?, ?)",  # noqa: S608 - fixed column names
                zip(rows, titles, words, captions, strict=True),
            )
            start += batch.num_rows
        database.commit()
        return database

    def search(self, text: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """The scores and rows of `find`."""
        scores, rows, _ = self.find(text)
        return scores, rows

    def find(self, text: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], bool]:
        """Every row that holds all the words, or, where none does, any of them; best first.

        Returns scores (m,) float32 in (0, 1]: BM25 divided by the best hit's, so the best hit has 1;
        rows (m,) int64; and whether they hold all the words. Any string is safe; one without a letter or
        digit finds nothing.
        """
        words = list(dict.fromkeys(_WORD.findall(text)))[:MAX_WORDS]
        # A whole word counts twice, as itself and as a beginning, so that it beats a longer word.
        terms = [f'("{word}" OR "{word}"*)' for word in words]
        for operator in (" AND ", " OR "):
            found = self._match(operator.join(terms)) if terms else []
            if found:
                break
        if not found:
            return np.empty(0, np.float32), np.empty(0, np.int64), False
        rows, ranks = zip(*found, strict=True)
        relevance = -np.array(ranks)
        scores = (relevance / relevance[0]).astype(np.float32)
        return scores, np.array(rows, dtype=np.int64), operator == " AND "

    def _match(self, expression: str) -> list[tuple[int, float]]:
        weights = ", ".join(str(weight) for weight in _COLUMNS.values())
        with self._lock:
            return self._database.execute(
                f"SELECT rowid, bm25(pins, {weights}) AS rank FROM pins "  # noqa: S608 - fixed numbers
                "WHERE pins MATCH ? ORDER BY rank, rowid",
                (expression,),
            ).fetchall()
