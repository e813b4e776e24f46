"""The terminal: progress while a run goes on, and tables at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as Rich
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

from pinflow.commands.summary import METRICS, SPACES

if TYPE_CHECKING:
    from pinflow.pipeline.run import Tell

HEADINGS = {
    "A": "scrape and curate",
    "B": "tune the encoder",
    "C": "embed, index, map",
    "D": "gallery to release",
}

LOG_WIDTH = 120  # columns


class Console:
    """Everything that a person sees of a run. Text is printed as it is: brackets in it are no markup."""

    def __init__(self) -> None:
        self.rich = Rich(highlight=False, markup=False, emoji=False)
        if not self.rich.is_terminal:  # a log has no width of its own
            self.rich.width = max(self.rich.width, LOG_WIDTH)

    def say(self, text: str, style: str | None = None) -> None:
        """One line, which a narrow terminal may wrap but we do not."""
        self.rich.print(text, style=style, soft_wrap=True)

    @contextmanager
    def showing(self, collection: str) -> Iterator[Tell]:
        """A line a phase: how far it is and what it works on; one plain line each where nobody watches."""
        from pinflow.pipeline.stages import STAGES

        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[now]}", style="dim", markup=False, table_column=Column(no_wrap=True)),
        )
        with Progress(*columns, console=self.rich, disable=not self.rich.is_terminal) as progress:
            tasks: dict[str, Any] = {}

            def tell(stage: str, label: str | None, done: int, of: int) -> None:
                phase = STAGES[stage].phase
                if phase not in tasks:
                    for task in tasks.values():
                        _finish(progress, task)
                    heading = f"{collection}: {HEADINGS[phase]}"
                    tasks[phase] = progress.add_task(heading, total=of, now="")
                    if not self.rich.is_terminal:
                        self.say(heading)
                progress.update(tasks[phase], completed=done, total=of, now=f"{stage} {label or ''}")

            yield tell
            for task in tasks.values():
                _finish(progress, task)

    def print_summaries(self, summaries: Sequence[Mapping[str, Any]]) -> None:
        """The tables of one run over some collections, and what was wrong."""
        for summary in summaries:
            self.rich.print(_labels_table(summary))
        self.rich.print(_figures_table(summaries))
        for summary in summaries:
            if summary["why"]:
                self.say(f"{summary['collection']}: {summary['why']}", "dim")
        self.rich.print(_seconds_table(summaries))
        for summary in summaries:
            for slug, label in summary["labels"].items():
                if label["reason"]:
                    self.say(f"incomplete {summary['collection']}/{slug}: {label['reason']}", "yellow")
            for step, error in summary["failed"].items():
                self.say(f"failed {summary['collection']}/{step}: {error}", "red")


def _finish(progress: Progress, task: Any) -> None:
    total = next(one.total for one in progress.tasks if one.id == task)
    progress.update(task, completed=total, now="")


def _labels_table(summary: Mapping[str, Any]) -> Table:
    reasons = sorted({reason for label in summary["labels"].values() for reason in label["rejected"]})
    names = ["scraped", "kept", "rejected", *reasons, "near-dup. groups", "train", "val", "test"]
    table = _table(f"{summary['collection']}: pictures of each label", "label", *names)
    total = [0] * len(names)
    for slug, label in summary["labels"].items():
        row = [
            label["scraped"],
            label["kept"],
            sum(label["rejected"].values()),
            *[label["rejected"].get(reason, 0) for reason in reasons],
            label["near_duplicate_groups"],
            label["train"],
            label["val"],
            label["test"],
        ]
        total = [a + b for a, b in zip(total, row, strict=True)]
        table.add_row(slug, *map(str, row))
    table.add_section()
    table.add_row("all", *map(str, total))
    return table


def _figures_table(summaries: Sequence[Mapping[str, Any]]) -> Table:
    """Frozen, candidate and served of every collection."""
    table = _table("search by picture, on pictures unseen in tuning, with 95% intervals", "space", *METRICS)
    for summary in summaries:
        table.add_row(f"{summary['collection']}, {summary['queries'] or 0} queries")
        for space in SPACES:
            figures = [interval(summary["figures"][space].get(metric)) for metric in METRICS]
            table.add_row(f"  {space}", *figures)
    return table


def interval(figure: Mapping[str, float | None] | None) -> str:
    """`0.341 [0.29, 0.39]`; `-` where nothing could be asked."""
    if figure is None or figure["value"] is None:
        return "-"
    return f"{figure['value']:.3f} [{figure['low']:.2f}, {figure['high']:.2f}]"


def _seconds_table(summaries: Sequence[Mapping[str, Any]]) -> Table:
    names = [summary["collection"] for summary in summaries]
    table = _table("seconds in each stage's functions", "stage", *names)
    for stage in dict.fromkeys(stage for summary in summaries for stage in summary["seconds"]):
        table.add_row(stage, *[f"{summary['seconds'].get(stage, 0):.2f}" for summary in summaries])
    table.add_section()
    rest: dict[str, Callable[[Mapping[str, Any]], float]] = {
        "reading, writing, checks": lambda one: one["body_seconds"] - sum(one["seconds"].values()),
        "Dagster": lambda one: one["launch_seconds"] - one["body_seconds"],
        "all": lambda one: one["wall_seconds"],
    }
    for name, seconds in rest.items():
        table.add_row(name, *[f"{seconds(summary):.2f}" for summary in summaries])
    return table


def _table(title: str, first: str, *numbers: str) -> Table:
    """A column of names, then columns of figures, which are never wrapped."""
    columns = [Column(name, justify="right", no_wrap=name in METRICS) for name in numbers]
    return Table(Column(first, no_wrap=True), *columns, title=title, title_justify="left", title_style="bold")
