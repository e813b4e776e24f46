"""The model card: what a release is made of, how good it was measured to be, and what it is not for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SPACES = ("frozen", "candidate", "served")
UNKNOWN = "not stated"
_LIMITS = """\
- The pictures are what the sources showed for these labels; whom and what they leave out, the vectors have
  never seen. Labels are the words that were searched for, not what anybody checked.
- The figures are of pictures that training never saw, from the same sources. Other pictures may fare worse.
- The trunk was trained by others, on ImageNet unless its own card says otherwise, and brings their choices.
- Not for recognising people, nor for any decision about a person.
- A licence is what the source said of a picture, unchecked. A picture without one is not thereby free."""


def model_card(
    collection: str, about: Mapping[str, Any], *, licences: Iterable[str | None], splits: Iterable[str] = ()
) -> str:
    """Markdown. `about`: the description of a release (`encoder`, `labels`, `figures`, and, where known,
    `queries`, `why`, and what the evaluation says of `words` and `tags`); `licences`: of each pin; `splits`:
    of each pin, where that is known."""
    encoder, of = about["encoder"], [licence or UNKNOWN for licence in licences]
    parts = [
        f"# {collection}",
        str(about.get("description") or ""),
        "## Network",
        f"Trunk `{encoder.get('trunk')}` (sha256 {str(encoder.get('trunk_digest'))[:16]}), head "
        f"`{encoder.get('kind')}` ({str(encoder.get('digest'))[:16]}). {_served(about)}",
        "## Data",
        f"{len(of)} pictures.",
        _table(
            ("label", "query", "pictures", "status"),
            [
                (slug, label.get("query", slug), label.get("pictures", 0), label.get("status", ""))
                for slug, label in sorted(about["labels"].items())
            ],
        ),
        _counted("split", splits),
        "## Measured",
        _figures(about),
        _words(about.get("words") or {}),
        _tags(about.get("tags") or {}),
        "## Limits",
        _LIMITS,
        "## Licences",
        _counted("licence", of),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _served(about: Mapping[str, Any]) -> str:
    why = about.get("why")
    return f"Why this head: {why}." if why else ""


def _figures(about: Mapping[str, Any]) -> str:
    figures = about.get("figures") or {}
    metrics = list(dict.fromkeys(metric for space in SPACES for metric in figures.get(space, {})))
    if not metrics:
        return "Nothing yet: too few pictures that training never saw."
    queries = about.get("queries")
    asked = f" {queries} queries." if queries else ""
    rows = [
        (space, *(_interval(figures.get(space, {}).get(metric)) for metric in metrics)) for space in SPACES
    ]
    return f"Search by picture, on pictures unseen in tuning, with 95% intervals.{asked}\n\n" + _table(
        ("space", *metrics), rows
    )


def _words(found: Mapping[str, Any]) -> str:
    """Recall@10 of search by words, question by question."""
    figures = found.get("figures")
    if not figures:
        return f"Search by words: {found['why']}." if found else ""
    means = list(dict.fromkeys(name for of in figures.values() for name in of))
    rows = [
        (question, *(_interval(of.get(name, {}).get("recall@10")) for name in means))
        for question, of in figures.items()
    ]
    return f"Search by words, recall@10: {found['why']}.\n\n" + _table(("asked", *means), rows)


def _tags(found: Mapping[str, Any]) -> str:
    figures = {name: one for name, one in found.get("figures", {}).items() if one["value"] is not None}
    if not figures:
        return f"Tags: {found['why']}." if found else ""
    return f"Tags: {found['why']}.\n\n" + _table(
        ("figure", "on test pictures"), [(name, _interval(one)) for name, one in figures.items()]
    )


def _interval(figure: Mapping[str, float | None] | None) -> str:
    if figure is None or figure.get("value") is None:
        return "-"
    if figure.get("low") is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _counted(what: str, values: Iterable[str]) -> str:
    counts = Counter(values).most_common()
    return _table((what, "pictures"), counts) if counts else ""


def _table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    # A bar in a label would start a column.
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )
