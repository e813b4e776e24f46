"""Batches for contrastive training: a few pictures of each of a few classes.

Written here because `MPerClassSampler` of pytorch-metric-learning 2.9 refuses a batch larger than
`per_class` times the number of classes, and real collections have two labels or labels of one picture.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def batches(
    classes: Ints,
    rng: np.random.Generator,
    *,
    size: int = 128,
    per_class: int = 4,
    partners: Ints | None = None,
) -> Iterator[Ints]:
    """Endless batches of at most `size` distinct row numbers, the classes as balanced as they can be.

    `classes` (n,) gives the class of each row. With fewer classes than `size // per_class`, each gives
    more rows, but never one twice: a class of one picture gives one. `partners` (p, 2) are pairs of
    rows that belong together: half of the rows drawn bring one of theirs along.
    """
    members = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    if not members:
        return
    beside = _beside(len(classes), partners)
    while True:
        chosen = rng.permutation(len(members))[: max(1, size // per_class)]
        share = max(per_class, size // len(chosen))
        rows: list[int] = []
        for one in chosen:
            rows += _draw(members[one], share, beside, rng)
        # First come, first kept: a partner may have come along with two rows.
        yield np.array(list(dict.fromkeys(rows))[:size], dtype=np.int64)


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
