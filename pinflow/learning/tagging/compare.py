"""The comparison: every contender on the same stratified group folds, with the same budget for tuning.

Each may try three settings, chosen by log loss on an inner fifth of the first fold's training pictures;
in every fold that inner fifth also stops training and sets the temperature, for all of them alike. What is
reported is out of fold. Networks run in plain PyTorch on the CPU, so that times compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Ints
from pinflow.learning.tagging.calibrate import fit_temperature, log_losses, softmax, truth
from pinflow.learning.tagging.contenders import Contender, Predict
from pinflow.learning.tagging.folds import FOLDS, stratified_folds
from pinflow.learning.tagging.measure import figures

BATCHES = {1: 30, 32: 8}  # pictures at once, and how often that is timed
INNER = 5  # one part in so many is the inner validation part


def compare(
    pictures: Sequence[bytes],
    tags: Ints,
    groups: npt.NDArray[np.str_],
    makers: Sequence[Callable[[], Contender]],
    *,
    folds: int = FOLDS,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """One row a contender, in order: figures with 95% intervals, size, times, the chosen setting and the
    learning curve of the first fold.

    `pictures`: encoded; `tags` int64 (n,) from 0, one a picture; `groups` (n,).
    """
    parts = stratified_folds(tags, groups, most=folds, seed=seed)
    made = [make() for make in makers]
    rows = [_row(one, pictures, tags, groups, parts, seed, say) for one in made]
    times = _times([one.predict for one in made], pictures)
    return [{**row, "milliseconds": taken} for row, taken in zip(rows, times, strict=True)]


def _row(
    contender: Contender,
    pictures: Sequence[bytes],
    tags: Ints,
    groups: npt.NDArray[np.str_],
    parts: Ints,
    seed: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    from safetensors.torch import save

    started = time.perf_counter()
    contender.prepare(pictures)
    prepared = time.perf_counter() - started
    true = truth(tags[:, None], contender.count)
    probabilities = np.zeros(true.shape)
    setting = contender.settings[0]
    curve: list[dict[str, float]] = []
    trials: dict[float, float] = {}
    for fold in np.unique(parts):
        train, val = _inner(np.flatnonzero(parts != fold), tags, groups, seed)
        if fold == 0:
            for tried in contender.settings:
                contender.fit(tags, train, val, tried)
                trials[tried] = _loss(contender, true, val)
            setting = min(trials, key=lambda tried: trials[tried])
        contender.fit(tags, train, val, setting)
        curve = [asdict(epoch) for epoch in contender.curve] if fold == 0 else curve
        contender.temperature = fit_temperature(contender.logits(val), true[val])
        inside = np.flatnonzero(parts == fold)
        probabilities[inside] = softmax(contender.logits(inside), contender.temperature)
    state = {name: value.contiguous().clone() for name, value in contender.state().items()}
    seconds = {"prepare": prepared, "all": time.perf_counter() - started}
    found: dict[str, Any] = {
        "name": contender.name,
        **{name: asdict(one) for name, one in figures(probabilities, true, groups, seed=seed).items()},
        "parameters": sum(value.numel() for value in state.values()),
        "bytes": len(save(state)),
        "setting": setting,
        "trials": {str(tried): loss for tried, loss in trials.items()},
        "curve": curve,
        "seconds": seconds,
    }
    say(f"{contender.name}: accuracy {found['accuracy']['value']:.3f}, {seconds['all']:.0f} s")
    return found


def _inner(rows: Ints, tags: Ints, groups: npt.NDArray[np.str_], seed: int) -> tuple[Ints, Ints]:
    """The training pictures without, and the inner validation part."""
    inner = stratified_folds(tags[rows], groups[rows], most=INNER, seed=seed + 1)
    return rows[inner != 0], rows[inner == 0]


def _loss(contender: Contender, true: npt.NDArray[np.bool_], rows: Ints) -> float:
    logits = contender.logits(rows)
    return float(log_losses(softmax(logits, fit_temperature(logits, true[rows])), true[rows]).mean())


def _times(predicts: Sequence[Predict], pictures: Sequence[bytes]) -> list[dict[str, dict[str, float]]]:
    """From encoded pictures to probabilities, processor milliseconds a call, of all cores: median and 95th
    percentile. By the clock a busy machine would be measured too. The contenders take turns."""
    found: list[dict[str, dict[str, float]]] = [{} for _ in predicts]
    for size, rounds in BATCHES.items():
        batch = [pictures[i % len(pictures)] for i in range(size)]
        taken = np.zeros((rounds + 1, len(predicts)))
        for turn in taken:
            for number, predict in enumerate(predicts):
                started = time.process_time()
                predict(batch)
                turn[number] = 1000 * (time.process_time() - started)
        for number, own in enumerate(taken[1:].T):  # the first round warms up
            found[number][str(size)] = {"median": float(np.median(own)), "p95": float(np.quantile(own, 0.95))}
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The comparison as a Markdown table."""
    head = (
        "| | accuracy | macro-F1 | log loss | ECE | parameters | MB | ms, 1 picture | ms, 32 pictures |\n"
        "|---|---|---|---|---|--:|--:|--:|--:|\n"
    )
    return head + "\n".join(_line(row) for row in rows)


def _line(row: Mapping[str, Any]) -> str:
    measures = [
        f"{row[name]['value']:.3f} [{row[name]['low']:.2f}, {row[name]['high']:.2f}]"
        for name in ("accuracy", "macro_f1", "log_loss", "ece")
    ]
    times = [f"{t['median']:.0f} (p95 {t['p95']:.0f})" for t in row["milliseconds"].values()]
    size = [f"{row['parameters']:,}", f"{row['bytes'] / 1e6:.1f}"]
    return "| " + " | ".join([str(row["name"]), *measures, *size, *times]) + " |"
