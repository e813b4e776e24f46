"""The evaluation as a person reads it: plots, and one page that needs nothing but itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

METRICS = {
    "recall@1": "recall@1",
    "recall@5": "recall@5",
    "recall@10": "recall@10",
    "r-precision": "R-precision",
    "map@r": "MAP@R",
}
DRAWN_LABELS = 40
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
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def confusion_plot(report: Mapping[str, Any]) -> bytes | None:
    """Before and after: which label the nearest neighbour has, by the query's label, as a PNG; None where
    there are too many labels to draw, or one alone."""
    from matplotlib.figure import Figure

    spaces = [space for space in ("frozen", "served") if space in report.get("confusion", {})]
    names = report.get("names", [])
    if not spaces or not 2 <= len(names) <= DRAWN_LABELS:
        return None
    side = 2.4 + 0.16 * len(names)
    figure = Figure(figsize=(2 * side, side), dpi=96, layout="constrained")
    for number, space in enumerate(spaces):
        axes = figure.add_subplot(1, len(spaces), number + 1)
        axes.imshow(report["confusion"][space], vmin=0, vmax=1, cmap="Greens")
        axes.set_title(space, fontsize=9)
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
        axes.set_yticks(range(len(names)), names if number == 0 else [], fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def page(
    report: Mapping[str, Any],
    picture: bytes,
    title: str,
    *,
    thumbnails: Mapping[str, bytes] | None = None,
    chapters: Sequence[str] = (),
) -> str:
    """The report as HTML: the decision and why, the plots, a table over all and by label, the worst queries
    with what they find, and `chapters` (HTML, see that module). `thumbnails`: WebP by sha256; queries without
    one are told by digest.
    """
    rows = [_row("all labels", report["overall"])]
    rows += [_row(label, spaces) for label, spaces in sorted(report["labels"].items())]
    heads = "".join(f"<th>{escape(f'{s} {m}')}</th>" for s in SPACES for m in METRICS.values())
    verdict = "promoted" if report["promoted"] else "not promoted"
    data = base64.b64encode(picture).decode()
    confused = confusion_plot(report)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}: evaluation</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
.wide {{ overflow-x: auto }}
.wide td:first-child {{ min-width: 8rem }}
img {{ max-width: 100% }}
figure {{ margin: 0; width: 10rem }}
.pictures {{ display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; align-items: flex-end }}
.pictures img {{ filter: none; height: 6rem; max-width: 10rem; object-fit: contain; border-radius: 4px }}
.example div img {{ height: 4rem; margin-right: .2rem }}
.transfer figure {{ width: auto }}
.transfer img {{ height: auto; width: 256px; max-width: 100% }}
th, td {{ padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #8884 }}
th:first-child, td:first-child {{ text-align: left }}
small {{ opacity: .6 }}
td small {{ white-space: nowrap }}
.queries img {{ filter: none; height: 5rem; border: 3px solid #c0504d; border-radius: 4px }}
.queries img.right {{ border-color: #2f7d6b }}
.queries img.query {{ border-color: transparent; margin-right: 1rem }}
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
<div class="wide"><table><tr><th>label</th>{heads}</tr>{"".join(rows)}</table></div>
{_agreement(report.get("nmi", {}))}
{_again(report)}
{_figure("Which label is nearest", confused)}
{_missed(report.get("worst", []), thumbnails or {})}
{"".join(chapters)}
</html>
"""


def _agreement(found: Mapping[str, float | None]) -> str:
    told = ", ".join(f"{escape(space)} {value:.3f}" for space, value in found.items() if value is not None)
    return f"<p>k-means clusters against labels (normalised mutual information): {told}.</p>" if told else ""


def _again(report: Mapping[str, Any]) -> str:
    """How often a part of a picture finds the whole, in each space."""
    found, gain = report.get("crops", {}), report.get("crops_gain", {})
    told = ", ".join(
        f"{escape(space)} {one['value']:.3f} ({gain[space]['value']:+.3f})"
        for space, one in found.items()
        if one["value"] is not None
    )
    asked = max((one["n"] for one in found.values()), default=0)
    return (
        f"<p>Inside a label: of {asked} crops this share finds its own picture first among those of its "
        f"label (and the difference to frozen): {told}.</p>"
        if told
        else ""
    )


def _figure(title: str, png: bytes | None) -> str:
    if png is None:
        return ""
    data = base64.b64encode(png).decode()
    return f'<h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{data}">'


def _missed(worst: Sequence[Mapping[str, Any]], thumbnails: Mapping[str, bytes]) -> str:
    """Each query, then what the served space finds nearest: green shares its label, red does not."""
    lines = []
    for query in worst:
        found = zip(query["neighbours"], query["right"], strict=True)
        shown = [_thumbnail(query["query"], "query", thumbnails)]
        shown += [_thumbnail(one, "right" if right else "wrong", thumbnails) for one, right in found]
        lines.append(f"<p>{''.join(shown)} <small>MAP@R {query['average']:.2f}</small></p>")
    return f'<h2>The worst queries</h2><div class="queries">{"".join(lines)}</div>' if lines else ""


def _thumbnail(sha256: str, kind: str, thumbnails: Mapping[str, bytes]) -> str:
    if sha256 not in thumbnails:
        return f"<code>{escape(sha256[:8])}</code> "
    data = base64.b64encode(thumbnails[sha256]).decode()
    return f'<img class="{kind}" alt="{kind}" src="data:image/webp;base64,{data}">'


def _row(name: str, spaces: Mapping[str, Any]) -> str:
    cells = [spaces.get(space, {}).get(metric) for space in SPACES for metric in METRICS]
    return f"<tr><td>{escape(name)}</td>{''.join(f'<td>{_cell(cell)}</td>' for cell in cells)}</tr>"


def _cell(figure: Mapping[str, float | None] | None) -> str:
    if not figure or figure["value"] is None:
        return "–"
    return f"{figure['value']:.3f}<br><small>{figure['low']:.2f} – {figure['high']:.2f}</small>"
