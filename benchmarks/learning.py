"""What tuning a head gains: emoji that no training saw, drawn by four hands; and the sample collections.

Frozen vectors, pinflow's default head, and three peers (`learning_peers`) on the same trunk, data and budget.
pinflow also reads the trunk's inner stages; what its head does without them, and what the plain loop does
with them, stands beside it. Everything was chosen on folds of the 957; the 900 are scored once a seed.

`--quick`: emoji only, one seed.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import emoji
from benchmarks.learning_peers import install_oml, linear, oml, pml
from benchmarks.report import finish, record

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
SEEDS = (0, 1, 2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    import torch

    from pinflow.settings import Settings

    home = Settings().home_path
    torch.set_num_threads(2)
    seeds = SEEDS[:1] if given.quick else SEEDS
    ratios, figures = on_emoji(home / "bench" / "emoji", install_oml(home / "bench" / "oml"), seeds)
    if not given.quick:
        figures |= on_samples(home / "sample", seeds)
    line = finish("learning", ratios, figures, quick=given.quick, seeds=list(seeds))
    if not given.quick:
        record(line, "python -m benchmarks.learning")


def on_emoji(folder: Path, python: Path, seeds: tuple[int, ...]) -> tuple[dict[str, float], dict[str, Any]]:
    from pinflow.learning.evaluate import bootstrap, paired_gain
    from pinflow.learning.head import IDENTITY, Head
    from pinflow.learning.promotion import choose
    from pinflow.learning.tune import Recipe, fit

    data = emoji.fetch(folder)
    plain, wide = emoji_vectors(folder, data, wide=False), emoji_vectors(folder, data, wide=True)
    train, test = np.flatnonzero(data.train), np.flatnonzero(~data.train)
    of, vendor = data.of[test], data.vendor[test]
    seconds: dict[str, float] = {}

    def hits(vectors: Floats) -> npt.NDArray[np.float64]:
        return recall_at_1(vectors, of, vendor)

    def learned(weight: Floats, vectors: Floats) -> Floats:
        return Head("linear", {"weight": weight}).apply(unit(vectors))

    frozen = hits(IDENTITY.apply(plain[test]))
    sets = {"plain": as_dataset(plain, data), "wide": as_dataset(wide, data)}
    started = time.perf_counter()
    learnable = sets["wide"].in_splits("train")
    choice = choose(sets["wide"], IDENTITY, Recipe(), judged=learnable)
    seconds["choosing the head by folds of the 957"] = time.perf_counter() - started

    def ours(name: str, vectors: Floats, seed: int) -> Floats:
        head = fit(sets[name], train, choice.recipe, seed=seed).head.softened(choice.strength)
        return head.apply(vectors[test])

    def by_oml(seed: int) -> Floats:
        weight, took = oml(python, unit(plain[train]), data.of[train], seed)
        seconds["oml"] = took
        return learned(weight, plain[test])

    contenders: dict[str, Callable[[int], Floats]] = {
        "head": lambda seed: ours("wide", wide, seed),
        "head on the last vector alone": lambda seed: ours("plain", plain, seed),
        "linear": lambda seed: learned(linear(unit(plain[train]), data.of[train], seed), plain[test]),
        "linear with the stages": lambda seed: learned(
            linear(unit(wide[train]), data.of[train], seed), wide[test]
        ),
        "pml": lambda seed: learned(pml(unit(plain[train]), data.of[train], seed), plain[test]),
        "oml": by_oml,
    }
    found: dict[str, npt.NDArray[np.float64]] = {}
    widths: dict[str, int] = {}
    for name, contender in contenders.items():
        scores = []
        for seed in seeds:
            started = time.perf_counter()
            vectors = contender(seed)
            if name != "oml":
                seconds[name] = time.perf_counter() - started
            widths[name] = vectors.shape[1]
            scores.append(hits(vectors))
        found[name] = np.mean(scores, axis=0)
    stages = hits(IDENTITY.apply(wide[test]))
    # An emoji's four pictures are no four independent queries: what is resampled is emoji.
    figures: dict[str, Any] = {
        "emoji": {"frozen": float(frozen.mean()), "head": float(found["head"].mean())},
        "emoji recall@1": {
            name: shown(bootstrap(by_emoji(score, of)))
            for name, score in {"frozen": frozen, "frozen with the stages": stages, **found}.items()
        },
        "emoji gain over frozen": {
            name: shown(paired_gain(by_emoji(score, of), by_emoji(frozen, of)))
            for name, score in found.items()
        },
        "emoji head over": {
            name: shown(paired_gain(by_emoji(found["head"], of), by_emoji(score, of)))
            for name, score in found.items()
            if name != "head"
        },
        "kind of head chosen": choice.recipe.kind,
        "dimensions": widths,
        "seconds of training": {name: round(value, 1) for name, value in seconds.items()},
    }
    # How many times fewer queries find another emoji first.
    ratios = {
        name: float((1 - found[name].mean()) / (1 - found["head"].mean()))
        for name in ("linear", "pml", "oml")
    }
    return ratios, figures


def emoji_vectors(folder: Path, data: emoji.Emoji, *, wide: bool) -> Floats:
    """Trunk vectors of all pictures at 96 px on white, cached."""
    from PIL import Image

    from pinflow.learning.stages import staged
    from pinflow.learning.trunk import Trunk
    from pinflow.learning.weights import DEFAULT, Preprocess, load_model

    path = folder / f"vectors-{'wide' if wide else 'plain'}.npy"
    if not path.is_file():
        model, own = load_model(DEFAULT)
        trunk = Trunk(
            DEFAULT, staged(model) if wide else model, Preprocess(emoji.SIDE, own.mean, own.std), "cpu"
        )
        pictures = []
        for png in data.png:
            drawn = Image.open(io.BytesIO(png)).convert("RGBA")
            white = Image.new("RGBA", drawn.size, "white")
            white.alpha_composite(drawn)
            white.convert("RGB").save(out := io.BytesIO(), "PNG", compress_level=1)
            pictures.append(out.getvalue())
        np.save(path, trunk.encode(pictures))
    vectors: Floats = np.load(path)
    return vectors


def as_dataset(vectors: Floats, data: emoji.Emoji) -> Any:
    """The 957 as a collection whose labels are the emoji; test pictures are held out of everything."""
    from pinflow import schema
    from pinflow.learning.dataset import Dataset

    ids = np.arange(len(vectors)).astype(str)
    split = np.where(data.train, "train", "held_out")
    names = tuple(f"emoji {one}" for one in range(emoji.EMOJI))
    return Dataset(
        vectors,
        ids,
        ids,
        split,
        data.vendor % schema.FOLDS,
        names,
        data.of[:, None],
        np.zeros((0, 2), np.int64),
    )


def recall_at_1(vectors: Floats, of: Ints, vendor: Ints) -> npt.NDArray[np.float64]:
    """Whether each picture's nearest of another vendor shows the same emoji."""
    from pinflow.learning.evaluate import per_query

    rows = np.arange(len(of))
    found = per_query(
        vectors,
        rows,
        rows,
        lambda a, b: of[a][:, None] == of[b][None],
        excluded=lambda a, b: vendor[a][:, None] == vendor[b][None],
    )
    return found.values["recall@1"]


