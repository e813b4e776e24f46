"""Which hand, kind and time is a drawing closest to? Votes of neighbours on attributes, calibrated.

Emoji as four vendors draw them stand in for paintings: the vendor is the school, the category the type, the
subcategory the style, the version of Unicode that added it the time. Everything is chosen and calibrated
on 957 emoji; the other 900, none of whose drawings may answer, only measure. Peers, on the same vectors:
`majority`, the most frequent value; `knn`, a plain vote of the ten nearest by content.

    python -m benchmarks.lookup [--quick]
    python -m benchmarks.lookup --release FOLDER [--by author]

The second form measures a release of paintings: what was calibrated with it, and anew with all works of
an author left out.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import emoji
from benchmarks.learning import emoji_vectors
from benchmarks.report import finish, record
from benchmarks.style import _on_white
from pinflow.learning.evaluate import bootstrap, paired_gain
from pinflow.retrieval.attributes import Attribute, Facet, Span
from pinflow.retrieval.ballot import outsiders
from pinflow.retrieval.votes import LEVEL, Vote, fit_votes
from pinflow.retrieval.votes import measured as votes_measured
from pinflow.settings import Settings

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
PLAIN = 10  # neighbours of the plain vote
QUICK = 400  # emoji, half of them to learn from


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK} of the emoji, by content alone")
    arguments.add_argument("--release", type=Path, help="the folder of a release, e.g. of paintings")
    arguments.add_argument("--by", default="author", help="what is left out as a whole")
    given = arguments.parse_args()
    if given.release:
        print(json.dumps(of_release(given.release, given.by), sort_keys=True))
        return
    folder = Settings().home_path / "bench" / "emoji"
    data = emoji.fetch(folder)
    spaces = {"shared": _unit(emoji_vectors(folder, data, wide=False))}
    if not given.quick:
        spaces["style"] = _styles(folder, data)
    kept = _some(data) if given.quick else np.arange(len(data.of))
    described = emoji.described(folder)
    known = [described[name] for name in data.name[kept].tolist()]
    added = np.array([when for _, when in known])
    attributes: dict[str, Attribute] = {
        "vendor (school)": Facet("vendor", data.vendor[kept], list(emoji.VENDORS)),
        "category (type)": _facet("category", data.category[kept].tolist()),
        "subcategory (style)": _facet("subcategory", [kind for kind, _ in known]),
        "added in (time)": Span("added in", added, added),
    }
    spaces = {name: np.ascontiguousarray(vectors[kept]) for name, vectors in spaces.items()}
    found, ratios = measured(attributes, spaces, data.of[kept], data.train[kept])
    line = finish("lookup", ratios, found, quick=given.quick, pictures=len(kept), threads=1)
    if not given.quick:
        record(line, "python -m benchmarks.lookup")


def measured(
    attributes: dict[str, Attribute], spaces: dict[str, Floats], groups: Ints, learn: Mask
) -> tuple[dict[str, Any], dict[str, float]]:
    """Calibrated on the rows to `learn` from, which alone answer; measured on the others."""
    started = time.perf_counter()
    rows = np.arange(len(groups))
    mine = {name: _only(one, learn) for name, one in attributes.items()}
    votes = fit_votes(mine, spaces, learn, groups, rows)
    told: dict[str, Any] = {"seconds of calibration": time.perf_counter() - started}
    ratios: dict[str, float] = {}
    asked = rows[~learn]
    for name, vote in votes.items():
        near = outsiders(spaces[vote.space], asked, groups, vote.kernel.count, learn)
        told |= {f"{name}, space": vote.space, f"{name}, neighbours": vote.kernel.count}
        attribute = attributes[name]
        if isinstance(attribute, Span):
            told |= _span(name, attribute, vote, near, asked)
            continue
        plain = outsiders(spaces["shared"], asked, groups, PLAIN, learn)[1]
        figure, ratio = _facets(name, attribute, vote, near, plain, asked, groups)
        told, ratios = told | figure, ratios | ratio
    return told, ratios


def _facets(
    name: str, facet: Facet, vote: Vote, near: Any, plain: Ints, asked: Ints, groups: Ints
) -> tuple[dict[str, Any], dict[str, float]]:
    values, names = len(facet.values), groups[asked].astype(np.str_)
    ours = vote.shares(facet, *near)
    counts = np.apply_along_axis(np.bincount, 1, facet.codes[plain], minlength=values)
    first = np.eye(values)[facet.codes[plain[:, 0]]]
    knn = (counts + first / 2) / (PLAIN + 0.5)  # of equals the one that the nearest has
    majority = np.bincount(facet.codes[facet.known], minlength=values).argmax()
    right = {
        "ours": ours.argmax(axis=1) == facet.codes[asked],
        "knn": knn.argmax(axis=1) == facet.codes[asked],
        "majority": majority == facet.codes[asked],
    }
    told: dict[str, Any] = {}
    for who, sure in (("ours", vote.confidence(ours)), ("knn", knn.max(axis=1))):
        for measure, one in votes_measured(sure, right[who], names).items():
            told[f"{name}, {who}, {measure.replace('_', ' ')}"] = _rounded(one)
    told[f"{name}, majority, accuracy"] = float(right["majority"].mean())
    gain = paired_gain(right["ours"].astype(np.float64), right["knn"].astype(np.float64))
    told[f"{name}, gain over knn"] = _rounded(asdict(gain))
    wrong = {who: 1 - float(hits.mean()) for who, hits in right.items()}
    return told, {f"{peer}, {name}": wrong[peer] / wrong["ours"] for peer in ("knn", "majority")}


def _span(name: str, span: Span, vote: Vote, near: Any, asked: Ints) -> dict[str, Any]:
    low, middle, high = vote.interval(span, *near).T
    true = (span.first[asked] + span.last[asked]) / 2
    everyone = float(np.median((span.first + span.last) / 2))
    inside = ((low <= true) & (true <= high)).astype(np.float64)
    error, plain = np.abs(middle - true), np.abs(everyone - true)
    return {
        f"{name}, coverage of the {LEVEL:.0%} interval": _rounded(asdict(bootstrap(inside))),
        f"{name}, width of the interval, median": float(np.median(high - low)),
        f"{name}, ours, error": _rounded(asdict(bootstrap(error))),
        f"{name}, less than the median's": _rounded(asdict(paired_gain(plain, error))),
    }


def of_release(folder: Path, by: str) -> dict[str, Any]:
    """What was calibrated with a release, and its figures with everything of one `by` left out together."""
    from pinflow.retrieval.release import Release

    release = Release.open(folder)
    known = release.attributes
    if not isinstance(whole := known.get(by), Facet):
        raise SystemExit(f"no attribute {by!r} to leave out; there are {', '.join(known)}")
    spaces = {"shared": np.asarray(release.shared.vectors)}
    if release.style is not None:
        spaces["style"] = np.asarray(release.style.vectors)
    rows = np.arange(release.pins.num_rows)
    groups = np.where(whole.known, whole.codes, len(whole.values) + rows)
    votes = fit_votes(known, spaces, np.ones(len(rows), np.bool_), groups, rows)
    return {
        "released": {name: vote.figures for name, vote in release.votes.items()},
        f"leave-{by}-out": {name: vote.figures for name, vote in votes.items()},
    }


def _only(attribute: Attribute, rows: Mask) -> Attribute:
    """The attribute as if no other row had it."""
    if isinstance(attribute, Facet):
        return Facet(attribute.name, np.where(rows, attribute.codes, -1), attribute.values)
    ends = (np.where(rows, end, np.nan) for end in (attribute.first, attribute.last))
    return Span(attribute.name, *ends)


def _styles(folder: Path, data: emoji.Emoji) -> Floats:
    """Unit vectors by style, their map fitted on the emoji that are learned from."""
    from pinflow.learning.style.statistics import load_style
    from pinflow.learning.style.whitening import fit_whitening
    from pinflow.learning.weights import DEFAULT

    path = folder / "styles.npy"
    if not path.is_file():
        np.save(path, load_style(DEFAULT, device="cpu").encode([_on_white(png) for png in data.png]))
    statistics = np.load(path)
    return fit_whitening(statistics[data.train]).apply(statistics)


def _some(data: emoji.Emoji) -> Ints:
    chosen = [np.unique(data.of[data.train == side])[: QUICK // 2] for side in (True, False)]
    return np.flatnonzero(np.isin(data.of, np.concatenate(chosen)))


def _facet(name: str, values: list[str]) -> Facet:
    names, codes = np.unique(values, return_inverse=True)
    return Facet(name, codes.astype(np.int64), names.tolist())


def _unit(vectors: Floats) -> Floats:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _rounded(one: dict[str, Any]) -> list[Any]:
    return [None if one[part] is None else round(one[part], 4) for part in ("value", "low", "high")]


if __name__ == "__main__":
    main()
