"""Fitting a text tower: symmetric InfoNCE between what is written and what is seen.

A batch holds one text of each of its pictures; each text should find its picture among the batch's, and each
picture its text (Oord et al. 2018; Radford et al. 2021). Pictures that share the very same text are no
negatives of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.learning.text.tower import Tower

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
LEAST = 16  # pictures with words, below which there is no tower


@dataclass(frozen=True)
class Recipe:
    """How a tower is fitted."""

    hidden: int = 256
    rank: int = 128  # directions of the pictures' space that words can point to
    steps: int = 100
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    temperature: float = 0.07
    ridge: float = 0.3  # of the linear start, beside unit sentence vectors
    mixup: float = 0.0  # Beta(a, a) of FuseMix (Vouitsis et al. 2024, arXiv 2312.10144); 0: none


def fit_tower(
    pictures: Floats,
    sentences: Floats,
    of: Ints,
    recipe: Recipe | None = None,
    *,
    start: Floats | None = None,
    seed: int = 0,
) -> Tower:
    """The tower learned from `pictures` (n, d) unit vectors and `sentences` (m, t), `of` (m,) the picture
    that each is about. Starts from `start` (d, t), for sentences that lie in the pictures' space already,
    else from the ridge regression of pictures on words. Deterministic by seed.

    Raises `ValueError` with fewer than `LEAST` pictures, `FloatingPointError` where the loss is not finite.
    """
    import torch

    recipe = recipe or Recipe()
    if len(np.unique(of)) < LEAST:
        raise ValueError(f"{len(np.unique(of))} pictures have words, {LEAST} are needed")
    mean = pictures[np.unique(of)].mean(axis=0)
    if start is None:
        basis = _basis(pictures[np.unique(of)] - mean, recipe.rank)
    else:  # as it is: what another has learned may lie outside what these few pictures span
        basis = np.eye(pictures.shape[1], dtype=np.float32)
    seen = ((pictures - mean) @ basis.T).astype(np.float32)
    if start is None:
        start = _ridge(sentences, seen[of], recipe.ridge)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small matrices; and so the result does not depend on how many there are
    try:
        weights = _train(seen, sentences, of, start, recipe, seed)
    finally:
        torch.set_num_threads(threads)
    return Tower({**weights, "basis": basis, "mean": mean.astype(np.float32)})


def _basis(centred: Floats, rank: int) -> Floats:
    """Orthonormal rows (k, d): the directions in which pictures differ most."""
    rows, width = centred.shape
    # By the smaller of the two square matrices: thirty times as fast as the singular values of the whole.
    small = centred @ centred.T if rows < width else centred.T @ centred
    variance, vectors = np.linalg.eigh(small.astype(np.float64))
    variance, vectors = variance[::-1], vectors[:, ::-1]
    kept = max(1, min(rank, int((variance > 1e-8 * variance[0]).sum())))
    found = vectors[:, :kept].T @ centred if rows < width else vectors[:, :kept].T
    length = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(found / length, dtype=np.float32)


def _ridge(sentences: Floats, targets: Floats, strength: float) -> Floats:
    """(k, t) that maps sentences to targets."""
    x, y = sentences.astype(np.float64), targets.astype(np.float64)
    gram = x.T @ x + strength * np.eye(x.shape[1])
    return np.linalg.solve(gram, x.T @ y).T.astype(np.float32)


def _train(
    seen: Floats, sentences: Floats, of: Ints, start: Floats, recipe: Recipe, seed: int
) -> dict[str, Floats]:
    import torch
    from torch.nn import functional

    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    width = sentences.shape[1]
    parameters = {
        "skip": torch.from_numpy(start.copy()),
        "first": torch.randn((recipe.hidden, width), generator=generator) * width**-0.5,
        "first_bias": torch.zeros(recipe.hidden),
        "second": torch.zeros((len(start), recipe.hidden)),
    }
    tuned = {name: one.requires_grad_(True) for name, one in parameters.items()}
    optimiser = torch.optim.AdamW(tuned.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    words, things = torch.from_numpy(sentences), torch.from_numpy(seen)
    _, same = np.unique(np.round(sentences, 5), axis=0, return_inverse=True)
    texts = [np.flatnonzero(of == one) for one in np.unique(of)]
    # A picture counts by its direction, its distance from the average by how clear it is.
    things = things / things.norm(dim=1).mean().clamp_min(1e-9)
    for step in range(recipe.steps):
        chosen = rng.permutation(len(texts))[: recipe.batch]
        rows = np.array([rng.choice(texts[i]) for i in chosen])
        said, shown = words[rows], things[of[rows]]
        if recipe.mixup > 0:  # the same mixture on both sides is a new pair
            share = float(rng.beta(recipe.mixup, recipe.mixup))
            other = torch.from_numpy(rng.permutation(len(rows)))
            said = share * said + (1 - share) * said[other]
            shown = share * shown + (1 - share) * shown[other]
        found = said @ tuned["skip"].T
        found = found + functional.relu(said @ tuned["first"].T + tuned["first_bias"]) @ tuned["second"].T
        logits = functional.normalize(found, dim=1) @ shown.T / recipe.temperature
        if recipe.mixup == 0:
            alike = torch.from_numpy(same[rows][:, None] == same[rows][None, :])
            alike.fill_diagonal_(False)
            logits = logits.masked_fill(alike, -torch.inf)
        target = torch.arange(len(rows))
        loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {float(loss.detach())} at step {step}")
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * _schedule(step, recipe.steps)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(list(tuned.values()), 1.0)
        optimiser.step()
    return {name: one.detach().numpy().copy() for name, one in tuned.items()}


def _schedule(step: int, steps: int) -> float:
    """Linear warm-up over a tenth, then a half cosine to zero."""
    return min(1.0, (step + 1) / max(1, steps // 10)) * 0.5 * (1 + float(np.cos(np.pi * step / steps)))
