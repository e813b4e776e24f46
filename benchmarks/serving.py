"""What serving costs beyond the networks, how much it takes, and whether it stays well: over loopback.

The server is `pinflow serve` in a process of its own; requests come at fixed rates whatever becomes of them
(`serving_load`), with the generator's own cost reported. 10,000 pins, two cores.
- Per kind (words, upload, similar to a pin) at 5 requests/s: the latency, and pinflow's share of it: what is
  left after the medians of the bare encoder call, made alone just before and as seldom (a processor that has
  idled is slower), and of the generator's own part, measured against a server that sends back what it was
  given (`serving_floor`). Also by the server's own clock.
- The highest rate of uploads with p95 under 250 ms, with micro-batching and without.
- 50 people at once for two minutes: failures, and memory.
- Seconds from start to ready, and how many more for 100,000 pins.
- `clip_back`: the answer to one vector beside clip-retrieval's own, given a python that has it
  (`--clip-back PYTHON`): both over HTTP, the same vectors, 20 results.

`--quick`: 2,000 pins, shorter.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import serving_peer
from benchmarks.report import finish, record
from benchmarks.serving_floor import recorded, replaying
from benchmarks.serving_load import KINDS, quantile
from benchmarks.serving_release import COLLECTION, TRUNK, photographs, publish, words

MOST_MS = 250.0  # p95 at the highest rate
ENOUGH = 60.0  # seconds to wait for a server


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    pins: int
    many_pins: int  # for the start alone
    seconds: float  # a kind at 5 requests/s
    rates: tuple[float, ...]  # uploads a second, rising
    rate_seconds: float
    users: int
    user_seconds: float
    warm_seconds: float  # before each measurement: the first request of a kind loads what it needs


FULL = Plan(10_000, 100_000, 40, (20, 40, 60, 80, 100, 120, 140, 160, 200), 10, 50, 120, 4)
QUICK = Plan(2_000, 4_000, 4, (5, 20), 3, 20, 10, 2)


def main() -> None:
    """Print the figures; keep those of a full run."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--clip-back", help="a python that has clip-retrieval")
    arguments.add_argument("--bare", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.bare:
        print(json.dumps(bare(Path(given.bare))))
        return
    plan = QUICK if given.quick else FULL
    with tempfile.TemporaryDirectory(prefix="pinflow-serving-") as folder:
        home = Path(folder)
        publish(str(home / "storage"), plan.pins, home / "cache" / "engines")
        figures = at_five(home, plan) | starts(home, plan) | highest_rates(home, plan) | crowd(home, plan)
        ratios, told = peer(home, plan, given.clip_back)
    line = finish("serving", ratios, figures | told, quick=given.quick, pins=plan.pins)
    if not given.quick:
        record(line, "python -m benchmarks.serving --clip-back PYTHON")


def at_five(home: Path, plan: Plan) -> dict[str, Any]:
    """Each kind alone at 5 requests/s, after the bare call of what it needs."""
    alone = json.loads(_python(["-m", "benchmarks.serving", "--bare", str(home)], home))
    found: dict[str, Any] = {f"bare {name}, ms": value for name, value in alone.items()}
    with server(home) as (url, _, process):
        for kind in KINDS:
            load(url, plan, [kind], seconds=plan.warm_seconds, rate=5)
        path, like_a_pin = f"/v1/collections/{COLLECTION}/search", {"positive": [{"id": "p5"}], "limit": 20}
        answer = recorded(url + path, json.dumps(like_a_pin).encode())
        for kind in KINDS:
            with replaying(answer) as address:
                floor = load(address, plan, [kind], seconds=plan.seconds / 2, rate=5)["p50"]
            used = processor_seconds(process.pid)
            measured = load(url, plan, [kind], seconds=plan.seconds, rate=5)
            used = processor_seconds(process.pid) - used
            without = {"text": alone["words"], "upload": alone["picture"], "similar": 0.0}[kind]
            found |= {
                f"{kind}: latency p50, ms": measured["p50"],
                f"{kind}: latency p95, ms": measured["p95"],
                f"{kind}: generator's own part p50, ms": floor,
                f"{kind}: share p50, ms": measured["p50"] - without - floor,
                f"{kind}: share p95, ms": measured["p95"] - without - floor,
                f"{kind}: share within the server p50, ms": measured["stages"]["total"][0] - without,
                f"{kind}: share within the server p95, ms": measured["stages"]["total"][1] - without,
                f"{kind}: failures": measured["failures"],
                f"{kind}: server cpu a request, ms": 1000 * used / measured["answers"],
                f"{kind}: stages p50 and p95, ms": measured["stages"],
                f"{kind}: generator cpu a request, ms": measured["generator_cpu_ms"],
                f"{kind}: generator lag p95, ms": measured["lag_p95"],
            }
    return found


def starts(home: Path, plan: Plan) -> dict[str, Any]:
    """From start to ready: the first time, which copies the release, and the median of five after it."""
    found: dict[str, Any] = {}
    for pins in (plan.pins, plan.many_pins):
        other = home / f"{pins}"
        publish(str(other / "storage"), pins, other / "cache" / "engines")
        seconds, used, memory = [], [], []
        for _ in range(6):
            with server(other) as (_, ready, process):
                seconds.append(ready)
                used.append(processor_seconds(process.pid))
                memory.append(resident_mb(process.pid))
        found |= {
            f"{pins} pins: first start to ready, s": seconds[0],
            f"{pins} pins: start to ready, s": quantile(seconds[1:], 50),
            f"{pins} pins: start to ready, processor s": quantile(used[1:], 50),
            f"{pins} pins: memory when ready, MB": round(quantile(memory[1:], 50)),
        }
    few, many = (found[f"{pins} pins: start to ready, s"] for pins in (plan.pins, plan.many_pins))
    return found | {"seconds more for 100,000 pins": 1e5 * (many - few) / (plan.many_pins - plan.pins)}


def highest_rates(home: Path, plan: Plan) -> dict[str, Any]:
    """Uploads at rising rates, until p95 or a failure says stop."""
    found: dict[str, Any] = {}
    for batching in (True, False):
        name = f"batching {'on' if batching else 'off'}"
        best, tried = 0.0, {}
        with server(home, batching=batching) as (url, _, _):
            load(url, plan, ["upload"], seconds=plan.warm_seconds, rate=5)
            for rate in plan.rates:
                measured = load(url, plan, ["upload"], seconds=plan.rate_seconds, rate=rate)
                tried[str(rate)] = [round(measured["p95"], 1), sum(measured["failures"].values())]
                if measured["p95"] > MOST_MS or measured["failures"]:
                    break
                best = rate
        found |= {
            f"{name}: uploads/s with p95 < {MOST_MS:g} ms": best,
            f"{name}: p95 and failures by rate": tried,
        }
    return found


def crowd(home: Path, plan: Plan) -> dict[str, Any]:
    """Many people at once, asking for everything."""
    with server(home) as (url, _, process), sampled(process.pid) as memory:
        measured = load(url, plan, list(KINDS), seconds=plan.user_seconds, users=plan.users)
    name = f"{plan.users} users, {plan.user_seconds:g} s"
    return {
        f"{name}: answers": measured["answers"],
        f"{name}: answers/s": measured["per_second"],
        f"{name}: p95, ms": measured["p95"],
        f"{name}: failures": measured["failures"],
        f"{name}: memory by quarter, MB": [round(max(part)) for part in np.array_split(memory, 4)],
    }


def peer(home: Path, plan: Plan, python: str | None) -> tuple[dict[str, float], dict[str, Any]]:
    """clip-retrieval's backend beside pinflow: one vector in, twenty results out."""
    if python is None:
        return {}, {"clip_back": "not run: give --clip-back a python that has clip-retrieval"}
    with server(home) as (url, _, _):
        ours = serving_peer.ask_pinflow(f"{url}/v1/collections/{COLLECTION}/search", plan.pins)
    try:
        with serving_peer.running(python, home / "clip_back", plan.pins) as address:
            theirs = serving_peer.ask_clip_back(address, plan.pins)
    except (OSError, RuntimeError) as error:
        return {}, {"clip_back": f"not run: {error}"}
    told = {
        "by vector, pinflow: p50 and p95, ms": [quantile(ours, 50), quantile(ours, 95)],
        "by vector, clip_back: p50 and p95, ms": [quantile(theirs, 50), quantile(theirs, 95)],
    }
    return {"clip_back": quantile(theirs, 50) / quantile(ours, 50)}, told


def bare(home: Path) -> dict[str, float]:
    """Median milliseconds of the networks alone, five times a second: from a picture file, from two words, to
    a vector; and the processor's, mean."""
    from pinflow.learning.text.minilm import load_minilm
    from pinflow.learning.trunk import load_trunk
    from pinflow.retrieval.encoding import _curated
    from pinflow.serving.run import one_thread_a_product

    one_thread_a_product()  # as the server has it: the bare call is as fast there
    trunk, sentences = load_trunk(TRUNK, device="cpu", engines=home / "cache" / "engines"), load_minilm()
    pictures, known = photographs(), words()[:400]
    curated = [_curated(picture) for picture in pictures]
    calls: dict[str, Callable[[int], object]] = {
        "picture": lambda number: trunk.encode([_curated(pictures[number % len(pictures)])]),
        "network": lambda number: trunk.encode([curated[number % len(curated)]]),
        "words": lambda number: sentences.encode([f"{known[number]} {known[-number]}"]),
    }
    found: dict[str, float] = {}
    for name, call in calls.items():
        taken = []
        for number in range(60):
            time.sleep(0.2)
            begun, started = time.process_time(), time.perf_counter()
            call(number)
            taken.append((time.perf_counter() - started, time.process_time() - begun))
        walls, used = zip(*taken[10:], strict=True)
        found |= {name: 1000 * quantile(walls, 50), f"{name} cpu": 1000 * float(np.mean(used))}
    return found


@contextmanager
def server(home: Path, *, batching: bool = True) -> Iterator[tuple[str, float, subprocess.Popen[bytes]]]:
    """`pinflow serve`: its address, the seconds it took to get ready, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = _environment(home) | {"PINFLOW_BATCHING": "1" if batching else "0"}
    command = [sys.executable, "-W", "ignore", "-m", "pinflow.cli", "serve", "--port", str(port)]
    started = time.perf_counter()
    log = (home / "serve.log").open("wb")
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        while not _ready(url):
            if process.poll() is not None or time.perf_counter() - started > ENOUGH:
                raise RuntimeError((home / "serve.log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)
        yield url, time.perf_counter() - started, process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=ENOUGH)
        except subprocess.TimeoutExpired:  # a busy machine: what was to be measured is measured
            process.kill()
            process.wait()
        log.close()


def load(
    url: str, plan: Plan, kinds: Sequence[str], *, seconds: float, rate: float = 0, users: int = 0
) -> dict[str, Any]:
    """What the generator measured."""
    how = ["--rate", str(rate)] if rate else ["--users", str(users)]
    given = ["--pins", str(plan.pins), "--seconds", str(seconds), *how, "--kinds", *kinds]
    measured: dict[str, Any] = json.loads(_python(["-m", "benchmarks.serving_load", url, *given], None))
    return measured


@contextmanager
def sampled(pid: int) -> Iterator[list[float]]:
    """The memory of a process, once a second, in MB."""
    found, done = [resident_mb(pid)], threading.Event()

    def sample() -> None:
        while not done.wait(1):
            found.append(resident_mb(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def processor_seconds(pid: int) -> float:
    """What a process has used, all its threads together: hardly touched by what else the machine does."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Memory of the process that is its own."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("RssAnon:"))
    return int(kilobytes) / 1024


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _python(arguments: list[str], home: Path | None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        env=_environment(home) if home else None,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PINFLOW_")}
    return {**kept, "PINFLOW_HOME": str(home), "PINFLOW_DEVICE": "cpu"}


if __name__ == "__main__":
    main()
