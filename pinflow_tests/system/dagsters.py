"""A real Dagster for tests: webserver and daemon as `pinflow up` starts them, asked through GraphQL."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pinflow.pipeline.stages import BY_ITSELF

T = TypeVar("T")

BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status endTimestamp } } }"""
RUN = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUN_STATUS = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"""
TICKS = """query($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) {
    ... on Sensor { sensorState { ticks(limit: 100) { status timestamp } } } } }"""
CHECKS = """query($key: AssetKeyInput!, $check: String!, $label: String) {
    assetCheckExecutions(assetKey: $key, checkName: $check, partition: $label, limit: 1) {
        status evaluation { success severity description } } }"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], T], seconds: float, what: str, every: float = 1.0) -> T:
    """The first truthy answer of `found`. Fails, saying `what` never came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(every)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def get(url: str) -> tuple[int, bytes]:
    """Status and body; (0, b"") where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


class GraphQL:
    """What the Dagster UI asks and does."""

    def __init__(self, port: int, location: str = "pinflow.definitions") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.repository = {"repositoryName": "__repository__", "repositoryLocationName": location}

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert not answer.get("errors"), answer["errors"]
        return dict(answer["data"])

    def backfill(
        self, collection: str, labels: Iterable[str], stages: Iterable[str] = tuple(BY_ITSELF)
    ) -> str:
        """Launch a backfill of those stages; returns its id."""
        params = {
            "assetSelection": [{"path": [collection, stage]} for stage in stages],
            "partitionNames": list(labels),
        }
        launched = self.ask(BACKFILL, params=params)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched
        return str(launched["backfillId"])

    def backfill_ended(self, id: str, seconds: float = 420) -> tuple[str, float]:
        """How and when (seconds since 1970) the backfill ended."""

        def ended() -> Any:
            found = self.ask(BACKFILL_STATUS, id=id)["partitionBackfillOrError"]
            return found if found["endTimestamp"] else None

        found = until(ended, seconds, f"the end of backfill {id}")
        return found["status"], found["endTimestamp"]

    def run(self, job: str, label: str | None = None, seconds: float = 90) -> str:
        """Launch a job as the UI does, and wait; returns how it ended."""
        tags = [{"key": "dagster/partition", "value": label}] if label else []
        params = {
            "selector": {**self.repository, "jobName": job},
            "runConfigData": {},
            "executionMetadata": {"tags": tags},
        }
        launched = self.ask(RUN, params=params)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched

        def ended() -> str | None:
            status = str(self.ask(RUN_STATUS, id=launched["run"]["runId"])["runOrError"]["status"])
            return status if status in ("SUCCESS", "FAILURE", "CANCELED") else None

        return until(ended, seconds, f"the end of a run of {job}")

    def ticks(self, sensor: str) -> list[dict[str, Any]]:
        """The ticks of a sensor, oldest first."""
        found = self.ask(TICKS, sensor={**self.repository, "sensorName": sensor})
        return list(reversed(found["sensorOrError"]["sensorState"]["ticks"]))

    def check(self, collection: str, stage: str, check: str, label: str) -> dict[str, Any]:
        """The last result of a check of one label."""
        key = {"path": [collection, stage]}
        found = self.ask(CHECKS, key=key, check=check, label=label)["assetCheckExecutions"]
        return dict(found[0]) if found else {}


def kill(process: subprocess.Popen[bytes]) -> None:
    """For the end of a test: nothing may stay behind."""
    if process.poll() is None:
        process.kill()
        process.wait()


def tail(path: Path, lines: int = 30) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
