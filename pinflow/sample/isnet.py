"""Fetching ISNet's weights by package name, for whoever wants them: `python -m pinflow.sample.isnet`.

The package cuts its files into chunks of at most 4 MiB, which `dist/resources.json` says how to join. It is
under AGPL-3.0 and was trained on data for research: read that before you use it for more.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pinflow.errors import PinflowError
from pinflow.imaging.segments.isnet import FILE
from pinflow.sample.fetch import npm_pack, unpack
from pinflow.settings import Settings

PACKAGE = "@imgly/background-removal-data@1.4.5"
RESOURCES = "dist/resources.json"
MODEL = "/models/small"  # 44 MB; `/models/medium` is twice as large


def fetch_isnet(models: Path, model: str = MODEL) -> Path:
    """The network under `models`, fetched with npm where it is not there yet. Raises `PinflowError`."""
    path = models / FILE
    if path.is_file():
        return path
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".npm-", dir=models) as scratch:
        network = joined(unpack(npm_pack((PACKAGE,), Path(scratch))[0]), model)
        fresh = Path(scratch) / FILE
        fresh.write_bytes(network)
        os.replace(fresh, path)
    return path


def joined(files: Mapping[str, bytes], model: str) -> bytes:
    """The file that the package's chunks make. Raises `PinflowError` where they are not as it says."""
    try:
        about = json.loads(files[RESOURCES])[model]
        parts = []
        for chunk in sorted(about["chunks"], key=lambda one: one["offsets"][0]):
            data = files[f"dist/{chunk['hash']}"]
            if len(data) != chunk["offsets"][1] - chunk["offsets"][0]:
                raise PinflowError(f"{PACKAGE}: chunk {chunk['hash'][:12]} has another size than it says")
            # Chunks are named by their digest.
            if len(chunk["hash"]) == 64 and hashlib.sha256(data).hexdigest() != chunk["hash"]:
                raise PinflowError(f"{PACKAGE}: chunk {chunk['hash'][:12]} is damaged")
            parts.append(data)
    except (KeyError, TypeError, ValueError) as error:
        raise PinflowError(f"{PACKAGE} is not as expected: {error!r}") from error
    whole = b"".join(parts)
    if len(whole) != about["size"]:
        raise PinflowError(f"{PACKAGE}: {model} has {len(whole)} bytes, not {about['size']}")
    return whole


if __name__ == "__main__":
    print(fetch_isnet(Settings().home_path / "models"))
