"""FiftyOne's own format on disk, in the form that needs no database to write: `samples.json` and `data/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinflow.commands.exports.content import Content

if TYPE_CHECKING:
    from pinflow.commands.console import Console

# Names that a FiftyOne sample keeps for itself, or that mean something else there.
_SKIPPED = ("id", "labels", "attributes", "related", "width", "height")


def write(content: Content, folder: Path, _: Console) -> str:
    """`data/<picture>`, `samples.json`, and `metadata.json` without a version: by that FiftyOne knows that
    the samples themselves say which fields there are."""
    (folder / "data").mkdir()
    splits, names, rows = content.splits, content.names, content.rows()
    samples = []
    for number, data, ending in content.originals():
        file = f"data/{names[number]}{ending}"
        (folder / file).write_bytes(data)
        samples.append(
            _sample(file, splits[number], rows[number], content.vectors[number].astype(float).tolist())
        )
    info = {"collection": content.collection, "release": content.release}
    classes = sorted({label for row in rows for label in row["labels"]})
    about = {"name": content.collection, "media_type": "image", "info": info, "default_classes": classes}
    _json(folder / "metadata.json", about)
    _json(folder / "samples.json", {"samples": samples})
    return (
        "`fiftyone.Dataset.from_dir(dataset_dir=..., dataset_type=fiftyone.types.FiftyOneDataset)`. Splits "
        "are tags; `embedding` holds the vectors for FiftyOne Brain."
    )


def _sample(file: str, split: str, row: dict[str, Any], vector: list[float]) -> dict[str, Any]:
    labels = [{"_cls": "Classification", "label": label} for label in row["labels"]]
    known = {
        name: value for name, value in row.items() if name not in _SKIPPED and value not in (None, "", [])
    }
    return {
        "filepath": file,
        "tags": [split],
        "ground_truth": labels[0],
        "all_labels": {"_cls": "Classifications", "classifications": labels},
        "pin_id": row["id"],
        **known,
        **{f"attribute_{name}": value for name, value in row["attributes"].items()},
        "embedding": vector,
    }


def _json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
