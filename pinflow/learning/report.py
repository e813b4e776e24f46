"""The evaluation as a person reads it: one plot, and one page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from typing import Any

METRICS = {"recall@1": "recall@1", "recall@10": "recall@10", "map@r": "MAP@R"}
SPACES = {"frozen": "#9aa5b1", "candidate": "#d9a441", "served": "#2f7d6b"}


def plot(report: Mapping[str, Any]) -> bytes:
    """Every space's metrics with their 95% intervals, as a PNG of some 20 kB."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8), dpi=96, layout="constrained")
    axes = figure.subplots()
    for shift, (space, colour) in enumerate(SPACES.items()):
        figures = [report["overall"].get(space, {}).get(metric) for metric in METRICS]
        shown = [(i, f) for i, f in enumerate(figures) if f and f["value"] is not None]
        values = [f["value"] for _, f in shown]
        reach = [[f["value"] - f["low"] for _, f in shown], [f["high"] - f["value"] for _, f in shown]]
        places = [i + (shift - 1) * 0.26 for i, _ in shown]
        axes.bar(
            places,
            values,
            0.24,
            yerr=reach,
            color=colour,
            label=space,
            error_kw={"elinewidth": 1, "capsize": 2},
        )
    axes.set_xticks(range(len(METRICS)), list(METRICS.values()))
    axes.set_ylim(0, 1)
    axes.set_title(
        f"{report['queries']} queries, {report['gallery']} unseen pictures, 95% intervals", fontsize=9
    )
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def page(report: Mapping[str, Any], picture: bytes, title: str) -> str:
    """The report as HTML: the decision and why, the plot, and a table over all and by label."""
    rows = [_row("all labels", report["overall"])]
    rows += [_row(label, spaces) for label, spaces in sorted(report["labels"].items())]
    heads = "".join(f"<th>{escape(f'{s} {m}')}</th>" for s in SPACES for m in METRICS.values())
    verdict = "promoted" if report["promoted"] else "not promoted"
    data = base64.b64encode(picture).decode()
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}: evaluation</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884 }}
th:first-child, td:first-child {{ text-align: left }}
small {{ opacity: .6 }}
@media (prefers-color-scheme: dark) {{
  body {{ background: #16181b; color: #e6e6e6 }}
  img {{ filter: invert(.9) hue-rotate(180deg) }}
}}
</style>
<h1>{escape(title)}: evaluation</h1>
<p>The candidate was <strong>{verdict}</strong>: {escape(str(report["why"]))}.</p>
<p>{report["queries"]} test pictures ask, {report["gallery"]} pictures that no training saw answer; a picture
is relevant if it shares a label. Intervals: 95%, bootstrap over queries.</p>
<img alt="Metrics of frozen, candidate and served" src="data:image/png;base64,{data}">
<table><tr><th>label</th>{heads}</tr>{"".join(rows)}</table>
</html>
"""


def _row(name: str, spaces: Mapping[str, Any]) -> str:
    cells = [spaces.get(space, {}).get(metric) for space in SPACES for metric in METRICS]
    return f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_cell(cell)}</td>' for cell in cells)}</tr>"


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if not figure or figure["value"] is None:
        return "–"
    return f"{figure['value']:.3f}<br><small>{figure['low']:.2f} – {figure['high']:.2f}</small>"
