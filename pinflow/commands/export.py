"""`pinflow export`: the current release as others read it. A folder appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from pinflow.commands.console import Console
from pinflow.commands.exports import fiftyone, imagefolder, network, table
from pinflow.commands.exports.content import Content
from pinflow.errors import ExportError, StoreError
from pinflow.learning.card import model_card
from pinflow.settings import Settings

CARD = "README.md"

# What each writes into the folder, and returns: how to read it, for the card.
WRITERS: dict[str, Callable[[Content, Path, Console], str]] = {
    "imagefolder": imagefolder.write,
    "parquet": table.write,
    "onnx": network.write,
    "fiftyone": fiftyone.write,
}


def export(settings: Settings, collection: str, to: Path, format: str) -> None:
    """Write the release in use into the folder `to`, with a card beside it.

    Raises `ExportError` where `to` holds something already, `StoreError` before the first release and for a
    disk that is full. Then `to` is as it was.
    """
    target = to.expanduser().absolute()
    _check(target)
    console = Console()
    content = Content.of(settings, collection)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ExportError(f"nothing can be written in {target.parent}: {error.strerror}") from error
    try:
        usage = WRITERS[format](content, building, console)
        card = model_card(
            collection,
            content.about,
            licences=content.pins["licence"].to_pylist(),
            splits=content.splits,
        )
        (building / CARD).write_text(f"{card}\n## Use\n\n{usage}\n", encoding="utf-8")
        building.chmod(0o755)  # temporary folders are for their owner alone
        os.rename(building, target)
    except OSError as error:
        raise StoreError(f"the export to {target} failed and left nothing there: {error}") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    console.say(f"{collection}: release {content.release} as {format} in {target}")


def _check(target: Path) -> None:
    if target.is_dir() and not any(target.iterdir()):
        return
    if target.exists() or target.is_symlink():
        raise ExportError(f"{target} is there already: name a folder that is not, or an empty one")
