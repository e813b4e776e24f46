"""The trunk and the served head as one ONNX file, checked against our own vectors before it is handed out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinflow.commands.exports.content import Content
from pinflow.errors import PinflowError, TrunkError

if TYPE_CHECKING:
    from pinflow.commands.console import Console
    from pinflow.learning.trunk import Trunk

FILE, HOW = "model.onnx", "preprocessing.json"
CHECKED = 32  # pictures, spread over the release
TOLERANCE = 1e-3  # greatest difference of a coordinate of two unit vectors


def write(content: Content, folder: Path, console: Console) -> str:
    """`model.onnx` (pixels in, unit vectors out) and `preprocessing.json`. Raises `TrunkError` where the
    trunk here has other weights than the release's, `PinflowError` where the file computes something else."""
    from pinflow.learning.checkpoint import from_bytes
    from pinflow.learning.head import Head
    from pinflow.learning.onnx import Session, head_module, to_onnx
    from pinflow.learning.stages import reading
    from pinflow.learning.trunk import Trunk
    from pinflow.learning.weights import load_model

    made = content.about["encoder"]
    head = Head.from_bytes((content.folder / "encoder.safetensors").read_bytes())
    if head.trunk:
        tuned = from_bytes((content.folder / "trunk.safetensors").read_bytes())
        model, preprocess = tuned.model, tuned.preprocess
    else:
        model, preprocess = load_model(str(made["trunk"]))
    trunk = Trunk(str(made["trunk"]), model, preprocess, "cpu")
    if trunk.digest != (head.trunk or made["trunk_digest"]):
        raise TrunkError(
            f"trunk {trunk.name!r} here has other weights than release {content.release} was made with: "
            f"install the version that made it, or run pinflow run {content.collection}"
        )
    data = to_onnx(reading(model, head.reads), preprocess, [head_module(head)])
    pictures, rows = _sample(content)
    if pictures:
        pixels = trunk.pixels(pictures)
        session = Session(data)
        theirs = np.concatenate([session(pixels[i : i + 1]) for i in range(len(pixels))])
        difference = float(np.abs(theirs - head.apply(trunk.encode(pictures, head.reads))).max())
        stored = float(np.median(np.sum(theirs * content.vectors[rows], axis=1)))
        said = (
            f"{len(rows)} pictures, ONNX Runtime against torch: greatest difference of a coordinate "
            f"{difference:.1e}; median cosine to the release's own vectors {stored:.4f}"
        )
        console.say(said)
        if not difference <= TOLERANCE:
            raise PinflowError(
                f"the ONNX file computes other vectors (difference {difference:.1e}, at most {TOLERANCE:.0e} "
                "is allowed): it is not written; please report this with the name of the trunk"
            )
    else:
        said = "There was no picture to check it with."
    (folder / FILE).write_bytes(data)
    how = json.dumps(
        _description(trunk, head.width(trunk.width + (trunk.stages if head.reads == "stages" else 0))),
        indent=1,
    )
    (folder / HOW).write_text(how, encoding="utf-8")
    return (
        f"`{FILE}` runs wherever ONNX does: `pixels` uint8 (n, {preprocess.size}, {preprocess.size}, 3) in, "
        f"`vectors` of length 1 out. `{HOW}` says how a picture becomes pixels. Checked when it was "
        f"written: {said}."
    )


def _sample(content: Content) -> tuple[list[bytes], list[int]]:
    """Curated pictures as the gallery was made from, and their rows."""
    from pinflow.imaging.derivatives import derive

    step = max(1, -(-content.pins.num_rows // CHECKED))
    rows = list(range(0, content.pins.num_rows, step))
    digests = content.pins["sha256"].to_pylist()
    return [derive(content.store.get(content.collection, digests[row])).jpeg for row in rows], rows


def _description(trunk: Trunk, width: int) -> dict[str, Any]:
    from pinflow.imaging.derivatives import DERIVATIVE_SIDE, JPEG_QUALITY
    from pinflow.learning.onnx import PIXELS, VECTORS

    how = trunk.preprocess
    return {
        "input": {
            "name": PIXELS,
            "dtype": "uint8",
            "shape": ["n", how.size, how.size, 3],
            "colour": "sRGB, red green blue, upright (EXIF orientation applied), transparency over white",
        },
        "steps": [
            f"reduce to a longest side of {DERIVATIVE_SIDE} px (Lanczos), never enlarge; pinflow keeps "
            f"that as JPEG of quality {JPEG_QUALITY}, 4:4:4",
            f"resize to a longest side of {how.size} px, {how.interpolation}, antialiased; also enlarge",
            f"centre on a square of {how.size} px of the colour {list(how.padding)}",
        ],
        "in_the_file": {"mean": list(how.mean), "std": list(how.std), "of": "pixels / 255"},
        "output": {"name": VECTORS, "dtype": "float32", "shape": ["n", width], "length": 1},
        "grayscale": how.grayscale,
        "trunk": trunk.name,
        "trunk_digest": trunk.digest,
    }
