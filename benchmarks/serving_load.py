"""The load generator of the serving benchmark, a process of its own: what it costs is not the server's.

Open loop: a request leaves when its time has come, whatever has become of those before, so that a slow answer
is not hidden by asking less. `lag` is how late requests left; its own processor time is reported too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np

from benchmarks.serving_release import COLLECTION, photographs, words

KINDS = ("text", "upload", "similar")


@dataclass
class Load:
    """What is asked, and what came of it. Times in milliseconds."""

    url: str
    pins: int
    latencies: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(11)
        self._words = words()[:400]
        self._pictures = photographs()

    def request(self, kind: str) -> dict[str, Any]:
        """The arguments of a POST."""
        if kind == "upload":
            form = aiohttp.FormData()
            picture = self._random.choice(self._pictures)
            form.add_field("file", picture, filename="a.jpg", content_type="image/jpeg")
            return {"data": form}
        example = (
            {"text": " ".join(self._random.sample(self._words, 2))}
            if kind == "text"
            else {"id": f"p{self._random.randrange(self.pins)}"}
        )
        return {"json": {"positive": [example], "limit": 20}}

    async def ask(self, session: aiohttp.ClientSession, kind: str) -> None:
        """One request, from making it to the last byte of its answer."""
        started = time.perf_counter()
        try:
            path = f"{self.url}/v1/collections/{COLLECTION}/search"
            async with session.post(path, **self.request(kind)) as response:
                body = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures[type(error).__name__] += 1
            return
        self.latencies.append((time.perf_counter() - started) * 1000)
        if status != 200:
            self.failures[str(status)] += 1
            return
        for stage, taken in json.loads(body)["timings_ms"].items():
            self.stages.setdefault(stage, []).append(taken)

    async def at_rate(self, kinds: list[str], rate: float, seconds: float) -> None:
        """So many requests a second, evenly, for so long; then wait for all answers."""
        async with _session() as session:
            await self.ask(session, kinds[0])
            self.latencies.clear()
            begun, tasks = time.perf_counter() + 0.1, []
            for number in range(round(rate * seconds)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self.lags.append((time.perf_counter() - due) * 1000)
                tasks.append(asyncio.create_task(self.ask(session, kinds[number % len(kinds)])))
            await asyncio.gather(*tasks)

    async def by_users(self, kinds: list[str], users: int, seconds: float) -> None:
        """So many people at once, each asking again as soon as an answer is there."""
        until = time.perf_counter() + seconds

        async def user(number: int, session: aiohttp.ClientSession) -> None:
            turn = number
            while time.perf_counter() < until:
                await self.ask(session, kinds[turn % len(kinds)])
                turn += 1

        async with _session() as session:
            await asyncio.gather(*(user(number, session) for number in range(users)))


def _session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))


def summary(load: Load, seconds: float) -> dict[str, Any]:
    """Quantiles; and what the generator itself cost."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "answers": len(load.latencies),
        "per_second": len(load.latencies) / seconds,
        "p50": quantile(load.latencies, 50),
        "p95": quantile(load.latencies, 95),
        "failures": dict(load.failures),
        "stages": {name: [quantile(taken, 50), quantile(taken, 95)] for name, taken in load.stages.items()},
        "lag_p95": quantile(load.lags, 95),
        "generator_cpu_ms": 1000 * (used.ru_utime + used.ru_stime) / max(1, len(load.latencies)),
    }


def quantile(values: Sequence[float], percent: float) -> float:
    """In the unit of the values; NaN of none."""
    return float(np.percentile(values, percent)) if values else float("nan")


def main() -> None:
    """One line of JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("url")
    arguments.add_argument("--kinds", nargs="+", default=list(KINDS))
    arguments.add_argument("--pins", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    how = arguments.add_mutually_exclusive_group(required=True)
    how.add_argument("--rate", type=float)
    how.add_argument("--users", type=int)
    given = arguments.parse_args()
    load = Load(given.url, given.pins)
    started = time.perf_counter()
    if given.rate:
        asyncio.run(load.at_rate(given.kinds, given.rate, given.seconds))
    else:
        asyncio.run(load.by_users(given.kinds, given.users, given.seconds))
    print(json.dumps(summary(load, time.perf_counter() - started)))


if __name__ == "__main__":
    main()