def by_emoji(score: npt.NDArray[np.float64], of: Ints) -> npt.NDArray[np.float64]:
    """Means over each emoji's pictures."""
    _, number = np.unique(of, return_inverse=True)
    means: npt.NDArray[np.float64] = np.bincount(number, score) / np.bincount(number)
    return means


def on_samples(folder: Path, seeds: tuple[int, ...]) -> dict[str, Any]:
    """MAP@R and recall@1 gained by the default head on the sample sets, labels known and unseen, by folds."""
    from pinflow.learning.protocols import known_and_unseen
    from pinflow.sample.fetch import fetch

    samples = fetch(folder)
    figures = {}
    for name, one in (("market", samples.market), ("shop", samples.shop)):
        for wide in (False, True):
            vectors = sample_vectors([one.path(row).read_bytes() for row in one.rows], wide=wide)
            of = np.unique([row.label for row in one.rows], return_inverse=True)[1].astype(np.int64)
            same = np.unique([row.item for row in one.rows], return_inverse=True)[1].astype(np.int64)
            key = f"{name}{' with the stages' if wide else ''}"
            figures[key] = {
                protocol: {which: shown(estimate) for which, estimate in found.items()}
                for protocol, found in known_and_unseen(vectors, of, groups=same, seeds=seeds).items()
            }
    return figures


def sample_vectors(pictures: list[bytes], *, wide: bool) -> Floats:
    from pinflow.learning.stages import staged
    from pinflow.learning.trunk import Trunk
    from pinflow.learning.weights import DEFAULT, load_model

    model, own = load_model(DEFAULT)
    return Trunk(DEFAULT, staged(model) if wide else model, own, "cpu").encode(pictures)


def unit(vectors: Floats) -> Floats:
    from pinflow.learning.head import IDENTITY

    return IDENTITY.apply(vectors)


def shown(estimate: Any) -> list[float | None]:
    """Value, low, high."""
    return [None if v is None else round(v, 4) for v in (estimate.value, estimate.low, estimate.high)]


if __name__ == "__main__":
    main()
