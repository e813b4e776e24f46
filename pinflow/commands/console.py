"""The terminal: progress while a run goes on, and tables at its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console as Rich
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pinflow.commands.summary import METRICS, SPACES

if TYPE_CHECKING:
    from pinflow.pipeline.run import Tell

HEADINGS = {
    "A": "scrape and curate",
    "B": "tune the encoder",
    "C": "embed, index, map",
    "D": "gallery to release",
}


class Console:
    """Everything that a person sees of a run."""

    def __init__(self) -> None:
        self.rich = Rich(highlight=False)

    def say(self, text: str) -> None:
        self.rich.print(text)

    @contextmanager
    def showing(self, collection: str) -> Iterator[Tell]:
        """A line a phase, each with what it works on now; a plain line each where nobody watches."""
        from pinflow.pipeline.stages import STAGES

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=18),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
        )
        with Progress(*columns, console=self.rich) as progress:
            tasks: dict[str, Any] = {}

            def tell(stage: str, label: str | None) -> None:
                phase = STAGES[stage].phase
                if phase not in tasks:
                    for task in tasks.values():
                        progress.update(task, total=1, completed=1, now="done")
                    tasks[phase] = progress.add_task(f"{collection}: {HEADINGS[phase]}", total=None, now="")
                    if not self.rich.is_terminal:
                        self.rich.print(f"{collection}: {HEADINGS[phase]}")
                progress.update(tasks[phase], now=f"{stage} {label or ''}")

            yield tell
            for task in tasks.values():
                progress.update(task, total=1, completed=1, now="done")

    def print_summary(self, summary: Mapping[str, Any]) -> None:
        """The tables of one collection."""
        self.rich.print(_labels_table(summary))
        self.rich.print(_figures_table(summary))
        self.rich.print(_seconds_table(summary))
        for slug, label in summary["labels"].items():
            if label["reason"]:
                self.rich.print(f"[yellow]incomplete[/] {slug}: {label['reason']}")
        for step, error in summary["failed"].items():
            self.rich.print(f"[red]failed[/] {step}: {error}")


def _labels_table(summary: Mapping[str, Any]) -> Table:
    reasons = sorted({reason for label in summary["labels"].values() for reason in label["rejected"]})
    names = ["scraped", "kept", *reasons, "near-dup. groups", "train", "val", "test"]
    table = Table("label", *[_right(name) for name in names], title=f"{summary['collection']}: labels")
    total = [0] * len(names)
    for slug, label in summary["labels"].items():
        row = [
            label["scraped"],
            label["kept"],
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


def _figures_table(summary: Mapping[str, Any]) -> Table:
    title = f"{summary['collection']}: {summary['queries']} queries on unseen pictures, 95% intervals"
    table = Table("space", *[_right(metric) for metric in METRICS], title=title, caption=summary["why"])
    for space in SPACES:
        table.add_row(space, *[interval(summary["figures"][space].get(metric)) for metric in METRICS])
    return table


def interval(figure: Mapping[str, float] | None) -> str:
    """`0.341 [0.29, 0.39]`."""
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]" if figure else "-"


def _seconds_table(summary: Mapping[str, Any]) -> Table:
    table = Table(
        "stage", _right("seconds"), title=f"{summary['collection']}: seconds in each stage's functions"
    )
    for stage, seconds in summary["seconds"].items():
        table.add_row(stage, f"{seconds:.2f}")
    table.add_section()
    table.add_row(
        "reading, writing, checks", f"{summary['body_seconds'] - sum(summary['seconds'].values()):.2f}"
    )
    table.add_row("Dagster", f"{summary['launch_seconds'] - summary['body_seconds']:.2f}")
    table.add_row("total", f"{summary['wall_seconds']:.2f}")
    return table


def _right(name: str) -> Any:
    from rich.table import Column

    return Column(name, justify="right")
