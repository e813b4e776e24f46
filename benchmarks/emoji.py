"""Emoji as four vendors draw them: the same thing by four hands, 1,857 times. Fetched by package name.

The protocol: 957 emoji to learn from, 900 that no training sees, drawn by a digest of their names. Every
test picture asks for its emoji among the test pictures of the other vendors.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

VENDORS = ("apple", "google", "twitter", "facebook")
VERSION = "16.0.0"
EMOJI, TRAIN = 1857, 957
SIDE = 96  # px that the trunk sees


@dataclass(frozen=True)
class Emoji:
    """n pictures sorted by emoji, then vendor. Arrays are parallel."""

    png: list[bytes]  # 64 px, with transparency
    of: npt.NDArray[np.int64]  # number of the emoji
    vendor: npt.NDArray[np.int64]  # index into VENDORS
    category: npt.NDArray[np.str_]
    name: npt.NDArray[np.str_]
    train: npt.NDArray[np.bool_]


def fetch(folder: Path) -> Emoji:
    """The pictures, fetched with npm where they are not there yet."""
    path = folder / "emoji.parquet"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _build(path)
    table = pq.read_table(path)
    names = np.array(table["name"].to_pylist())
    unique, of = np.unique(names, return_inverse=True)
    if len(unique) != EMOJI:
        raise RuntimeError(f"{len(unique)} emoji are drawn by all vendors, {EMOJI} are expected")
    order = np.argsort([hashlib.sha256(name.encode()).hexdigest() for name in unique.tolist()])
    rank = np.empty(len(unique), np.int64)
    rank[order] = np.arange(len(unique))
    return Emoji(
        table["png"].to_pylist(),
        of.astype(np.int64),
        np.array([VENDORS.index(v) for v in table["vendor"].to_pylist()]),
        np.array(table["category"].to_pylist()),
        names,
        rank[of] < TRAIN,
    )


def described(folder: Path) -> dict[str, tuple[str, float]]:
    """Of each emoji, by its short name, the subcategory and the version of Unicode's emoji that added it."""
    path = folder / "described.json"
    if not path.is_file():
        from pinflow.sample.fetch import npm_pack, unpack

        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".npm-", dir=folder) as scratch:
            packed = npm_pack((f"emoji-datasource-twitter@{VERSION}",), Path(scratch))
            rows = json.loads(unpack(packed[0])["emoji.json"])
        found = {one["short_name"]: [one["subcategory"], float(one["added_in"])] for one in rows}
        path.write_text(json.dumps(found))
    return {name: (kind, added) for name, (kind, added) in json.loads(path.read_text()).items()}


def _build(path: Path) -> None:
    from pinflow.sample.fetch import npm_pack, unpack

    pictures: dict[str, dict[str, bytes]] = {}
    described: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=path.parent) as scratch:
        for vendor in VENDORS:
            # One at a time: unpacked they take some 100 MB each.
            (own := Path(scratch) / vendor).mkdir()
            files = unpack(npm_pack((f"emoji-datasource-{vendor}@{VERSION}",), own)[0])
            pictures[vendor] = {
                Path(name).name: data for name, data in files.items() if name.startswith(f"img/{vendor}/64/")
            }
            described = json.loads(files["emoji.json"])
    rows = [
        {
            "name": str(one["short_name"]),
            "vendor": vendor,
            "category": str(one["category"]),
            "png": pictures[vendor][str(one["image"])],
        }
        for one in sorted(described, key=lambda one: str(one["short_name"]))
        if all(one[f"has_img_{vendor}"] for vendor in VENDORS)
        for vendor in VENDORS
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
