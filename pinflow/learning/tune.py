"""Tuning: from trunk vectors and what belongs together to a head. One readable loop.

Two kinds, both started in closed form from what tells the sets apart, then trained contrastively:

- `residual` stretches the frozen space along a few discriminants (Fisher 1936; shrinkage as in regularised
  discriminant analysis, Friedman 1989) and leaves the rest alone. For few sets: nothing is forgotten.
- `affine` whitens what varies within the sets (WCCN, Hatch et al. 2006), keeps the `rank` directions that
  vary most between them, and forgets the rest. For many sets, where that is known well: it gains on unseen
  ones too, which `promotion` measures before it is chosen.

Why not a plain linear projection: it gains on labels it knows and forgets what the trunk knew about
others. Gain in MAP@R over frozen in cross-validation on two real sets (392 pictures of food in 9
labels, 54 products in 6), before `promotion` chooses how far to go:

=============================== ============ ============ ============== ============== ============
head                            food, known  shop, known  food, unseen   shop, unseen   inside label
=============================== ============ ============ ============== ============== ============
linear to 256, SupCon           +.101        +.189        -.173          -.090          -.083
residual, random start, SupCon  +.087        +.066        -.196          -.089          -.076
discriminants alone             +.055        +.111        +.001          +.009           .000
discriminants, then SupCon      +.061        +.145        -.010          +.002          +.006
=============================== ============ ============ ============== ============== ============
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Dataset, Ints
from pinflow.learning.evaluate import per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.positives import Alike, Positives
from pinflow.learning.sampler import batches
from pinflow.learning.stages import Reads

if TYPE_CHECKING:
    import torch

    from pinflow.learning.loss import Loss

Doubles = npt.NDArray[np.float64]

DECLARED = Positives()
# Below, the directions within and between so few sets are not known well enough to forget all others.
MANY_SETS = 64


@dataclass(frozen=True)
class Recipe:
    """How a head is tuned. The defaults were chosen by cross-validation, see the module's table."""

    positives: Positives = DECLARED
    kind: Literal["residual", "affine"] = "residual"
    reads: Reads = "last"
    loss: str = "auto"
    memory: int = 0  # rows of earlier batches kept as further negatives, see `Loss`
    related_weight: float = 0.5  # share of the related term in the loss, where there are related pins
    stretch: float = 2.0  # residual: how strongly the discriminant directions count at the start
    # What is added to the within-set variance, in units of its mean.
    shrinkage: float = 10.0
    rank: int = 128  # directions at most
    steps: int = 100
    warm_up: int = 10  # steps
    learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    clip: float = 1.0  # largest gradient norm
    ema: float = 0.95  # of the weights, by step
    drop: float = 0.0  # share of the inputs left out at random
    temperature: float = 0.1
    batch: int = 128
    every: int = 20  # steps between two looks at the pictures watched
    patience: int = 2  # looks without a better MAP@R before it stops

    def reading(self, reads: Reads) -> Recipe:
        """The same on another view of the trunk."""
        return replace(self, reads=reads)

    def as_affine(self) -> Recipe:
        """The same positives and loss for many sets. Chosen on folds of the emoji's 957."""
        return Recipe(
            self.positives,
            "affine",
            self.reads,
            self.loss,
            self.memory,
            shrinkage=1.0,
            rank=256,
            steps=120,
            learning_rate=1e-3,
            drop=0.2,
            batch=512,
        )


@dataclass(frozen=True)
class Tuned:
    """A head and how it came about."""

    head: Head
    steps: int = 0  # after which the weights kept were taken
    note: str = ""  # why it stopped early, if it did


def tune(data: Dataset, rows: Ints, recipe: Recipe = Recipe(), *, seed: int = 0) -> Head:
    """`fit` without its record."""
    return fit(data, rows, recipe, seed=seed).head


def fit(
    data: Dataset, rows: Ints, recipe: Recipe = Recipe(), *, watch: Ints | None = None, seed: int = 0
) -> Tuned:
    """A head learned from `rows` of `data` alone; identity where nothing there belongs together.

    `watch`: rows on whose MAP@R it stops early; they are not learned from. Deterministic by seed. Takes
    seconds on cached vectors. A loss that is not finite stops it: the last good weights are kept, and
    the note says so.
    """
    alike = recipe.positives.of(data, rows, seed=seed)
    vectors = _unit(data.view(recipe.reads)[rows])
    with _one_thread():
        start = _start(vectors, alike.sets(), recipe)
        if start is None:
            return Tuned(IDENTITY)
        seen = _watcher(data, watch, recipe, start)
        other = start.map(_second(data, rows, recipe)) if alike.augmented else None
        weight, steps, note = _train(start.map(vectors), start.weight, alike, recipe, seen, seed, other)
        return Tuned(replace(start.head(weight), reads=recipe.reads), steps, note)


def _second(data: Dataset, rows: Ints, recipe: Recipe) -> Doubles:
    """The other view of each picture: a part of it, where that was embedded, else the same."""
    vectors = data.view(recipe.reads).copy()
    if data.crops is not None:
        vectors[data.crops.rows] = data.crops.view(recipe.reads)
    return _unit(vectors[rows])


