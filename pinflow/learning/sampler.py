"""Batches for contrastive training: a few pictures of each of a few classes, from any mixture of positives.

Written here because `MPerClassSampler` of pytorch-metric-learning 2.9 refuses a batch larger than
`per_class` times the number of classes, and real collections have two labels or labels of one picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def batches(
    classes: Ints | Sequence[Ints],
    rng: np.random.Generator,
    *,
    size: int = 128,
    per_class: int = 4,
    partners: Ints | None = None,
) -> Iterator[Ints]:
    """Endless batches of at most `size` distinct row numbers, the classes as balanced as they can be.

    `classes` (n,) gives the class of each row, -1 for none; of several such groupings (label, style,
    cluster) each batch follows the next one in turn. With fewer classes than `size // per_class`, each gives
    more rows, but never one twice: a class of one picture gives one. `partners` (p, 2) are pairs of
    rows that belong together: half of the rows drawn bring one of theirs along.
    """
    groupings = [classes] if isinstance(classes, np.ndarray) else list(classes)
    members = [_members(one) for one in groupings]
    members = [one for one in members if one]
    if not members:
        return
    beside = _beside(len(groupings[0]), partners)
    while True:
        for own in members:
            chosen = rng.permutation(len(own))[: max(1, size // per_class)]
            share = max(per_class, size // len(chosen))
            rows: list[int] = []
            for one in chosen:
                rows += _draw(own[one], share, beside, rng)
            # First come, first kept: a partner may have come along with two rows.
            yield np.array(list(dict.fromkeys(rows))[:size], dtype=np.int64)


def _members(classes: Ints) -> list[Ints]:
    """The rows of each class."""
    order = np.argsort(classes, kind="stable")
    order = order[classes[order] >= 0]
    edges = np.flatnonzero(np.diff(classes[order])) + 1
    return [rows for rows in np.split(order, edges) if len(rows)]


def _draw(rows: Ints, share: int, beside: list[list[int]], rng: np.random.Generator) -> list[int]:
    drawn: list[int] = rng.permutation(rows)[:share].tolist()
    for i in drawn[: share // 2]:
        if beside[i]:
            drawn.append(beside[i][int(rng.integers(len(beside[i])))])
    # Partners take the place of the rows drawn last, so the share stays what it was.
    keep = max(0, share - (len(drawn) - min(share, len(rows))))
    return drawn[:keep] + drawn[min(share, len(rows)) :]


def _beside(n: int, partners: Ints | None) -> list[list[int]]:
    beside: list[list[int]] = [[] for _ in range(n)]
    for a, b in [] if partners is None else partners.tolist():
        beside[a].append(b)
        beside[b].append(a)
    return beside
