"""Style beside content: what each space finds of the pictures that no training saw."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from pinflow.learning.dataset import Dataset, Floats, Ints, Mask
from pinflow.learning.evaluate import bootstrap, neighbours, per_query

EXAMPLES, NEAREST = 4, 5
TEN = 10
MOST = 20_000  # pictures, evenly spread, among which examples are looked for


def style_report(data: Dataset, content: Floats, style: Floats, *, seed: int = 0) -> dict[str, Any]:
    """Plain dicts and numbers: how often the nearest picture shares a label, or an attribute, in each space;
    how many of ten neighbours the spaces share; and examples, pictures by sha256.

    `content` and `style` (n, d): unit vectors of the rows of `data`. Test pictures ask; recall among these,
    examples among all.
    """
    test = np.flatnonzero(data.in_splits("test"))
    spaces = {"style": style, "content": content}

    def alike(codes: Ints) -> Any:
        def same(rows: Ints, others: Ints) -> Mask:
            mine, theirs = codes[rows][:, None], codes[others][None, :]
            return np.asarray((mine == theirs) & (mine >= 0))

        return same

    tests = {"label": data.same_label, **{name: alike(codes) for name, codes in data.attributes.items()}}
    figures: dict[str, Any] = {}
    for name, relevant in tests.items():
        scores = {one: per_query(space, test, test, relevant) for one, space in spaces.items()}
        if len(scores["style"].rows):
            figures[name] = {
                one: asdict(bootstrap(score.values["recall@1"], seed=seed)) for one, score in scores.items()
            }
    everything = np.arange(len(data))[:: max(1, -(-len(data) // MOST))]
    near = {one: neighbours(space, test, everything, TEN) for one, space in spaces.items()}
    shared = [
        len(np.intersect1d(mine, theirs)) for mine, theirs in zip(near["style"], near["content"], strict=True)
    ]
    # Where the two differ most, a person sees best what each of them means.
    order = np.argsort(shared, kind="stable")[:EXAMPLES]
    return {
        "queries": len(test),
        "figures": figures,
        "shared": float(np.mean(shared)) if shared else None,
        "examples": [
            {
                "query": str(data.sha256[test[i]]),
                **{one: data.sha256[rows[i, :NEAREST]].tolist() for one, rows in near.items()},
            }
            for i in order.tolist()
        ],
    }
