"""A published release of any size for the serving benchmark: real networks, made-up pins.

Vectors are of random directions around a few hundred centres, in the width that Lite0 has; words are drawn by
rank as words are (Zipf), so that common ones hit many pins. Latency depends on sizes, not on what is shown.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

COLLECTION = "bench"
TRUNK = "tf_efficientnet_lite0"
LABELS = 20
_WORDS = 2000
_CENTRES = 300


def words() -> list[str]:
    """Made-up words, the commonest first."""
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnoprstu"))
    return ["".join(rng.choice(letters, rng.integers(4, 9))) for _ in range(_WORDS)]


def photographs(count: int = 8) -> list[bytes]:
    """JPEGs as a phone's browser sends them: 640 px wide, cut from the photographs of scikit-image."""
    import skimage
    from PIL import Image

    folder = Path(skimage.__file__).parent / "data"
    names = ("coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png")
    found = []
    for number in range(count):
        with Image.open(folder / names[number % len(names)]) as opened:
            picture = opened.convert("RGB")
        left = 10 * (number // len(names))
        out = io.BytesIO()
        picture.crop((left, left, *picture.size)).resize((640, 480)).save(out, "JPEG", quality=88)
        found.append(out.getvalue())
    return found


def vectors(pins: int, width: int) -> np.ndarray:
    """Unit float32 (pins, width)."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(_CENTRES, width)).astype(np.float32)
    found = centres[rng.integers(0, _CENTRES, pins)] + 0.8 * rng.normal(size=(pins, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def publish(storage: str, pins: int, engines: Path) -> None:
    """Write the release of `COLLECTION` into the storage."""
    from pinflow import releases, schema
    from pinflow.imaging.derivatives import derive
    from pinflow.imaging.thumbnails import thumbnail
    from pinflow.learning.head import IDENTITY
    from pinflow.learning.trunk import ENOUGH, load_trunk
    from pinflow.mapped import table_file
    from pinflow.retrieval.index import build
    from pinflow.store import File, open_store

    trunk = load_trunk(TRUNK, device="cpu", engines=engines)
    pictures = photographs()
    # So many that the network is written out for ONNX Runtime, as embedding a collection leaves it.
    width = trunk.encode([derive(pictures[0]).jpeg] * (ENOUGH + 1)).shape[1]
    shown = vectors(pins, width)
    index = build(shown)
    ids = [f"p{number}" for number in range(pins)]
    store = open_store(storage)

    def put(data: bytes) -> File:
        return File(store.put(COLLECTION, data), len(data))

    npy = io.BytesIO()
    np.save(npy, shown, allow_pickle=False)
    rng, size = np.random.default_rng(5), len(thumbnail(derive(pictures[0]).jpeg))
    webp = pa.table({"id": ids, "webp": [rng.bytes(size) for _ in ids]})
    files = {
        "pins.parquet": put(_parquet(pa.Table.from_pylist(_rows(ids), schema=schema.RELEASE_PINS))),
        "vectors.npy": put(npy.getvalue()),
        "gallery.faiss": put(index.to_bytes()),
        "gallery.json": put(json.dumps(index.meta, sort_keys=True).encode()),
        "thumbnails.arrow": put(table_file(webp.cast(schema.THUMBNAILS))),
        "encoder.safetensors": put(IDENTITY.to_bytes()),
        "text.safetensors": put(_tower(shown)),
    }
    labels = {
        f"label-{n}": {"query": f"label {n}", "status": "complete", "pictures": pins // LABELS}
        for n in range(LABELS)
    }
    encoder = {"digest": "bench", "kind": "identity", "trunk": TRUNK, "trunk_digest": trunk.digest}
    description = {
        "description": "",
        "encoder": encoder,
        "labels": labels,
        "text": {"share": 0.5, "partial": 0.5, "sentences": "all-MiniLM-L6-v2"},
        "figures": {},
    }
    releases.publish(store, COLLECTION, description, files)


def _rows(ids: list[str]) -> list[dict[str, object]]:
    rng, known = np.random.default_rng(3), words()
    ranks = np.minimum(rng.zipf(1.3, (len(ids), 12)) - 1, len(known) - 1)
    return [
        {
            "id": id,
            "labels": [f"label-{number % LABELS}"],
            "title": " ".join(known[rank] for rank in row[:3]),
            "caption": " ".join(known[rank] for rank in row[3:]),
            "page_url": f"https://example.com/{id}",
            "picture_url": f"https://example.com/{id}.jpg",
            "price": float(number % 97),
            "currency": "EUR",
            "creator": "the benchmark",
            "licence": "cc0",
            "attributes": [("kind", str(number % 7))],
            "related": [],
            "sha256": f"{number:064x}",
            "width": 640,
            "height": 480,
        }
        for number, (id, row) in enumerate(zip(ids, ranks, strict=True))
    ]


def _tower(shown: np.ndarray) -> bytes:
    """A text tower of the usual size that maps anywhere: what it costs is what counts."""
    from pinflow.learning.text.minilm import load_minilm
    from pinflow.learning.text.tower import Tower

    rng = np.random.default_rng(5)
    t, k, h, d = load_minilm().encode(["a"]).shape[1], 128, 256, shown.shape[1]
    basis = np.linalg.qr(rng.normal(size=(d, k)))[0].T
    shapes = {"skip": (k, t), "first": (h, t), "first_bias": (h,), "second": (k, h)}
    weights = {name: rng.normal(size=shape) / 10 for name, shape in shapes.items()}
    weights |= {"basis": basis, "mean": shown.mean(axis=0)}
    return Tower({name: one.astype(np.float32) for name, one in weights.items()}).to_bytes()


def _parquet(table: pa.Table) -> bytes:
    from pinflow.store import table_bytes

    return table_bytes(table)
