"""The parent's end of the worker process: start it, give it jobs, hear how they went, end it."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO

import pyarrow as pa

from pinflow.scraping.job import Job, Report

_CLOSE_SECONDS = 5.0


class Crawler:
    """Owns one long-lived `python -m pinflow.scraping.worker`, started at the first job.

    A Twisted reactor cannot restart and Scrapy takes a second to import, so one process runs many crawls, one
    at a time. Safe to share between threads. A worker that died is replaced at the next job.

        with Crawler(contact="mailto:me@example.org") as crawler:
            scrape(source, "red sneakers", work=work, crawler=crawler)
    """

    def __init__(self, contact: str | None = None) -> None:
        """`contact` goes into the user agent: an address where a site's owner can reach you."""
        self.contact = contact
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> Crawler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def run(self, job: Job) -> Report:
        """Run one crawl and wait for its end.

        A worker that dies on the way makes a report that says so. Raises `OSError` where the spool cannot be
        written (a full disk), and `RuntimeError` for an error of our own, with the worker's traceback.
        """
        with self._lock:
            try:
                process = self._start()
                report = _talk(process, job.model_copy(update={"contact": self.contact}))
                if report is None:
                    code = process.wait()
                    died = f"the crawler process died (exit code {code}) {self._last_words()}".rstrip()
                    self._end()
                    return Report(reasons=[died])
            except BaseException:
                # A worker in the middle of an abandoned crawl must not serve the next one.
                self._end()
                raise
        if report.errno is not None:
            raise OSError(report.errno, f"the crawler cannot write to {job.work}: {report.reasons[0]}")
        if report.bug is not None:
            raise RuntimeError(f"the crawler failed on an error of its own:\n{report.bug}")
        return report

    def close(self) -> None:
        """End the worker. A later job starts a new one."""
        with self._lock:
            self._end()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._end()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pinflow.scraping.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdout is not None
        # While it imports Scrapy: pyarrow imports pandas, where there is one, at its first conversion.
        pa.array([0])
        if not self._process.stdout.readline():
            self._process.wait()
            raise RuntimeError(f"the crawler process does not start: {self._last_words()}")
        return self._process

    def _last_words(self) -> str:
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return ": " + " | ".join(lines[-3:]) if lines else ""

    def _end(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    _close(stream)
            try:
                self._process.wait(_CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def _talk(process: subprocess.Popen[str], job: Job) -> Report | None:
    """Send the job and wait for its report; None where the worker died instead."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(job.model_dump_json() + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return None
    line = process.stdout.readline()
    return Report.model_validate(json.loads(line)) if line.endswith("\n") else None


def _close(stream: IO[str]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        # The worker is gone, and what it did not read is lost with it.
        return


_shared: Crawler | None = None
_shared_pid: int | None = None


def shared(contact: str | None = None) -> Crawler:
    """The process-wide crawler, for callers that have none of their own. Closed when the process ends."""
    global _shared, _shared_pid
    # A forked child must not talk into its parent's pipes.
    if _shared is None or _shared_pid != os.getpid():
        _shared, _shared_pid = Crawler(), os.getpid()
        atexit.register(_shared.close)
    _shared.contact = contact or _shared.contact
    return _shared