@dataclass(frozen=True)
class _Start:
    """Where training begins: `weight` (k, v) acts on `map(unit vectors)`; `head` undoes the map."""

    weight: Doubles
    map: Callable[[Doubles], Doubles]
    head: Callable[[Doubles], Head]


def _start(vectors: Doubles, sets: list[Ints], recipe: Recipe) -> _Start | None:
    if recipe.kind == "residual":
        found = discriminants(vectors, sets, recipe)
        if not len(found) and recipe.positives.augmented:
            found = principal(vectors, recipe.rank)
        return _Start(recipe.stretch * found, lambda x: x, _residual) if len(found) else None
    white = whitening(vectors, sets, recipe)
    if white is None:
        return None
    mean, directions = white
    # A length of 1 on average, so that dropout, temperature and learning rate mean the same everywhere.
    directions = directions / np.linalg.norm((vectors - mean) @ directions, axis=1).mean()
    rank = min(recipe.rank, directions.shape[1])

    def head(weight: Doubles) -> Head:
        whole = weight @ directions.T
        return Head("affine", {"weight": whole, "bias": -whole @ mean})

    return _Start(np.eye(rank, directions.shape[1]), lambda x: (x - mean) @ directions, head)


def discriminants(vectors: Doubles, sets: list[Ints], recipe: Recipe) -> Doubles:
    """Orthonormal directions (k, w) that tell the sets apart, most telling first; k = 0 if there are none.

    Each set holds rows that belong together. Within-set variance is shrunk towards a multiple of the
    identity, which is what makes a few pictures of 1280 numbers enough.
    """
    spread = _spread(vectors, sets)
    if spread is None:
        return np.zeros((0, vectors.shape[1]))
    means, inside, scale = spread
    between = means - means.mean(axis=0)
    if (
        len(inside) < inside.shape[1]
    ):  # the same by the Woodbury identity, at the size of what there is less of
        small = inside @ inside.T + recipe.shrinkage * scale * np.eye(len(inside))
        between = between - np.linalg.solve(small, inside @ between.T).T @ inside
    else:
        whole = inside.T @ inside / scale + recipe.shrinkage * np.eye(inside.shape[1])
        between = np.linalg.solve(whole, between.T).T
    _, strength, directions = np.linalg.svd(between, full_matrices=False)
    found: Doubles = directions[strength > 1e-6 * strength[0]][: recipe.rank]
    return found


def principal(vectors: Doubles, rank: int) -> Doubles:
    """Orthonormal directions (k, w) of most variance: where two views alone say what is alike, there are no
    sets to tell apart; k = 0 where nothing varies."""
    if len(vectors) < 2:
        return np.zeros((0, vectors.shape[1]))
    _, strength, directions = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    found: Doubles = directions[strength > 1e-6][:rank]
    return found


def whitening(vectors: Doubles, sets: list[Ints], recipe: Recipe) -> tuple[Doubles, Doubles] | None:
    """The mean (w,) and directions (w, v), most telling first, in which the within-set variance is 1.

    v is at most twice the rank: the contrastive loss may still exchange directions at the edge.
    """
    from scipy.linalg import eigh

    spread = _spread(vectors, sets)
    if spread is None:
        return None
    means, inside, scale = spread
    mean, width = means.mean(axis=0), means.shape[1]
    shrunk = inside.T @ inside / scale + recipe.shrinkage * np.eye(width)
    between = (means - mean).T @ (means - mean)
    kept = min(2 * recipe.rank, len(means) - 1, width)
    _, directions = eigh(between, shrunk, subset_by_index=(width - kept, width - 1))
    return mean, directions[:, ::-1]


def _spread(vectors: Doubles, sets: list[Ints]) -> tuple[Doubles, Doubles, float] | None:
    """Means of the sets (s, w), their rows less these (n, w) and the mean scatter; None without any."""
    sets = [rows for rows in sets if len(rows) > 1]
    if len(sets) < 2:
        return None
    means = np.stack([vectors[rows].mean(axis=0) for rows in sets])
    inside = np.concatenate([vectors[rows] - mean for rows, mean in zip(sets, means, strict=True)])
    scale = float((inside**2).sum() / inside.shape[1])
    # Rounding leaves a trace of variance even where all pictures are one.
    return (means, inside, scale) if scale > 1e-12 and np.ptp(means, axis=0).max() > 1e-9 else None


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are small: more threads are slower as soon as anything else runs, and would make the
    result depend on how many there are; also in NumPy's and SciPy's own libraries."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def _watcher(
    data: Dataset, watch: Ints | None, recipe: Recipe, start: _Start
) -> Callable[[Doubles], float] | None:
    """MAP@R of weights on the pictures watched; None where there is nothing to find among them."""
    if watch is None or len(watch) < 2:
        return None
    relevant = recipe.positives.relevance(data)
    vectors, every = data.view(recipe.reads)[watch], np.arange(len(watch))

    def score(weight: Doubles) -> float:
        space = start.head(weight).apply(vectors)
        found = per_query(space, every, every, lambda a, b: relevant(watch[a], watch[b]))
        return float(found.values["map@r"].mean()) if len(found.rows) else math.nan

    return None if math.isnan(score(start.weight)) else score


