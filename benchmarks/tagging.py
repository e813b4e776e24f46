"""How tags are best learned: two baselines and four transfer models on the same stratified group folds.

On `market` (food in 9 groups; a food's pictures are one group) and on emoji categories (drawn by four
vendors; an emoji is one group). Peers: `basic ANN` and `basic CNN`, by how many times fewer mistakes the
best linear probe makes; `fine-tuned`, by the same measure.

`--quick` takes `market` alone, two folds, and Lite0's probe beside the baselines.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.report import RESULTS, finish, record
from pinflow.learning.dataset import Ints

EMOJI = 100  # of each vendor: 400 pictures
Set = tuple[list[bytes], Ints, "npt.NDArray[np.str_]"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--record", action="store_true", help="keep the figures and the charts")
    given = arguments.parse_args()

    import torch

    from pinflow.learning.tagging.chart import chart
    from pinflow.learning.tagging.compare import compare, table
    from pinflow.learning.tagging.contenders import contenders
    from pinflow.settings import Settings

    torch.set_num_threads(1)
    home = Settings().home_path
    sets = {"market": market(home)} if given.quick else {"market": market(home), "emoji": emoji(home)}
    figures: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    for name, (pictures, tags, groups) in sets.items():
        makers = contenders(int(tags.max()) + 1)
        rows = compare(
            pictures,
            tags,
            groups,
            makers[:3] if given.quick else makers,
            folds=2 if given.quick else 5,
            say=lambda line, name=name: print(f"{name}: {line}", file=sys.stderr, flush=True),  # type: ignore[misc]
        )
        print(f"\n{name}: {len(pictures)} pictures, {int(tags.max()) + 1} tags\n{table(rows)}\n")
        figures |= _figures(name, rows)
        ratios |= _ratios(name, rows)
        if given.record:
            (RESULTS / f"tagging-{name}.png").write_bytes(chart(rows, f"{name}: {len(pictures)} pictures"))
    line = finish("tagging", ratios, figures, quick=given.quick, threads=1)
    if given.record:
        record(line, " ".join(["python -m benchmarks.tagging", *sys.argv[1:]]))


def _figures(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of each contender, a line each: intervals as [value, low, high]."""
    kept: dict[str, Any] = {}
    for row in rows:
        about = f"{name}, {row['name']}"
        for measure in ("accuracy", "macro_f1", "log_loss", "ece"):
            one = row[measure]
            kept[f"{about}, {measure}"] = [round(one[part], 4) for part in ("value", "low", "high")]
        for size, taken in row["milliseconds"].items():
            kept[f"{about}, processor ms for {size}, median and p95"] = [
                round(ms, 1) for ms in taken.values()
            ]
        kept |= {f"{about}, {part}": row[part] for part in ("parameters", "bytes", "setting")}
        if row["curve"]:
            kept[f"{about}, validation loss by epoch"] = [round(one["val"], 3) for one in row["curve"]]
            kept[f"{about}, training loss by epoch"] = [round(one["train"], 3) for one in row["curve"]]
    return kept


def _ratios(name: str, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Mistakes of each peer over those of the best linear probe."""
    wrong = {row["name"]: 1 - row["accuracy"]["value"] for row in rows}
    ours = min(share for contender, share in wrong.items() if "probe" in contender)
    peers = [contender for contender in wrong if "probe" not in contender]
    return {f"{peer}, {name}": wrong[peer] / ours for peer in peers}


def market(home: Path) -> Set:
    from pinflow.sample.fetch import fetch

    found = fetch(home / "sample").market
    names = sorted(found.labels)
    tags = np.array([names.index(row.label) for row in found.rows])
    return [found.path(row).read_bytes() for row in found.rows], tags, np.array([r.item for r in found.rows])


def emoji(home: Path) -> Set:
    """The first emoji by the digest of their names, on white; their ten categories are the tags."""
    from benchmarks.emoji import fetch

    found = fetch(home / "bench" / "emoji")
    some = np.flatnonzero(np.isin(found.of, np.random.default_rng(0).permutation(found.of.max() + 1)[:EMOJI]))
    tags = np.unique(found.category[some], return_inverse=True)[1].astype(np.int64)
    return [_on_white(found.png[i]) for i in some.tolist()], tags, found.of[some].astype(np.str_)


def _on_white(png: bytes) -> bytes:
    import io

    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    out = io.BytesIO()
    Image.alpha_composite(white, picture).convert("RGB").save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
