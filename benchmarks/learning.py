"""What tuning gains: emoji that no training saw, drawn by four hands; and the sample collections.

Frozen vectors, pinflow's default head and full tuning, and three peers (`learning_peers`) on the same trunk,
data and budget. pinflow also reads the trunk's inner stages; what its head does without them, and what the
plain loop does with them, stands beside it. Chosen on folds of the 957; the 900 are scored once a seed.

`--quick`: heads on emoji only, one seed.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import emoji
from benchmarks.learning_peers import install_oml, linear, oml, pml
from benchmarks.report import finish, record

if TYPE_CHECKING:
    from pinflow.learning.dataset import Dataset
    from pinflow.learning.trunk import Seen, Trunk

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
SEEDS = (0, 1, 2)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    import torch

    from benchmarks.learning_samples import on_samples
    from pinflow.settings import Settings

    home = Settings().home_path
    torch.set_num_threads(2)
    seeds = SEEDS[:1] if given.quick else SEEDS
    on = Emoji(home / "bench" / "emoji")
    ratios, figures = heads(on, install_oml(home / "bench" / "oml"), seeds)
    if not given.quick:
        print(figures, file=sys.stderr)  # it takes long: what is known is told
        figures["emoji as a collection"] = as_collection(on)
        print(figures["emoji as a collection"], file=sys.stderr)
        figures |= on_samples(home / "sample", seeds)
        print(figures["market"], figures["shop"], file=sys.stderr)
        figures["emoji"]["full"], figures["emoji, full tuning"] = fully_tuned(on, seeds)
    line = finish("learning", ratios, figures, quick=given.quick, seeds=list(seeds))
    if not given.quick:
        record(line, "python -m benchmarks.learning")


class Emoji:
    """The pictures, drawn on white at the side that the trunk sees, and what the trunk makes of them."""

    def __init__(self, folder: Path) -> None:
        self.set = emoji.fetch(folder)
        self.train, self.test = np.flatnonzero(self.set.train), np.flatnonzero(~self.set.train)
        self.png = [on_white(one) for one in self.set.png]
        self.seen = kept(folder / "seen.npz", lambda: self.trunk().look(self.png))
        self.folder = folder

    def trunk(self) -> Trunk:
        from pinflow.learning.trunk import Trunk
        from pinflow.learning.weights import DEFAULT, Preprocess, load_model

        model, own = load_model(DEFAULT)
        return Trunk(DEFAULT, model, Preprocess(emoji.SIDE, own.mean, own.std), "cpu")

    def crops(self) -> Seen:
        from benchmarks.learning_product import crops_of

        return kept(self.folder / "crops.npz", lambda: crops_of(self.trunk(), self.png))

    def data(self, seen: Seen) -> Dataset:
        """The 957 as a collection whose labels are the emoji; test pictures are held out of everything."""
        from pinflow import schema
        from pinflow.learning.dataset import Dataset

        ids = np.arange(len(seen.last)).astype(str)
        return Dataset(
            seen.last,
            ids,
            ids,
            np.where(self.set.train, "train", "held_out"),
            self.set.vendor % schema.FOLDS,
            tuple(f"emoji {one}" for one in range(emoji.EMOJI)),
            self.set.of[:, None],
            np.zeros((0, 2), np.int64),
            stages=seen.stages,
        )

    def hits(self, vectors: Floats) -> npt.NDArray[np.float64]:
        """Of the test pictures, unit vectors, whether the nearest of another vendor shows the same."""
        from pinflow.learning.evaluate import per_query

        of, vendor = self.set.of[self.test], self.set.vendor[self.test]
        rows = np.arange(len(of))
        found = per_query(
            vectors,
            rows,
            rows,
            lambda a, b: of[a][:, None] == of[b][None],
            excluded=lambda a, b: vendor[a][:, None] == vendor[b][None],
        )
        return found.values["recall@1"]

    def by_emoji(self, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Means over each emoji's pictures: four drawings are no four independent queries."""
        _, number = np.unique(self.set.of[self.test], return_inverse=True)
        means: npt.NDArray[np.float64] = np.bincount(number, score) / np.bincount(number)
        return means


