"""The comparison as a picture: accuracy against size and time, and how the networks learned."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

COLOURS = ("#9aa5b1", "#6b7c93", "#2f7d6b", "#3f9f89", "#66c2ac", "#d9a441", "#b0602b", "#7d3f8c")

COLOURS_KEPT = 64  # edges of letters included


def chart(rows: Sequence[Mapping[str, Any]], title: str = "") -> bytes:
    """`compare`'s rows as a PNG of some 30 kB: an event log keeps it."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter
    from PIL import Image

    figure = Figure(figsize=(11, 3.6), dpi=110, layout="constrained")
    size, times, curves = figure.subplots(1, 3)
    for axes, label in ((size, "file size, MB"), (times, "processor ms for one picture, median to p95")):
        for colour, row in zip(COLOURS, rows, strict=False):
            accuracy, x = row["accuracy"], row["bytes"] / 1e6
            if axes is times:
                x = row["milliseconds"]["1"]["median"]
            reach = [[accuracy["value"] - accuracy["low"]], [accuracy["high"] - accuracy["value"]]]
            axes.errorbar(
                x, accuracy["value"], reach, fmt="o", color=colour, capsize=2, linewidth=1, label=row["name"]
            )
            if axes is times:
                axes.plot([x, row["milliseconds"]["1"]["p95"]], [accuracy["value"]] * 2, color=colour)
        axes.set(xscale="log", xlabel=label, ylabel="accuracy, out of fold")
        axes.xaxis.set_minor_formatter(NullFormatter())  # over one decade they would run into each other
    size.legend(frameon=False, fontsize=7)
    for colour, row in zip(COLOURS, rows, strict=False):
        if row["curve"]:
            epochs = range(1, len(row["curve"]) + 1)
            curves.plot(epochs, [one["val"] for one in row["curve"]], color=colour, label=row["name"])
            curves.plot(epochs, [one["train"] for one in row["curve"]], color=colour, linestyle=":")
    curves.set(xlabel="epoch", ylabel="log loss: validation, training dotted", xscale="log")
    curves.legend(frameon=False, fontsize=7)
    for axes in (size, times, curves):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=9)
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLOURS_KEPT).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
