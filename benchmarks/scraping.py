"""Scraping pictures: pinflow against img2dataset and gallery-dl, and pinflow against itself at scale.

One server on loopback (its own process) gives the same photographs to all, politeness off, tools in turn,
several rounds, medians. A tool is a whole process: its start is counted. Beside that stands the steady
rate, without what the same tool takes for one picture.

- pinflow: search, pages of 50 pins, every picture fetched with every guard on, sha256, full decode, 256-px
  derivative, perceptual hash and near-duplicates, shards written: `scrape()`, then `curate()`.
- `img2dataset`: a list of addresses; 2 processes of 32 threads, resized to 256, webdataset.
- `gallery-dl`: a list of addresses, fetched into files and no more.

Then memory at 1,000 to 50,000 pins, and a site of 200 labels x 1,000 pins with all its pictures.
`--quick` measures speed alone, on few pictures, in one round.

Where the CPU of a picture goes, in ms. The first two rows were measured in a crawl on a machine at a load of
6, the steps after them each by itself on one that was nearly idle; the last row is what curation took beyond
these steps:

                                          736x1104, 223 KB    236x354, 24 KB
    asking, reading, guards, sha256, spool            0.65              0.40
    its row in the table of pins                      0.07              0.07
    decoding (of it the entropy code)          2.05 (1.75)       0.29 (0.22)
    reducing to 256 px                                0.48              0.27
    perceptual hash and signature                     0.34              0.34
    JPEG of the derivative                            0.20              0.20
    reading it back, threads, Pillow's calls          0.40              0.40

What is made of a picture takes 3.1 ms and 1.1 ms, whoever fetches it. libjpeg-turbo called directly decodes
no faster than through Pillow (2.04 ms), and the entropy code must be read to its end at any scale: this is
the limit here. img2dataset takes 7.9 and 2.3 ms beyond its start, so with fetching for nothing we could
take 2.5 and 2.1 times less; 2.7 times for 2,000 pictures with both starts, 5.2 and 1.5 seconds of CPU.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measure, peers
from benchmarks.photos import PIXELS, photos
from benchmarks.report import finish, record
from pinflow.sample.crowd import Crowd
from pinflow.sample.crowd_site import CrowdSite
from pinflow.settings import Settings

PINS = (1_000, 10_000, 50_000)
LABELS, PER_LABEL = 200, 1_000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", choices=["speed", "memory", "scale"], help="one part of the full run")
    arguments.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part[0]](*given.part[1:])))
        return
    home = Settings().home_path
    ratios: dict[str, float] = {}
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="scraping-") as folder:
        if given.only in (None, "speed"):
            ratios, figures = speed(home, Path(folder), count=250 if given.quick else 2000, quick=given.quick)
        if given.only in (None, "memory") and not given.quick:
            figures |= memory(Path(folder))
        if given.only in (None, "scale") and not given.quick:
            figures |= scale(Path(folder))
    more = {"quick": given.quick, "peers": list(peers.PACKAGES), "pixels": PIXELS}
    line = finish("scraping", ratios, figures, **more)
    if not given.quick and not given.only:
        record(line, "python -m benchmarks.scraping")


def speed(home: Path, folder: Path, *, count: int, quick: bool) -> tuple[dict[str, float], dict[str, float]]:
    """Every tool in turn on `count` photographs of both sizes."""
    binaries = peers.install(home / "bench" / "peers")
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for kind in PIXELS:
        pool = photos(home, kind, count)
        sizes = [file.stat().st_size for file in pool.glob("*.jpg")]
        figures[f"{kind}: bytes a picture"] = statistics.mean(sizes)
        cost: dict[str, list[measure.Cost]] = {}
        start: dict[str, list[measure.Cost]] = {}
        for _ in range(1 if quick else 3):
            for number, found in ((1, start), (count, cost)):
                with CrowdSite(1, number, None, pool) as site:
                    for tool, one in _tools(binaries, site.base_url, number, folder).items():
                        found.setdefault(tool, []).append(one)
        for tool in cost:
            wall, cpu = (statistics.median(getattr(c, unit) for c in cost[tool]) for unit in ("wall", "cpu"))
            idle, idle_cpu = (
                statistics.median(getattr(c, unit) for c in start[tool]) for unit in ("wall", "cpu")
            )
            figures |= {
                f"{kind}: {tool}: pictures a second": count / wall,
                f"{kind}: {tool}: pictures a CPU-second": count / cpu,
                f"{kind}: {tool}: ms a picture beyond its start": 1000 * (wall - idle) / (count - 1),
                f"{kind}: {tool}: CPU-ms a picture beyond its start": 1000 * (cpu - idle_cpu) / (count - 1),
                f"{kind}: {tool}: start, seconds": idle,
                f"{kind}: {tool}: start, CPU-seconds": idle_cpu,
            }
        for peer in ("img2dataset", "gallery-dl"):
            for unit in ("second", "CPU-second"):
                key = f"{kind}: %s: pictures a {unit}"
                ratios[f"{peer}, {kind}, a {unit}"] = figures[key % "pinflow"] / figures[key % peer]
    for peer in ("img2dataset", "gallery-dl"):
        ratios[peer] = min(ratios[f"{peer}, large, a second"], ratios[f"{peer}, large, a CPU-second"])
    return ratios, figures


def _tools(binaries: Path, base_url: str, count: int, folder: Path) -> dict[str, measure.Cost]:
    urls = folder / "urls.txt"
    paths = Crowd(1, count, None, [b""]).pictures(0)
    urls.write_text("\n".join(base_url + path for path in paths))
    commands = {
        "pinflow": [*_PART, "crawl", base_url, "1", str(count), str(folder / "out")],
        "img2dataset": peers.img2dataset(binaries, urls, count, folder / "out"),
        "gallery-dl": peers.gallery_dl(binaries, urls, count, folder / "out"),
    }
    found = {}
    for tool, command in commands.items():
        found[tool] = measure.run(command, _environment() if tool == "pinflow" else peers.ENVIRONMENT)
        made = _made(tool, found[tool].output, folder / "out")
        # Two cuts of one photograph may count as near-duplicates; they are fetched and decoded all the same.
        assert made >= 0.98 * count, f"{tool} made {made} of {count} pictures"
        shutil.rmtree(folder / "out", ignore_errors=True)
    return found


def _environment() -> dict[str, str]:
    """Ours with compiled modules to load, as the peers' has, also where nobody may write beside the sources.
    They are compiled by the first run, which counts among three starts of which the median is told."""
    kept = {name: value for name, value in peers.ENVIRONMENT.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(Settings().home_path / "bench" / "compiled")}


def _made(tool: str, output: str, out: Path) -> int:
    if tool == "pinflow":
        return int(json.loads(output.splitlines()[-1])["pictures"])
    if tool == "img2dataset":
        return sum(json.loads(file.read_text())["successes"] for file in out.glob("*_stats.json"))
    return sum(1 for file in out.rglob("*") if file.is_file())


def memory(folder: Path) -> dict[str, float]:
    """Peak resident memory of one label of ever more pins."""
    figures = {}
    for count in PINS:
        with CrowdSite(1, count, None) as site:
            line = [*_PART, "crawl", site.base_url, "1", str(count), str(folder / "out")]
            done = measure.run(line, _environment())
        shutil.rmtree(folder / "out")
        told = json.loads(done.output.splitlines()[-1])
        for key in ("parent, scraped, MB", "parent, MB", "worker, MB"):
            figures[f"{count:,} pins: {key}"] = told[key]
    for key in ("parent, MB", "worker, MB"):
        most, least = (figures[f"{count:,} pins: {key}"] for count in (PINS[-1], PINS[0]))
        figures[f"{key}: {PINS[-1]:,} pins / {PINS[0]:,}"] = most / least
    return figures


def scale(folder: Path) -> dict[str, float]:
    """200 labels x 1,000 pins, every pin with a picture of its own, one label after the other."""
    with CrowdSite(LABELS, PER_LABEL, None) as site:
        line = [*_PART, "crawl", site.base_url, str(LABELS), str(PER_LABEL), str(folder / "out")]
        done = measure.run(line, _environment())
    shutil.rmtree(folder / "out")
    told = json.loads(done.output.splitlines()[-1])
    assert told["pins"] == LABELS * PER_LABEL, told
    keys = ("pictures", "parent, MB", "worker, MB", "bytes of shards a picture", "bytes of pins a pin")
    name = f"{LABELS} labels x {PER_LABEL:,} pins"
    return {
        f"{name}: seconds": done.wall,
        f"{name}: pictures a second": told["pins"] / done.wall,
        f"{name}: pictures a CPU-second": told["pins"] / done.cpu,
        **{f"{name}: {key}": told[key] for key in keys},
    }


# What runs in a process of its own


def _crawl_part(base_url: str, labels: str, per_label: str, out: str) -> dict[str, float]:
    """What a person would write: every label scraped and curated, its shards in files."""
    import pyarrow.parquet as pq

    from pinflow.collection import Source
    from pinflow.imaging.curate import curate
    from pinflow.scraping.crawler import Crawler
    from pinflow.scraping.scrape import scrape

    folder = Path(out)
    source = Source(kind="pinterest", base_url=base_url, per_label=int(per_label), related=False)
    told: dict[str, float] = dict.fromkeys(("pins", "pictures", "shards", "table"), 0)
    scraped_mb = 0.0
    with Crawler() as crawler:
        for label in Crowd(int(labels), 1, 1, [b""]).labels:
            work = folder / label
            found = scrape(source, label, work=work / "spool", crawler=crawler)
            assert found.complete, found.reason
            scraped_mb = max(scraped_mb, _peak_mb(resource.RUSAGE_SELF))
            made = curate(found.pins, found.files.__getitem__)
            pq.write_table(found.pins, work / "pins.parquet")
            told["table"] += (work / "pins.parquet").stat().st_size
            for number, shard in enumerate(made.shards):
                pq.write_table(shard, work / f"shard-{number}.parquet")
                told["shards"] += (work / f"shard-{number}.parquet").stat().st_size
            told["pins"] += found.pins.num_rows
            told["pictures"] += made.pictures.num_rows
            if int(labels) > 1:
                shutil.rmtree(work)
    return {
        **told,
        "parent, scraped, MB": scraped_mb,
        "parent, MB": _peak_mb(resource.RUSAGE_SELF),
        "worker, MB": _peak_mb(resource.RUSAGE_CHILDREN),
        "bytes of shards a picture": told["shards"] / max(1, told["pictures"]),
        "bytes of pins a pin": told["table"] / max(1, told["pins"]),
    }


def _peak_mb(whose: int) -> float:
    return resource.getrusage(whose).ru_maxrss / 1024


_PART = [sys.executable, "-W", "ignore", "-m", "benchmarks.scraping", "--part"]
PARTS: dict[str, Any] = {"crawl": _crawl_part}

if __name__ == "__main__":
    main()
