"""A tagger's report as a picture: how sure it was against how often it was right, and every tag."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

TAGS_DRAWN = 24


def plot(report: Mapping[str, Any]) -> bytes | None:
    """`TaggerFit.to_json` as a PNG of some 30 kB; None where nothing was tested."""
    if not report["reliability"]:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.0), dpi=96, layout="constrained")
    sure, tags = figure.subplots(1, 2, width_ratios=[1, 1.5])
    bins = report["reliability"]
    sure.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1)
    sizes = [12 + 3 * one["pictures"] ** 0.7 for one in bins]
    sure.scatter([one["sure"] for one in bins], [one["right"] for one in bins], sizes, color="#2f7d6b")
    sure.set(xlabel="probability", ylabel="share right", xlim=(0, 1), ylim=(-0.03, 1.03))
    accuracy, ece = report["figures"]["accuracy"], report["figures"]["ece"]
    sure.set_title(f"accuracy {_told(accuracy)}\nECE {_told(ece)}", fontsize=8)
    drawn = sorted(report["tags"].items(), key=lambda one: -one[1]["tested"])[:TAGS_DRAWN]
    places = range(len(drawn))
    tags.barh(places, [one["tested"] for _, one in drawn], color="#d8dee5", label="test pictures")
    tags.barh(places, [one["found"] for _, one in drawn], color="#2f7d6b", label="found")
    tags.set_yticks(places, [name[:24] for name, _ in drawn], fontsize=7)
    tags.invert_yaxis()
    tags.legend(frameon=False, fontsize=7, loc="lower right")
    for axes in (sure, tags):
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _told(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]"