def _train(
    inputs: Doubles,
    start: Doubles,
    alike: Alike,
    recipe: Recipe,
    watch: Callable[[Doubles], float] | None,
    seed: int,
    other: Doubles | None = None,
) -> tuple[Doubles, int, str]:
    """The weights (k, v) after contrastive training, the step they are of, and why it stopped early. `other`:
    second views of the inputs."""
    import torch

    torch.manual_seed(seed)
    x = torch.from_numpy(inputs.astype(np.float32))
    x2 = x if other is None else torch.from_numpy(other.astype(np.float32))
    classes = torch.from_numpy(alike.groupings[0])
    loss_of = _loss(alike, recipe, start)
    weight = torch.nn.Parameter(torch.from_numpy(start.astype(np.float32)))
    parameters = [weight, *loss_of.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    average = weight.detach().clone()
    feed = batches(alike.groupings, np.random.default_rng(seed), size=recipe.batch, partners=alike.pairs)
    best, best_step, since = start, 0, 0
    highest = watch(start) if watch else -math.inf
    for step in range(recipe.steps):
        batch = next(feed)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe)
        loss = torch.zeros(())
        seen, own = x[batch], classes[batch]
        if alike.augmented:
            # A picture and a part of it; each under its own mask of dropout (SimCSE, Gao et al. 2021), which
            # alone makes two views of a picture that was not cut.
            seen, own = torch.cat([seen, x2[batch]]), torch.cat([own, own])
        seen = torch.nn.functional.dropout(seen, max(recipe.drop, 0.2 if alike.augmented else 0))
        out = seen @ weight.T if recipe.kind == "affine" else torch.cat([seen, seen @ weight.T], dim=1)
        out = torch.nn.functional.normalize(out, dim=1)
        for share, positive in _positives(alike, batch, recipe):
            loss = loss + share * loss_of(out, positive, own)
        optimiser.zero_grad()
        if torch.isfinite(loss):
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            kept, at = (best, best_step) if watch else (average.double().numpy(), step)
            wrong = f"the loss was {float(loss.detach())} at step {step + 1}"
            return kept, at, f"{wrong}: the state of step {at} is kept"
        optimiser.step()
        with torch.no_grad():
            # Early steps count little in it: the usual correction of a decay for a short history.
            average.lerp_(weight, 1 - min(recipe.ema, (1 + step) / (10 + step)))
        if watch and (step + 1) % recipe.every == 0:
            now = average.double().numpy()
            score = watch(now)
            since = since + 1
            if score > highest:
                best, best_step, highest, since = now, step + 1, score, 0
            elif since >= recipe.patience:
                break
    if watch:
        stopped = f"stopped at step {step + 1} of {recipe.steps}: the best of val was at step {best_step}"
        return best, best_step, stopped if best_step < recipe.steps else ""
    return average.double().numpy(), recipe.steps, ""


def _loss(alike: Alike, recipe: Recipe, start: Doubles) -> Loss:
    from pinflow.learning.loss import Loss

    width = len(start) if recipe.kind == "affine" else sum(start.shape)
    classes = int(alike.groupings[0].max(initial=-1)) + 1 if alike.codes else 0
    return Loss(
        recipe.loss, temperature=recipe.temperature, classes=classes, width=width, memory=recipe.memory
    )


def _positives(alike: Alike, batch: Ints, recipe: Recipe) -> list[tuple[float, torch.Tensor]]:
    """The terms of the loss: a share and a mask of who belongs together."""
    import torch

    share = 0.0 if not len(alike.pairs) else recipe.related_weight if alike.codes else 1.0
    copies = (2, 2) if alike.augmented else (1, 1)
    itself = np.eye(len(batch), dtype=bool)
    terms = []
    if share < 1:
        terms.append((1 - share, torch.from_numpy(np.tile(alike.mask(batch, batch) | itself, copies))))
    if share > 0:
        terms.append((share, torch.from_numpy(np.tile(alike.related(batch, batch) | itself, copies))))
    return terms


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine to zero."""
    warm = min(1.0, (step + 1) / recipe.warm_up)
    return warm * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def _residual(weight: Doubles) -> Head:
    """The head with the inner products of [x, weight @ x], but as many numbers out as in.

    I + W'W = S'S with S = I + U'(sqrt(1 + s^2) - 1)U from the singular values s and right vectors U of W.
    """
    _, strength, directions = np.linalg.svd(weight, full_matrices=False)
    gains = np.sqrt(1 + strength**2) - 1
    return Head("residual", {"directions": directions, "gains": gains})


def _unit(vectors: npt.NDArray[np.float32]) -> Doubles:
    doubles = vectors.astype(np.float64)
    unit: Doubles = doubles / np.maximum(np.linalg.norm(doubles, axis=1, keepdims=True), 1e-12)
    return unit
