"""What a set of sample pictures is on disk, and reading and writing one.

    <folder>/market/<label slug>/<picture>   <folder>/market/captions.csv   <folder>/market/complete.json
    <folder>/shop/...

The layout is the one that a `folder` source reads. Where the pictures come from is the business of
`fetch` (npm packages) and `made` (drawn here).
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinflow.errors import PinflowError

CAPTIONS = "captions.csv"
MARKER = "complete.json"
COLUMNS = ("file", "label", "item", "title", "caption", "price", "currency")


@dataclass(frozen=True)
class Sample:
    """One picture and what is known about it.

    `file` is relative to the set's folder, with `/`. `item` names the thing shown ("apple"): pictures
    of the same item are related. `extra` holds further columns of the source.
    """

    file: str
    label: str
    item: str
    title: str
    caption: str
    price: float | None = None
    currency: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleSet:
    """The pictures of one collection. `credit` says whose they are."""

    folder: Path
    rows: tuple[Sample, ...]
    credit: str = ""

    @property
    def labels(self) -> list[str]:
        """The labels, in order of first appearance."""
        return list(dict.fromkeys(row.label for row in self.rows))

    def path(self, sample: Sample) -> Path:
        """Where the picture's bytes lie."""
        return self.folder / sample.file


@dataclass(frozen=True)
class Samples:
    """Both sample sets."""

    market: SampleSet
    shop: SampleSet


def read(folder: Path) -> Samples:
    """The finished sets under `folder`. Raises `PinflowError` where one is missing or incomplete."""
    return Samples(read_set(folder / "market"), read_set(folder / "shop"))


def read_set(folder: Path) -> SampleSet:
    """One finished set. Raises `PinflowError` where it is missing, incomplete or unreadable."""
    facts = marker(folder)
    if facts is None:
        raise PinflowError(f"no finished sample set in {folder}: fetch or make the samples first")
    try:
        with (folder / CAPTIONS).open(newline="", encoding="utf-8") as lines:
            rows = tuple(_sample(row) for row in csv.DictReader(lines))
    except (OSError, KeyError, ValueError) as error:
        raise PinflowError(f"{folder / CAPTIONS} cannot be read ({error}): delete {folder}") from error
    return SampleSet(folder, rows, str(facts.get("credit", "")))


def marker(folder: Path) -> dict[str, Any] | None:
    """What the set in `folder` was made from; None where it is not there or not finished."""
    try:
        facts = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def write_set(folder: Path, pictures: Iterable[tuple[Sample, bytes]], facts: Mapping[str, Any]) -> SampleSet:
    """Write a whole set beside `folder` and rename it into place; an older sample set is replaced.

    `facts` become the marker: whoever finds it knows that the set is complete. Raises `PinflowError`
    where `folder` holds anything but a sample set: that is somebody's own data.
    """
    # A set arrives whole or not at all, so a folder without a marker was never one of ours.
    if folder.exists() and marker(folder) is None:
        raise PinflowError(f"{folder} is there and is not a sample set: move it away, or use another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        fresh = Path(scratch) / "new"
        rows = []
        for sample, content in pictures:
            path = fresh / sample.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            rows.append(sample)
        _write_captions(fresh / CAPTIONS, rows)
        (fresh / MARKER).write_text(json.dumps(dict(facts), indent=1, sort_keys=True), encoding="utf-8")
        if folder.exists():
            os.rename(folder, Path(scratch) / "old")
        os.rename(fresh, folder)
    return read_set(folder)


def _write_captions(path: Path, rows: list[Sample]) -> None:
    extra = list(dict.fromkeys(name for row in rows for name in row.extra))
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*COLUMNS, *extra])
        for row in rows:
            price = "" if row.price is None else f"{row.price:.2f}"
            known = [row.file, row.label, row.item, row.title, row.caption, price, row.currency or ""]
            writer.writerow([*known, *(row.extra.get(name, "") for name in extra)])


def _sample(row: dict[str, str]) -> Sample:
    return Sample(
        file=row["file"],
        label=row["label"],
        item=row["item"],
        title=row["title"],
        caption=row["caption"],
        price=float(row["price"]) if row["price"] else None,
        currency=row["currency"] or None,
        extra={name: text for name, text in row.items() if name not in COLUMNS},
    )
