"""Pictures in folders by split and label, with `metadata.jsonl`: Hugging Face's and torchvision's layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pinflow.commands.exports.content import Content

if TYPE_CHECKING:
    from pinflow.commands.console import Console

# Hugging Face's words, so that `load_dataset` finds the splits by itself.
FOLDERS = {"val": "validation"}


def write(content: Content, folder: Path, _: Console) -> str:
    """`<split>/<label>/<picture>` and `<split>/metadata.jsonl`, a line a picture."""
    lines: dict[str, list[str]] = {}
    splits, names, rows = content.splits, content.names, content.rows()
    for number, data, ending in content.originals():
        split = FOLDERS.get(splits[number], splits[number])
        label = rows[number]["labels"][0]
        file = folder / split / label / f"{names[number]}{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        known = {"file_name": f"{label}/{file.name}", "label": label, **rows[number]}
        lines.setdefault(split, []).append(json.dumps(known, ensure_ascii=False, sort_keys=True))
    for split, said in lines.items():
        (folder / split / "metadata.jsonl").write_text("\n".join(said) + "\n", encoding="utf-8")
    return (
        'With Hugging Face `datasets`: `load_dataset("imagefolder", data_dir=...)`. With torchvision: '
        "`ImageFolder(.../train)`. `held_out` are copies and relatives of pictures in other splits: leave "
        "them out of any measurement."
    )