def heads(on: Emoji, python: Path, seeds: tuple[int, ...]) -> tuple[dict[str, float], dict[str, Any]]:
    from pinflow.learning.evaluate import bootstrap, paired_gain
    from pinflow.learning.head import IDENTITY, Head
    from pinflow.learning.promotion import choose
    from pinflow.learning.tune import Recipe, fit

    data, train, test = on.data(on.seen), on.train, on.test
    classes = on.set.of[train]
    seconds: dict[str, float] = {}
    plain, wide = (IDENTITY.apply(data.view(reads)) for reads in ("last", "stages"))
    started = time.perf_counter()
    choice = choose(data, IDENTITY, Recipe(), judged=data.in_splits("train"))
    seconds["choosing the head by folds of the 957"] = time.perf_counter() - started

    def ours(recipe: Recipe, seed: int) -> Floats:
        head = fit(data, train, recipe, seed=seed).head.softened(choice.strength)
        return data.space(head, test)

    def learned(weight: Floats, vectors: Floats) -> Floats:
        return Head("linear", {"weight": weight}).apply(vectors[test])

    def by_oml(seed: int) -> Floats:
        weight, seconds["oml"] = oml(python, plain[train], classes, seed)
        return learned(weight, plain)

    contenders: dict[str, Callable[[int], Floats]] = {
        "head": lambda seed: ours(choice.recipe, seed),
        "head on the last vector alone": lambda seed: ours(choice.recipe.reading("last"), seed),
        "linear": lambda seed: learned(linear(plain[train], classes, seed), plain),
        "linear with the stages": lambda seed: learned(linear(wide[train], classes, seed), wide),
        "pml": lambda seed: learned(pml(plain[train], classes, seed), plain),
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
            scores.append(on.hits(vectors))
        found[name] = np.mean(scores, axis=0)
    frozen, stages = on.hits(plain[test]), on.hits(wide[test])
    over = on.by_emoji(found["head"])
    figures: dict[str, Any] = {
        "emoji": {"frozen": float(frozen.mean()), "head": float(found["head"].mean())},
        "emoji recall@1": {
            name: shown(bootstrap(on.by_emoji(score)))
            for name, score in {"frozen": frozen, "frozen with the stages": stages, **found}.items()
        },
        "emoji gain over frozen": {
            name: shown(paired_gain(on.by_emoji(score), on.by_emoji(frozen))) for name, score in found.items()
        },
        "emoji head over": {
            name: shown(paired_gain(over, on.by_emoji(score)))
            for name, score in found.items()
            if name != "head"
        },
        "head chosen": f"{choice.recipe.kind} of {choice.recipe.reads}",
        "dimensions": widths,
        "seconds of training": {name: round(value, 1) for name, value in seconds.items()},
    }
    # How many times fewer queries find another emoji first.
    ratios = {
        name: float((1 - found[name].mean()) / (1 - found["head"].mean()))
        for name in ("linear", "pml", "oml")
    }
    return ratios, figures


def as_collection(on: Emoji) -> dict[str, Any]:
    """The 957 as a collection gets them: 70 of 100 pictures to learn from, the rule of promotion, the served
    head; and what that head does for the 900."""
    from benchmarks.learning_product import served, told
    from pinflow.learning.evaluate import bootstrap
    from pinflow.learning.trunk import Seen

    train, crops = on.train, on.crops()
    started = time.perf_counter()
    product = served(
        [on.png[row] for row in train],
        [f"emoji {of}" for of in on.set.of[train]],
        [str(row) for row in train],
        Seen(*(one[train] for one in on.seen)),
        Seen(*(one[train] for one in crops)),
    )
    took = time.perf_counter() - started
    head = product.fit.served
    score = on.hits(on.data(on.seen).space(head, on.test))
    return {
        **told(product),
        "the 900, recall@1": shown(bootstrap(on.by_emoji(score))),
        "dimensions": head.width(0),
        "seconds of fit_encoder": round(took, 1),
    }


def fully_tuned(on: Emoji, seeds: tuple[int, ...]) -> tuple[float, dict[str, Any]]:
    """Trunk and head, tuned on the 957: recall@1 of the 900 and seconds, embedding the 900 left out."""
    import torch

    from pinflow.learning.evaluate import bootstrap, paired_gain
    from pinflow.learning.full import Course, tune_fully
    from pinflow.learning.trunk import Trunk
    from pinflow.learning.tune import Recipe, fit

    pixels = on.trunk().pixels(on.png)
    data, scores, alone, seconds = on.data(on.seen), [], [], []
    recipe = Recipe().as_affine().reading("stages")
    for seed in seeds:
        alone.append(on.hits(data.space(fit(data, on.train, recipe, seed=seed).head, on.test)))
        started = time.perf_counter()
        tuned = tune_fully(on.trunk(), pixels, data, on.train, recipe, Course(), seed=seed)
        seconds.append(round(time.perf_counter() - started, 1))
        trunk = Trunk("tuned", tuned.model, tuned.preprocess, "cpu")
        scores.append(on.hits(tuned.head.apply(trunk.encode([on.png[row] for row in on.test], "stages"))))
    ours, head = np.mean(scores, axis=0), np.mean(alone, axis=0)
    return float(ours.mean()), {
        "recall@1": shown(bootstrap(on.by_emoji(ours))),
        "by seed": [round(float(one.mean()), 4) for one in scores],
        "over its own head": shown(paired_gain(on.by_emoji(ours), on.by_emoji(head))),
        "dimensions": tuned.head.width(0),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
    }


def on_white(png: bytes) -> bytes:
    from PIL import Image

    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    white = Image.new("RGBA", drawn.size, "white")
    white.alpha_composite(drawn)
    white.convert("RGB").save(out := io.BytesIO(), "PNG", compress_level=1)
    return out.getvalue()


def kept(path: Path, make: Callable[[], Seen]) -> Seen:
    """What a trunk saw, from the file where it is there."""
    from pinflow.learning.trunk import Seen

    if not path.is_file():
        seen = make()
        np.savez(path, last=seen.last, stages=seen.stages)
    with np.load(path) as found:
        return Seen(found["last"], found["stages"])


def shown(estimate: Any) -> list[float | None]:
    """Value, low, high."""
    return [None if v is None else round(v, 4) for v in (estimate.value, estimate.low, estimate.high)]


if __name__ == "__main__":
    main()
