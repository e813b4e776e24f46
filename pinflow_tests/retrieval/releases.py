"""A small release folder from drawn pictures, written the way the pipeline publishes one.

Pictures are flat colours with a shape, so that "alike" can be seen and checked: the trunk used here is
the mean colour of a 4 x 4 grid; the heads are real ones.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from pinflow import schema
from pinflow.imaging.derivatives import derive
from pinflow.imaging.palette import palettes
from pinflow.imaging.thumbnails import thumbnail
from pinflow.learning.head import Head
from pinflow.mapped import table_file
from pinflow.retrieval.index import Floats, build

COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220)}
SHAPES = ("circle", "square", "bar")
GRID = 4


def drawing(colour: str, shape: str, seed: int = 0) -> bytes:
    """A PNG of a shape in a colour on white, a little different for each seed."""
    rng = np.random.default_rng([seed, *colour.encode(), *shape.encode()])
    image = Image.new("RGB", (160, 120), "white")
    pen = ImageDraw.Draw(image)
    fill = tuple(int(v) for v in np.clip(np.array(COLOURS[colour]) + rng.integers(-25, 26, 3), 0, 255))
    x, y, size = (int(v) for v in rng.integers((30, 20, 50), (50, 35, 65)))
    box = (x, y, x + size, y + (size if shape != "bar" else size // 3))
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=fill)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class GridTrunk:
    """Mean colours of a 4 x 4 grid: 48 features, deterministic, no weights."""

    digest = "grid4"

    def __init__(self) -> None:
        self.calls = 0

    def encode(self, pictures: Sequence[bytes], reads: str = "last") -> Floats:
        assert reads == "last"
        self.calls += 1
        return np.stack([self._one(data) for data in pictures])

    @staticmethod
    def _one(data: bytes) -> Floats:
        image = Image.open(io.BytesIO(data)).convert("RGB").resize((GRID, GRID), Image.Resampling.BOX)
        return (np.asarray(image, dtype=np.float32) / 255.0 - 0.9).reshape(-1)


def _scaling(*by_channel: float) -> Head:
    scales = np.tile(np.array(by_channel, dtype=np.float32), GRID * GRID)
    return Head("linear", {"weight": np.diag(scales)})


SHARED_HEAD = Head()
LOCAL_HEAD = _scaling(1.0, 0.2, 0.2)


def make_pins(each: int = 4) -> list[dict[str, Any]]:
    """`each` drawings of every colour and shape: label = colour, title = what it shows."""
    pins = []
    for colour in COLOURS:
        for number, shape in enumerate(SHAPES):
            for seed in range(each):
                pins.append(
                    {
                        "id": f"{colour}/{shape}-{seed}",
                        "labels": [f"{colour}-things"],
                        "title": f"{colour.title()} {shape}",
                        "caption": f"A {shape} drawn in {colour}, number {seed}",
                        "page_url": f"https://example.com/{colour}/{shape}/{seed}",
                        "picture_url": f"https://example.com/{colour}/{shape}/{seed}.png",
                        "price": None if shape == "bar" else 10.0 * (number + 1) + seed,
                        "currency": None if shape == "bar" else "EUR",
                        "creator": "the test",
                        "licence": "cc0" if seed % 2 else "cc-by",
                        "fetched_at": datetime(2026, 11, 2, 10, tzinfo=UTC),
                        "attributes": {"shape": shape, "seed": str(seed)},
                        "related": [f"{colour}/{shape}-{(seed + 1) % each}"],
                        "picture": drawing(colour, shape, seed),
                    }
                )
    return pins


def write_release(
    folder: Path,
    id: str = "r1",
    pins: list[dict[str, Any]] | None = None,
    collection: str = "drawings",
    width: int = GRID * GRID * 3,
    trunk: Any = None,
    name: str = "grid",
    extra: dict[str, bytes] | None = None,
) -> Path:
    """Write a whole release into `folder` and return it. `trunk`, called `name`, makes the features;
    `extra`: more files of the release."""
    trunk = trunk or GridTrunk()
    pins = make_pins() if pins is None else pins
    folder.mkdir(parents=True, exist_ok=True)
    derived = [derive(pin["picture"]) for pin in pins]
    rows = [
        {
            **{name: pin.get(name) for name in schema.RELEASE_PINS.names if name != "attributes"},
            "attributes": list(pin["attributes"].items()),
            "sha256": hashlib.sha256(pin["picture"]).hexdigest(),
            "width": one.width,
            "height": one.height,
        }
        for pin, one in zip(pins, derived, strict=True)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema.RELEASE_PINS), folder / "pins.parquet")
    small = [thumbnail(one.jpeg) for one in derived]
    pq.write_table(palettes([row["sha256"] for row in rows], small), folder / "colours.parquet")
    thumbnails = [{"id": pin["id"], "webp": webp} for pin, webp in zip(pins, small, strict=True)]
    table = pa.Table.from_pylist(thumbnails, schema=schema.THUMBNAILS)
    (folder / "thumbnails.arrow").write_bytes(table_file(table))
    features = trunk.encode([one.jpeg for one in derived]) if pins else np.empty((0, width), np.float32)
    width = features.shape[1]
    local_head = LOCAL_HEAD if isinstance(trunk, GridTrunk) else SHARED_HEAD
    _write_space(folder, "gallery", SHARED_HEAD.apply(features), SHARED_HEAD)
    np.save(folder / "vectors.npy", SHARED_HEAD.apply(features))
    labels = {}
    for colour in [*COLOURS, "grey"]:
        slug = f"{colour}-things"
        members = [row for row, pin in enumerate(pins) if slug in pin["labels"]]
        labels[slug] = {
            "query": f"{colour} things",
            "status": "complete" if members else "incomplete",
            "reason": None if members else "the site gave no pictures",
            "pictures": len(members),
        }
        if members:
            home = folder / "labels" / slug
            home.mkdir(parents=True, exist_ok=True)
            local = local_head.apply(features[members])
            _write_space(home, "index", local, local_head)
            column = pa.FixedSizeListArray.from_arrays(pa.array(local.reshape(-1)), width)
            table = pa.table({"id": [pins[row]["id"] for row in members], "local": column})
            pq.write_table(table, home / "local.parquet")
    info = {
        "id": id,
        "collection": collection,
        "description": "Shapes in three colours",
        "created_at": "2026-11-02T10:00:00+00:00",
        "pinflow": "0.1.0",
        "encoder": {"digest": "e1", "trunk": name, "trunk_digest": trunk.digest, "width": width},
        "labels": labels,
        "figures": {"recall_at_1": 0.5},
    }
    for path, data in (extra or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    write_info(folder, info)
    return folder


def write_info(folder: Path, info: dict[str, Any]) -> None:
    """Write `release.json` with the checksums of the files that are there now."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "release.json":
            data = path.read_bytes()
            name = path.relative_to(folder).as_posix()
            files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "release.json").write_text(json.dumps({**info, "files": files}))


def _write_space(folder: Path, name: str, vectors: Floats, head: Head) -> None:
    index = build(vectors)
    (folder / f"{name}.faiss").write_bytes(index.to_bytes())
    (folder / f"{name}.json").write_text(json.dumps(index.meta))
    (folder / "encoder.safetensors").write_bytes(head.to_bytes())
