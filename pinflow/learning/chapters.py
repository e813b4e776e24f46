"""The parts of the evaluation page beside search by picture: words, tags, style.

Each is HTML of its own; where a part has nothing to show, it says why. What they are fed is what the stages
wrote.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

QUESTIONS = {
    "written": "its own words, as they stand beside it",
    "partly": "its first few words, among others that nobody wrote",
    "unwritten": "its own words, with nothing written beside it: words that no training saw",
}
MEANS = {"chance": "chance", "captions": "caption-text search", "tower": "the tower", "served": "served"}
SUSPECTS = 12
SOURCES = {"style": "style", "content": "content"}


def words(report: Mapping[str, Any]) -> str:
    """What a search by words finds: `text.json` of the text encoder."""
    lines = [
        f"<tr><td>{escape(question)}</td>"
        + "".join(_estimates(report["figures"][name].get(means, {})) for means in MEANS)
        + "</tr>"
        for name, question in QUESTIONS.items()
        if name in report["figures"]
    ]
    asked = max((one["n"] for one in _leaves(report["figures"], "served")), default=0)
    heads = "".join(f"<th>{name}<br><small>recall@1, @10</small></th>" for name in MEANS.values())
    tried = ", ".join(f"{escape(name)} {value:.3f}" for name, value in report.get("validated", {}).items())
    return _chapter(
        "Search by words",
        f"<p>Served: <strong>{escape(_MEANT[report['means']])}</strong>. {escape(report['why'])}.</p>",
        f"<p>Recall@10 on validation, by which it was chosen: {tried}.</p>" if tried else "",
        f"<p>{asked} test pictures, each asked for with</p>" if lines else "",
        _table(f"<tr><th>asked with</th>{heads}</tr>{''.join(lines)}") if lines else "",
    )


_MEANT = {
    "captions": "what is written",
    "tower": "what is seen",
    "both": "what is written and what is seen, mixed",
}


def tags(
    report: Mapping[str, Any],
    *,
    drawn: bytes | None = None,
    suspects: Sequence[Mapping[str, Any]] = (),
    thumbnails: Mapping[str, bytes] | None = None,
) -> str:
    """What the tagger is worth: its report, plotted (PNG), and the labels that it doubts most."""
    figures, shown = report["figures"], thumbnails or {}
    lines = [
        f"<tr><td>{escape(name)}</td>{_cell(figures[key])}</tr>"
        for key, name in _TAGGER.items()
        if figures.get(key, {}).get("value") is not None
    ]
    doubts = [
        f"<figure>{_picture(shown, one['sha256'])}<figcaption>{escape(one['label'])} → "
        f"<strong>{escape(one['suggested'])}</strong><br><small>{one['probability']:.2f} against "
        f"{one['suggested_probability']:.2f}</small></figcaption></figure>"
        for one in suspects[:SUSPECTS]
    ]
    return _chapter(
        "Tags",
        f"<p>{escape(report['why'])}. Judged on test pictures; intervals: 95%, bootstrap over groups.</p>",
        _table("".join(lines)) if lines else "",
        _png("How sure the tagger was, how often it was right, and every tag", drawn) if drawn else "",
        f"<h3>{report['suspects']} labels that the tagger doubts</h3><p>By confident learning on pictures "
        f"that the tagger had not seen, the least believable first.</p>"
        f'<div class="pictures">{"".join(doubts)}</div>'
        if doubts
        else "",
    )


_TAGGER = {
    "accuracy": "accuracy: the likeliest tag is one of the picture's",
    "macro_f1": "macro-F1",
    "log_loss": "log loss",
    "ece": "expected calibration error",
    "ece_uncalibrated": "the same before calibration",
    "coverage": "pictures that are given tags; the tagger abstains from the rest",
    "precision_where_tagged": "given tags that are all right",
    "familiar": "pictures that are taken for known kinds",
    "stranger_auroc": "AUROC of known kinds against kinds left out",
}


def comparison(report: Mapping[str, Any], *, drawn: bytes | None = None, said: Sequence[str] = ()) -> str:
    """Other ways to learn tags: the report of the comparison, its chart (PNG) and what a reader has to know.
    The one that is served stands out."""
    lines = [
        f"<tr><td>{_served(row['name'], report['served'])}</td>"
        + "".join(_cell(row[name]) for name in ("accuracy", "macro_f1", "log_loss", "ece"))
        + f"<td>{row['parameters']:,}</td><td>{row['bytes'] / 1e6:.1f}</td>"
        + "".join(f"<td>{ms['median']:.0f} (p95 {ms['p95']:.0f})</td>" for ms in row["milliseconds"].values())
        + "</tr>"
        for row in report["rows"]
    ]
    heads = ("", "accuracy", "macro-F1", "log loss", "calibration error", "parameters", "MB")
    times = ("ms, 1 picture", "ms, 32 pictures")
    head = "<tr>" + "".join(f"<th>{name}</th>" for name in (*heads, *times)) + "</tr>"
    return _chapter(
        "Taggers compared",
        f"<p>{escape('. '.join(said))}.</p>",
        _table(head + "".join(lines)) if lines else "",
        _png("Accuracy against size and time, and how the networks learned", drawn) if drawn else "",
    )


def _served(name: str, served: str | None) -> str:
    return f"<strong>{escape(name)}</strong>, served" if name == served else escape(name)


def style(
    found: Mapping[str, Any],
    *,
    thumbnails: Mapping[str, bytes] | None = None,
    transferred: Sequence[bytes] = (),
    advice: str = "",
) -> str:
    """What the style space sees: `style_report`'s figures and examples, and content, style and result of one
    transfer (pictures), or `advice` on how to get it."""
    shown = thumbnails or {}
    lines = [
        f"<tr><td>{escape(name)}</td>{_cell(both['style'])}{_cell(both['content'])}</tr>"
        for name, both in found["figures"].items()
    ]
    examples = [
        f'<div class="pictures example">{_picture(shown, one["query"])}'
        + "".join(
            f"<div><small>nearest in {name}</small><br>"
            + "".join(_picture(shown, sha256) for sha256 in one[name])
            + "</div>"
            for name in SOURCES
        )
        + "</div>"
        for one in found["examples"]
    ]
    drawn = "".join(
        f'<figure><img alt="{name}" src="{_source(picture)}"><figcaption>{name}</figcaption></figure>'
        for name, picture in zip(("content", "style", "result"), transferred, strict=False)
    )
    heads = "<tr><th>nearest picture has the same, recall@1</th><th>by style</th><th>by content</th></tr>"
    return _chapter(
        "Style",
        f"<p>Style vectors hold how a picture is made, whatever is where in it. Of ten nearest pictures, the "
        f"two spaces share {found['shared']:.1f} on average.</p>"
        if found["shared"] is not None
        else "<p>There are too few pictures to compare styles.</p>",
        _table(heads + "".join(lines)) if lines else "",
        *examples,
        "<h3>Style transfer</h3>",
        f'<div class="pictures transfer">{drawn}</div>' if drawn else f"<p>{escape(advice)}</p>",
    )


def _chapter(title: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>" + "".join(part for part in parts if part)


def _table(rows: str) -> str:
    return f'<div class="wide"><table>{rows}</table></div>'


def _leaves(figures: Mapping[str, Any], means: str) -> list[Mapping[str, Any]]:
    return [one for of in figures.values() for one in of.get(means, {}).values()]


def _estimates(metrics: Mapping[str, Mapping[str, float | None]]) -> str:
    values = [metrics[name] for name in ("recall@1", "recall@10") if name in metrics]
    told = ", ".join("–" if one["value"] is None else f"{one['value']:.3f}" for one in values)
    last = values[-1] if values else {"low": None}
    reach = "" if last["low"] is None else f"<br><small>@10: {last['low']:.2f} – {last['high']:.2f}</small>"
    return f"<td>{told}{reach}</td>"


def _cell(figure: Mapping[str, float | None]) -> str:
    if figure["value"] is None:
        return "<td>–</td>"
    reach = "" if figure["low"] is None else f"<br><small>{figure['low']:.2f} – {figure['high']:.2f}</small>"
    return f"<td>{figure['value']:.3f}{reach}</td>"


def _picture(thumbnails: Mapping[str, bytes], sha256: str) -> str:
    if sha256 not in thumbnails:
        return f"<code>{escape(sha256[:8])}</code> "
    return f'<img alt="{escape(sha256[:8])}" src="{_source(thumbnails[sha256])}">'


def _png(title: str, data: bytes) -> str:
    return f'<img class="plot" alt="{escape(title)}" src="{_source(data)}">'


def _source(data: bytes) -> str:
    kind = "png" if data.startswith(b"\x89PNG") else "jpeg" if data.startswith(b"\xff\xd8") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
