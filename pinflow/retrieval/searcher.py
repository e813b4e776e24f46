"""Search over one release: the functions that the web app, the command line and notebooks share."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow import tombstones
from pinflow.errors import SearchError
from pinflow.retrieval import fusion
from pinflow.retrieval.captions import Captions
from pinflow.retrieval.describe import describe
from pinflow.retrieval.encoding import LoadTrunk, PictureEncoder, Trunk
from pinflow.retrieval.filters import Filters
from pinflow.retrieval.index import Floats, Mask, Rows
from pinflow.retrieval.query import (
    Answer,
    Example,
    Filter,
    PinDetail,
    Query,
    Result,
    read_cursor,
    write_cursor,
)
from pinflow.retrieval.release import Release, Space
from pinflow.retrieval.selection import Selection, Selections
from pinflow.retrieval.variety import diverse, interleaved
from pinflow.retrieval.words import LoadSentences, Meaning
from pinflow.tombstones import Tombstones


@dataclass(frozen=True, eq=False)
class Searcher:
    """A release, ready to be searched from several threads. Nothing in it ever changes."""

    release: Release
    _filters: Filters = field(repr=False)
    _captions: Captions = field(repr=False)
    _encoder: PictureEncoder = field(repr=False)
    _about: dict[str, Any] = field(repr=False)
    _meaning: Meaning | None = field(default=None, repr=False)
    _removed: Tombstones = field(default=tombstones.NONE, repr=False)
    _hidden: Mask | None = field(default=None, repr=False)  # rows of removed pins
    _selections: Selections = field(default_factory=Selections, repr=False)  # by filter

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        trunk: Trunk | None = None,
        load_trunk: LoadTrunk | None = None,
        load_style: LoadTrunk | None = None,
        load_sentences: LoadSentences | None = None,
    ) -> Searcher:
        """The release in `folder`, verified. Raises `CorruptError`.

        `trunk`: the release's trunk, if it is loaded already. Otherwise `load_trunk` (default: that of
        `learning`) is called with its name at the first query picture; `load_style`, for the early layers,
        at the first that is compared by style; `load_sentences` at the first words, where the release
        looks for their meaning.
        """
        release = Release.open(Path(folder))
        made = release.info["encoder"]
        labels = {slug: str(about.get("query", slug)) for slug, about in release.info["labels"].items()}
        return cls(
            release,
            Filters(release.pins, labels, release.colours),
            Captions(release.pins, labels),
            PictureEncoder(
                str(made.get("trunk")),
                made.get("trunk_digest"),
                trunk,
                load_trunk,
                made.get("style_digest"),
                load_style,
                Path(folder) / "trunk.safetensors",
            ),
            describe(release),
            Meaning.of(Path(folder), release.info, load_sentences),
        )

    def without(self, removed: Tombstones) -> Searcher:
        """The same release, as if the removed pins were not in it: a purge need not wait for the next."""
        hidden = self._rows_of("id", removed.ids) | self._rows_of("sha256", removed.pictures)
        left_out = hidden if hidden.any() else None
        same = left_out is None and self._hidden is None
        about = self._about if same else describe(self.release, left_out)
        return replace(self, _about=about, _removed=removed, _hidden=left_out, _selections=Selections())

    @property
    def removed(self) -> Tombstones:
        """What it leaves out."""
        return self._removed

    @property
    def hides_some(self) -> bool:
        """Whether a pin of the release is left out."""
        return self._hidden is not None

    @property
    def collection(self) -> str:
        """Name of the collection."""
        return str(self.release.info["collection"])

    def about(self) -> dict[str, Any]:
        """What the release holds: labels with a cover each, price ranges, licences, attributes, figures."""
        labels = [
            {**label, "cover": None if label["cover"] is None else self._cover(label["cover"])}
            for label in self._about["labels"]
        ]
        return {**self._about, "labels": labels}

    def search(self, query: Query) -> Answer:
        """The pins that answer `query`, best first; never a pin that the query itself names by id.

        Raises `SearchError` naming the field at fault, `PictureError` for an unusable picture.
        """
        watch = _Watch()
        offset = read_cursor(self.release.id, query)
        space = self._space(query)
        with watch.stage("filter"):
            allowed = self._allowed(query, space)
            named = self._named(query, space)
        with watch.stage("encode"):
            positive = self._vectors(query.positive, space, query, "positive")
            negative = self._vectors(query.negative, space, query, "negative")
            moods = query.moods()
            given = [positive] if len(moods) == 1 else _by_example(query.positive, positive)
            manners = [self._manner(mood, space) for mood in moods]
        with watch.stage("text"):
            wanted = [
                replace(self._wanted(mood, space, examples, negative, allowed, named), manner=manner)
                for mood, examples, manner in zip(moods, given, manners, strict=True)
            ]
        with watch.stage("knn"):
            k = offset + query.limit + 1
            found = [self._ranked(query, space, one, k, allowed, named) for one in wanted]
            scores, rows = found[0] if len(found) == 1 else interleaved(found)
        end = offset + query.limit
        with watch.stage("hydrate"):
            results = self._results(space.rows[rows[offset:end]], scores[offset:end], offset, query.label)
        cursor = write_cursor(self.release.id, query, end) if len(rows) > end else None
        return Answer(results=results, next_cursor=cursor, timings_ms=watch.done(), release=self.release.id)

    def warm(self) -> None:
        """Index the words and load the trunk now: the first query need not wait. Raises `TrunkError`."""
        self.release.shared.index.warm()
        _ = self.release.shown
        self._captions.load()
        self._encoder.load(self.release.shared.head)

    def pin(self, id: str) -> PinDetail:
        """Everything about one pin. Raises `SearchError` for an unknown id."""
        row = self._row(id, "id")
        about = self.release.pins.slice(row, 1).to_pylist()[0]
        return PinDetail(
            **self._pin({**about, "thumbnail": self.release.thumbnail_digest(id)}, None),
            labels=about["labels"],
            caption=about["caption"],
            related=[one for one in about["related"] if one not in self._removed.ids],
            sha256=about["sha256"],
            release=self.release.id,
        )

    def thumbnail(self, id: str) -> tuple[bytes, str]:
        """A pin's thumbnail as WebP, and its digest. Raises `SearchError` for an unknown id."""
        self._row(id, "id")
        return self.release.thumbnail(id), self.release.thumbnail_digest(id)

    def allowed(self, examples: Sequence[Example], filter: Filter) -> Mask:
        """Which rows (n,) may answer: those that the filter lets through, none that is an example itself."""
        space, query = self.release.shared, Query(positive=list(examples), filter=filter)
        allowed = self._allowed(query, space).mask.copy()
        allowed[self._named(query, space)] = False
        return allowed

    def vector(self, examples: Sequence[Example], space: Space, where: str) -> Floats:
        """One unit vector (d,) for examples that are not words. Raises as `search`."""
        found = self.vectors(examples, space, where)
        return fusion.rocchio(found, found[:0]) if len(found) else np.zeros(space.index.d, np.float32)

    def vectors(self, examples: Sequence[Example], space: Space, where: str) -> Floats:
        """Unit vectors (m, d) of examples that are not words. Raises as `search`."""
        if any(example.text is not None for example in examples):
            raise SearchError(f"{where}: words have no look; send a picture, a link, an id", where)
        return self._vectors(examples, space, Query(), where)

    def slug(self, label: str, where: str) -> str:
        """The slug of a label given by slug or by query. Raises `SearchError`."""
        return self._filters.slug(label, where)

    def results(self, space: Space, rows: Rows, scores: Floats) -> list[Result]:
        """Rows of a space as they are shown to a person, in this order."""
        return self._results(space.rows[rows], scores, 0, None)

    def linked(self, url: str) -> bytes | None:
        """The thumbnail of the pin whose page or picture has that address; None where there is none."""
        row = self._linked.get(url)
        if row is None or (self._hidden is not None and self._hidden[row]):
            return None
        return self.release.thumbnail(self.release.shared.ids[row])

    @cached_property
    def _linked(self) -> dict[str, int]:
        columns = (self.release.pins.column(name).to_pylist() for name in ("picture_url", "page_url"))
        return {url: row for urls in columns for row, url in enumerate(urls) if url}

    def features(self, picture: bytes) -> tuple[Floats, Floats]:
        """A picture file as the trunk sees it (w,), and its unit vector (d,) in the shared space.

        Raises `PictureError`, `TrunkError`.
        """
        return self._encoder.features(picture, self.release.shared)

    def _row(self, id: str, where: str) -> int:
        row = self.release.shared.row_of.get(id)
        if row is None or (self._hidden is not None and self._hidden[row]):
            raise SearchError(f"{where}: no pin {id[:80]!r} in collection {self.collection}", where)
        return row

    def _rows_of(self, column: str, values: Collection[str]) -> Mask:
        wanted = pa.array(sorted(values), pa.string())
        found: Mask = pc.is_in(self.release.pins.column(column), value_set=wanted).to_numpy()
        return found

    def _manner(self, query: Query, space: Space) -> fusion.Manner | None:
        """The style that is looked for beside the content, where the query's slider says so."""
        if not query.style:
            return None
        if space is not self.release.shared:
            raise SearchError(
                "style: the slider stands between content and style; use `space: shared`", "style"
            )
        if any(example.vector is not None for example in (*query.positive, *query.negative)):
            raise SearchError("style: a vector has no style; leave `style` out, or send the picture", "style")
        styles = self._styles("style")
        positive = self._vectors(query.positive, styles, query, "positive")
        negative = self._vectors(query.negative, styles, query, "negative")
        if not len(positive):
            return None
        return fusion.Manner(fusion.rocchio(positive, negative), styles.vectors, styles.index, query.style)

    def _styles(self, where: str) -> Space:
        if self.release.style is None:
            raise SearchError(
                f"{where}: this release cannot be searched by style yet; the next one can", where
            )
        return self.release.style

    def _space(self, query: Query) -> Space:
        if query.space == "shared":
            return self.release.shared
        if query.space == "style":
            return self._styles("space")
        if query.label is None:
            raise SearchError("space: `local` compares within one label; name it in `label`", "space")
        slug = self._filters.slug(query.label)
        if slug not in self.release.local:
            raise SearchError(f"space: label {slug!r} has no space of its own yet; use `shared`", "space")
        return self.release.local[slug]

    def _ranked(
        self, query: Query, space: Space, wanted: fusion.Wanted, k: int, allowed: Selection, named: Rows
    ) -> tuple[Floats, Rows]:
        deep = max(k, fusion.DEPTH) if query.diversity else k
        scores, rows = fusion.rank(space.index, space.vectors, wanted, deep, allowed, named)
        if query.min_score is not None:
            kept = scores >= query.min_score
            scores, rows = scores[kept], rows[kept]
        if query.diversity:
            pool = rows[: fusion.DEPTH]
            order = np.arange(len(rows))
            order[: len(pool)] = diverse(scores[: len(pool)], space.vectors[pool], query.diversity)
            scores, rows = scores[order], rows[order]
        return scores, rows

    def _allowed(self, query: Query, space: Space) -> Selection:
        """The rows that the filter lets through, kept for the next page and the next query with it."""
        key = f"{query.space} {query.label!r} {query.filter.model_dump_json()}"

        def mask() -> Mask:
            passing = self._filters.mask(query.label, query.filter)
            allowed = np.ones(len(space.ids), dtype=bool) if passing is None else passing[space.rows]
            return allowed if self._hidden is None else allowed & ~self._hidden[space.rows]

        return self._selections.get(key, mask)

    @staticmethod
    def _named(query: Query, space: Space) -> Rows:
        """The rows of the pins that the query itself names."""
        ids = {example.id for example in (*query.positive, *query.negative) if example.id is not None}
        return np.array(sorted(space.row_of[id] for id in ids if id in space.row_of), np.int64)

    def _vectors(self, examples: Sequence[Example], space: Space, query: Query, where: str) -> Floats:
        """(m, d) unit vectors of those examples that are not words."""
        found: list[Floats] = []
        pictures = [example.image for example in examples if example.image is not None]
        encoded = iter(self._encoder.encode(pictures, space) if pictures else ())
        for example in examples:
            if example.url is not None:
                raise SearchError(
                    f"{where}.url: a link must be followed before it is searched for; send its picture",
                    f"{where}.url",
                )
            if example.id is not None:
                self._row(example.id, f"{where}.id")
                if example.id not in space.row_of:
                    raise SearchError(
                        f"{where}.id: {example.id[:80]!r} is not under label {query.label!r}, so it has no "
                        "place in that label's own space; use `shared`, or send the picture",
                        f"{where}.id",
                    )
                found.append(space.vectors[space.row_of[example.id]])
            elif example.image is not None:
                found.append(next(encoded))
            elif example.vector is not None:
                found.append(_unit(example.vector, space.index.d, f"{where}.vector"))
        if space.index.d == 0:  # nothing was ever embedded, so there is nothing to compare with
            return space.vectors[:0]
        return np.array(found, dtype=np.float32).reshape(len(found), space.index.d)

    def _wanted(
        self,
        query: Query,
        space: Space,
        positive: Floats,
        negative: Floats,
        allowed: Selection,
        named: Rows,
    ) -> fusion.Wanted:
        text = self._text(query.positive, space, allowed)
        if text is None and not len(positive):
            if query.negative:
                raise SearchError("positive: give at least one example beside the negative ones", "positive")
            positive = fusion.centre(space.vectors, np.setdiff1d(allowed.rows, named))
        alone = len(negative) > 0 and len(positive) == 0
        return fusion.Wanted(
            picture=fusion.rocchio(positive, negative) if len(positive) else None,
            text=text,
            avoid_picture=fusion.rocchio(negative, negative[:0]) if alone else None,
            avoid_text=self._text(query.negative, space, allowed),
        )

    def _text(self, examples: Sequence[Example], space: Space, allowed: Selection) -> Floats | None:
        """(n,) mean relevance of the rows of the space that are allowed to the words of the examples."""
        words = [example.text for example in examples if example.text is not None]
        if not words:
            return None
        relevance = np.zeros(self.release.pins.num_rows, dtype=np.float32)
        for text in words:
            scores, rows, whole = self._captions.find(text)
            written = np.zeros(len(relevance), dtype=np.float32)
            written[rows] = scores
            relevance += self._meant(text, written, whole, space, allowed) / len(words)
        return relevance[space.rows]

    def _meant(self, text: str, written: Floats, whole: bool, space: Space, allowed: Selection) -> Floats:
        """(n,) relevance of all pins to words, of what is written and what is seen together."""
        words = None if self._meaning is None else self._meaning.vector(text)
        if words is None:
            return written
        assert self._meaning is not None
        shared = self.release.shared
        if space is not shared:
            mask = np.zeros(shared.index.n, np.bool_)
            mask[space.rows] = allowed.mask
            allowed = Selection(mask)
        return self._meaning.beside(
            written, whole, fusion.seen(shared.index, shared.vectors, words, written, allowed)
        )

    def _results(self, rows: Rows, scores: Floats, offset: int, label: str | None) -> list[Result]:
        slug = None if label is None else self._filters.slug(label)
        pins = self.release.shown.take(rows).to_pylist()
        return [
            Result(**self._pin(pin, slug), rank=rank, score=float(score))
            for rank, (pin, score) in enumerate(zip(pins, scores, strict=True), offset + 1)
        ]

    def _pin(self, about: dict[str, Any], label: str | None) -> dict[str, Any]:
        labels = about["labels"]
        return {
            "id": about["id"],
            "label": label if label in labels else next(iter(labels), None),
            "title": about["title"],
            "page_url": about["page_url"],
            "image_url": about["picture_url"],
            "thumb_url": self._thumb_url(about["id"], about["thumbnail"]),
            "attributes": dict(about["attributes"]),
            "price": about["price"],
            "currency": about["currency"],
            "licence": about["licence"],
            "creator": about["creator"],
            "fetched_at": about["fetched_at"] and about["fetched_at"].isoformat(),
            "width": about["width"],
            "height": about["height"],
        }

    def _cover(self, id: str) -> dict[str, str]:
        return {"id": id, "thumb_url": self._thumb_url(id, self.release.thumbnail_digest(id))}

    def _thumb_url(self, id: str, digest: str) -> str:
        return f"/v1/collections/{self.collection}/thumbnails/{quote(id, safe='')}?v={digest}"


class _Watch:
    """Measures the stages of a search."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._stages[name] = round((time.perf_counter() - start) * 1000, 3)

    def done(self) -> dict[str, float]:
        return {**self._stages, "total": round((time.perf_counter() - self._start) * 1000, 3)}


def _unit(numbers: Sequence[float], d: int, where: str) -> Floats:
    vector = np.array(numbers, dtype=np.float64)
    if len(vector) != d:
        raise SearchError(f"{where}: has {len(vector)} numbers, the space has {d}", where)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0:
        raise SearchError(f"{where}: has no direction: numbers must be finite and not all zero", where)
    return (vector / length).astype(np.float32)


def _by_example(examples: Sequence[Example], vectors: Floats) -> list[Floats]:
    """Of each example its vector, (1, d) of those (m, d), or (0, d) for words."""
    left = iter(vectors)
    none = vectors[:0]  # also where nothing was ever embedded
    return [none if each.text is not None or not len(vectors) else next(left)[None] for each in examples]
