"""What orchestration costs: the main job through Dagster against the same functions from a plain script.

Three questions, each with its peer in the same run:
- `import dagster`: how much longer does loading the code location take?
- `plain`: how much longer does the main job take through Dagster, and which share of it is spent
  outside the rooms' functions?
- itself: does adding one label cost more beside 300 labels than beside 30?

`--quick` takes drawn pictures instead of the sample sets, and 10 and 60 labels.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import finish

HEAVY = ("torch", "faiss", "umap", "sklearn", "scrapy")
ROUNDS = 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part[0]](*given.part[1:])))
        return
    few, many = (10, 60) if given.quick else (30, 300)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        loading = load_ratio()
        job = main_job(Path(folder), quick=given.quick)
        for labels in (few, many):
            figures |= {
                f"add one label beside {labels}: {k}": v for k, v in add_label(Path(folder), labels).items()
            }
    own = "own steps, seconds"
    growth = figures[f"add one label beside {many}: {own}"] / figures[f"add one label beside {few}: {own}"]
    figures |= job | {"own steps beside many / beside few": growth}
    ratios = {"import dagster": 1 / loading, "plain": job["plain seconds"] / job["dagster seconds"]}
    finish("house", ratios, {"load / import dagster": loading, **figures}, quick=given.quick)


def load_ratio() -> float:
    """Median seconds of loading the definitions over importing Dagster, in fresh processes, in turn."""
    loaded, plain = [], []
    check = f"import pinflow.definitions, sys; sys.exit(any(m in sys.modules for m in {HEAVY!r}))"
    for _ in range(ROUNDS + 1):
        plain.append(_seconds([sys.executable, "-c", "import dagster"]))
        loaded.append(_seconds([sys.executable, "-W", "ignore", "-c", check]))
    return statistics.median(loaded[1:]) / statistics.median(plain[1:])  # the first of each warms up


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env=_environment(Path(tempfile.gettempdir()) / "none"))
    return time.perf_counter() - started


def main_job(folder: Path, *, quick: bool) -> dict[str, float]:
    """The two sample collections from nothing, plain first, then through Dagster; a process each."""
    found: dict[str, Any] = {}
    for how in ("plain", "dagster"):
        home = folder / f"main-{how}"
        found[how] = _part(home, "main", how, "made" if quick else "real")
    return {
        "plain seconds": found["plain"]["wall"],
        "dagster seconds": found["dagster"]["wall"],
        "share outside the rooms' functions": 1 - found["dagster"]["rooms"] / found["dagster"]["wall"],
        "share of Dagster alone": 1 - found["dagster"]["bodies"] / found["dagster"]["wall"],
        "dagster steps": found["dagster"]["steps"],
    }


def add_label(folder: Path, labels: int) -> dict[str, float]:
    """Seconds that one more label takes in a collection of `labels` labels: its own, and the roll-ups'."""
    found: dict[str, float] = _part(folder / f"labels-{labels}", "labels", str(labels))
    return found


def _part(home: Path, *arguments: str) -> Any:
    line = [sys.executable, "-W", "ignore", "-m", "benchmarks.house", "--part", *arguments]
    done = subprocess.run(line, check=True, env=_environment(home), stdout=subprocess.PIPE)
    return json.loads(done.stdout.splitlines()[-1])


