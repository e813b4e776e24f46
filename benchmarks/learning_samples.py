"""The sample collections: small and mixed, so what matters is what is not lost. Labels known and unseen,
groups of the same thing, and pictures by their captions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks.learning_product import Product, crops_of, served, told

if TYPE_CHECKING:
    from pinflow.learning.text.choose import Relevance

Ints = npt.NDArray[np.int64]


def on_samples(folder: Path, seeds: tuple[int, ...]) -> dict[str, Any]:
    """market: labels, groups, captions. shop: categories."""
    from benchmarks.learning import shown
    from pinflow.learning.protocols import known_and_unseen
    from pinflow.learning.trunk import load_trunk
    from pinflow.sample.fetch import fetch

    samples, trunk = fetch(folder), load_trunk(device="cpu")
    figures: dict[str, Any] = {}
    for name, one in (("market", samples.market), ("shop", samples.shop)):
        pictures = [one.path(row).read_bytes() for row in one.rows]
        labels, items = [row.label for row in one.rows], [row.item for row in one.rows]
        seen, crops = trunk.look(pictures), crops_of(trunk, pictures)
        product = served(pictures, labels, items, seen, crops)
        figures[name] = told(product)
        of, same = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in (labels, items))
        protocols = known_and_unseen(seen.last, of, groups=same, stages=seen.stages, crops=crops, seeds=seeds)
        figures[name] |= {
            protocol: {which: shown(estimate) for which, estimate in found.items()}
            for protocol, found in protocols.items()
        }
        if name == "market":
            figures[name] |= by_caption(product, pictures, [row.caption for row in one.rows], labels)
    return figures


def by_caption(
    product: Product, pictures: Sequence[bytes], captions: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Recall of the picture of an unseen caption, by meaning (a tower into the served and the frozen space),
    by what is written, and by what is served of these."""
    import pyarrow as pa

    from benchmarks.learning import shown
    from pinflow.learning.head import IDENTITY
    from pinflow.learning.text.choose import Words, choose
    from pinflow.learning.text.contenders import of_minilm
    from pinflow.learning.text.minilm import load_minilm
    from pinflow.retrieval.captions import Captions

    data, fit = product.data, product.fit
    of = {hashlib.sha256(picture).hexdigest(): i for i, picture in enumerate(pictures)}
    texts = [captions[of[one]] for one in data.sha256.tolist()]
    names = {name: name for name in set(labels)}
    own = [[data.label_names[code] for code in codes if code >= 0] for codes in data.labels.tolist()]

    def search(hidden: frozenset[int]) -> Relevance:
        said = pa.array([None if i in hidden else text for i, text in enumerate(texts)], pa.string())
        empty = pa.array([None] * len(texts), pa.string())
        columns = {"title": empty, "caption": said, "labels": pa.array(own, pa.list_(pa.string()))}
        index = Captions(pa.table(columns), names)

        def relevance(text: str) -> tuple[npt.NDArray[np.float32], bool]:
            found = np.zeros(len(texts), np.float32)
            scores, at, whole = index.find(text)
            found[at] = scores
            return found, whole

        return relevance

    contenders = of_minilm(load_minilm().encode)
    found: dict[str, Any] = {}
    for space, head in (("frozen", IDENTITY), ("served", fit.served)):
        words = Words(data.space(head), data.split, data.fold, [[text] for text in texts], own)
        choice = choose(
            words, contenders, search(frozenset()), lambda asked: search(frozenset(asked.tolist()))
        )
        found[f"caption to picture, {space} space"] = {
            question: {means: shown(metrics["recall@10"]) for means, metrics in of_question.items()}
            for question, of_question in choice.figures.items()
        }
    return found
