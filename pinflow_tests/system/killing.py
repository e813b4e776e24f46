"""A process that makes one stage and is killed, by a real SIGKILL, at a chosen moment of its writing."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Literal

from pinflow import registry
from pinflow.collection import Collection, Source
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.settings import Settings
from pinflow.store import Store, open_store

LABELS = ("plain-red", "plain-green")
QUERIES = ("plain red", "plain green")


@dataclass(frozen=True)
class Kill:
    """`torn`: half of the n-th object is in its temporary file; `written`: all of it is, but it has not
    its name yet; `named`: it was just renamed."""

    at: int
    when: Literal["torn", "written", "named"]

    def __str__(self) -> str:
        return f"{self.when}-{self.at}"


def collection(pictures: Path) -> Collection:
    return Collection(name="tiny", source=Source(kind="folder", path=str(pictures)), labels=list(QUERIES))


def house(home: Path) -> House:
    return House.of(Settings(home=home))


def store(home: Path) -> Store:
    return open_store(house(home).storage)


def register(home: Path) -> None:
    registry.add(store(home), "tiny", QUERIES, source="a test")


def make_stage(
    pictures: Path, home: Path, stage: str, labels: tuple[str | None, ...], kill: Kill | None
) -> None:
    """Make and commit the stage of those labels; leaves the writes of the first in `home/writes.json`."""
    from pinflow.pipeline.assets import make

    _stop_the_clock()
    writes = _watch(kill)
    for label in labels:
        part = Partition(store(home), collection(pictures), stage, label)
        part.commit(make(part, house(home)))
        if label == labels[0]:
            (home / "writes.json").write_text(json.dumps(writes), encoding="utf-8")


def _watch(kill: Kill | None) -> dict[str, int]:
    """Count the writes of the store, which syncs each object and then renames it; die at one of them."""
    counts = {"torn": 0, "written": 0, "named": 0}
    sync, rename = os.fsync, Path.replace

    def reached(moment: str) -> bool:
        counts[moment] += 1
        return kill is not None and kill.when == moment and kill.at == counts[moment]

    def fsync(descriptor: int) -> None:
        if reached("torn"):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)
        if reached("written"):
            os.kill(os.getpid(), signal.SIGKILL)

    def replace(self: Path, target: Path) -> Path:
        renamed = rename(self, target)
        if reached("named"):
            os.kill(os.getpid(), signal.SIGKILL)
        return renamed

    os.fsync = fsync  # type: ignore[assignment]
    Path.replace = replace  # type: ignore[assignment,method-assign]
    return counts


def _stop_the_clock() -> None:
    """When a picture was fetched is part of the data; here every run fetches at the same second."""
    from pinflow.scraping import scrape, spool

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime(2026, 1, 1, tzinfo=tz or UTC)

    class Clock:
        @staticmethod
        def time() -> float:
            return Stopped.now().timestamp()

    scrape.datetime = Stopped  # type: ignore[misc]
    spool.time = Clock  # type: ignore[assignment]