def _environment(home: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PINFLOW_", "DAGSTER_"))}
    return {**kept, "PINFLOW_HOME": str(home), "PINFLOW_COLLECTIONS": str(home / "collections")}


# What runs in a process of its own


def _main_part(how: str, pictures: str) -> dict[str, float]:
    from pinflow.collection import load
    from pinflow.sample.fetch import fetch
    from pinflow.sample.made import make_samples
    from pinflow.sample.site import SampleSite
    from pinflow.settings import Settings

    settings = Settings()
    home = settings.home_path
    samples = (
        make_samples(home / "sample", labels=4, per_label=20)
        if pictures == "made"
        else fetch(home / "sample")
    )
    with SampleSite(samples, port=0) as site:
        settings.collections.mkdir(parents=True)
        for file in Path("collections").glob("*.yaml"):
            text = file.read_text().replace("http://127.0.0.1:8765", site.base_url)
            (settings.collections / file.name).write_text(text)
        if pictures == "made":
            _market_labels(settings.collections / "market.yaml", samples.market.labels)
        started = time.perf_counter()
        found = [RUNS[how](settings, collection) for collection in load(settings.collections).good.values()]
        wall = time.perf_counter() - started
    return {"wall": wall, **{key: sum(one[key] for one in found) for key in ("rooms", "bodies", "steps")}}


def _market_labels(file: Path, labels: list[str]) -> None:
    import yaml

    content = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**content, "labels": labels}))


def _by_dagster(settings: Any, collection: Any) -> dict[str, float]:
    from pinflow.pipeline.session import Session

    with Session(settings) as session:
        ran = session.run(collection)
    assert not ran.failed, ran.failed
    return {"rooms": sum(ran.seconds.values()), "bodies": ran.body_seconds, "steps": ran.steps}


def _by_script(settings: Any, collection: Any) -> dict[str, float]:
    """Every stage's function, label by label, phase by phase: what one would write without Dagster."""
    from pinflow import registry
    from pinflow.pipeline.assets import make
    from pinflow.pipeline.resources import House
    from pinflow.pipeline.sensors import register
    from pinflow.pipeline.stages import PHASES, of_phase

    house = House.of(settings)
    register(house.store, collection, house, {})
    rooms, steps, started = 0.0, 0, time.perf_counter()
    labels = sorted(registry.live(house.store, collection.name))
    for phase in PHASES:
        for label in [None] if phase in "BD" else labels:
            for stage in of_phase(phase):
                part = house.partition(collection, stage.name, label)
                part.commit(make(part, house))
                rooms, steps = rooms + sum(part.seconds.values()), steps + 1
    return {"rooms": rooms, "bodies": time.perf_counter() - started, "steps": steps}


RUNS = {"plain": _by_script, "dagster": _by_dagster}


def _labels_part(count: str) -> dict[str, float]:
    """A folder collection of tiny labels by script, then one more label through Dagster."""
    import yaml

    from pinflow.collection import read
    from pinflow.pipeline.session import Session
    from pinflow.sample.made import make_samples
    from pinflow.settings import Settings

    settings, labels = Settings(), int(count)
    samples = make_samples(settings.home_path / "sample", labels=4, per_label=8)
    pictures = [samples.market.path(row) for row in samples.market.rows]
    folder = settings.home_path / "pictures"
    for label in range(labels + 1):
        (folder / f"label {label}").mkdir(parents=True)
        for number in range(4):
            picture = pictures[(label * 5 + number * 7) % len(pictures)]
            shutil.copy(picture, folder / f"label {label}" / f"{number}{picture.suffix}")
    settings.collections.mkdir(parents=True)
    file = settings.collections / "many.yaml"

    def declare(upto: int) -> Any:
        source = {"kind": "folder", "path": str(folder)}
        file.write_text(yaml.safe_dump({"source": source, "labels": [f"label {n}" for n in range(upto)]}))
        return read(file)

    _by_script(settings, declare(labels))
    more = declare(labels + 1)
    with Session(settings) as session:
        ran = session.run(more, labels=[f"label {labels}"])
    assert not ran.failed, ran.failed
    rollups = ran.launches[None]
    return {
        "own steps, seconds": ran.launch_seconds - rollups,
        "roll-ups, seconds": rollups,
        "planning, seconds": ran.wall_seconds - ran.launch_seconds,
        "steps": float(ran.steps),
    }


PARTS: dict[str, Any] = {"main": _main_part, "labels": _labels_part}

if __name__ == "__main__":
    main()
