"""Style vectors against content vectors: who finds the same hand, not the same thing?

Emoji as four vendors draw them. Every test picture asks for its vendor among the test pictures of all other
emoji; its own emoji, by whatever hand, never counts. The map is fitted on the 957 training emoji, whose
vendors it is not told, and everything was chosen on these; the 900 test emoji only measure.

    python -m benchmarks.style [--quick]
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from benchmarks.emoji import SIDE, Emoji, fetch
from benchmarks.report import finish, record
from pinflow.learning.evaluate import PerQuery, bootstrap, paired_gain, per_query
from pinflow.learning.style.statistics import load_style
from pinflow.learning.style.whitening import fit_whitening
from pinflow.learning.trunk import load_trunk
from pinflow.learning.weights import DEFAULT
from pinflow.settings import Settings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
QUICK = 500  # emoji, half of them to learn from


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK} of the emoji")
    quick = arguments.parse_args().quick
    emoji = fetch(Settings().home_path / "bench" / "emoji")
    kept = _some(emoji) if quick else np.arange(len(emoji.of))
    pictures = [_on_white(emoji.png[i]) for i in kept]
    of, vendor, train = emoji.of[kept], emoji.vendor[kept], emoji.train[kept]

    style = load_style(DEFAULT, device="cpu")
    started = time.perf_counter()
    statistics = style.encode(pictures)
    style_seconds = time.perf_counter() - started
    trunk = load_trunk(DEFAULT, device="cpu")
    started = time.perf_counter()
    features = trunk.encode(pictures)
    content_seconds = time.perf_counter() - started

    content = features / np.linalg.norm(features, axis=1, keepdims=True)
    test = np.flatnonzero(~train)
    spaces = {"content": content, "style": fit_whitening(statistics[train]).apply(statistics)}
    scores = {name: _recall(vectors, test, mine=of, relevant=vendor) for name, vectors in spaces.items()}
    first = {name: score.values["recall@1"] for name, score in scores.items()}
    gain = paired_gain(first["style"], first["content"])
    things = {name: _recall(vectors, test, mine=vendor, relevant=of) for name, vectors in spaces.items()}
    figures = {
        **{name: asdict(bootstrap(values)) for name, values in first.items()},
        "gain": asdict(gain),
        "chance": float(np.mean([(vendor[~train] == one).mean() for one in vendor[~train]])),
        "map@r": {name: float(score.values["map@r"].mean()) for name, score in scores.items()},
        "same_emoji_other_vendor": {n: asdict(bootstrap(s.values["recall@1"])) for n, s in things.items()},
        "seconds_per_1000": {
            "style": 1000 * style_seconds / len(pictures),
            "content": 1000 * content_seconds / len(pictures),
        },
    }
    ratios = {"content": float(first["style"].mean() / first["content"].mean())}
    line = finish("style", ratios, figures, quick=quick, pictures=len(pictures), trunk=DEFAULT)
    if not quick:
        record(line, "python -m benchmarks.style")


def _recall(vectors: Floats, rows: Ints, mine: Ints, relevant: Ints) -> PerQuery:
    """Every row asks for rows with its `relevant` among those with another `mine`."""
    parts = [
        per_query(
            vectors,
            rows[mine[rows] == one],
            rows[mine[rows] != one],
            lambda a, b: relevant[a][:, None] == relevant[b][None, :],
        )
        for one in np.unique(mine[rows])
    ]
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in parts[0].values}
    return PerQuery(np.concatenate([part.rows for part in parts]), values)


def _some(emoji: Emoji) -> npt.NDArray[np.int64]:
    chosen = [np.unique(emoji.of[emoji.train == side])[: QUICK // 2] for side in (True, False)]
    return np.flatnonzero(np.isin(emoji.of, np.concatenate(chosen)))


def _on_white(png: bytes) -> bytes:
    """At the size that the emoji benchmarks show to every network, as PNG."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        drawn = opened.convert("RGBA")
    white = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    out = io.BytesIO()
    white.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
