"""Fetches one document, whole, and not again while the site says that it has not changed."""

from __future__ import annotations

import json
from pathlib import Path

from pinflow.scraping.fetching.errors import FetchError
from pinflow.scraping.fetching.fetcher import Fetcher
from pinflow.scraping.job import MAX_DOCUMENT_BYTES, FetchDocument
from pinflow.scraping.spool import Spool
from pinflow.scraping.worker.ledger import Ledger

_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


async def fetch_document(fetcher: Fetcher, spool: Spool, ledger: Ledger, task: FetchDocument) -> None:
    """The document at `task.to`, and beside it what the next conditional request needs."""
    beside = task.to.with_name(f"{task.to.name}.json")
    try:
        answer = await fetcher.get(task.url, headers=_conditions(task, beside), max_bytes=MAX_DOCUMENT_BYTES)
    except FetchError as error:
        ledger.give_up(f"{task.url}: {error}")
        return
    if answer.status == 304:
        ledger.counts["documents_unchanged"] += 1
        return
    if answer.status != 200:
        ledger.give_up(f"{task.url} answered HTTP {answer.status}")
        return
    refused = answer.signals.against_listings
    if refused:
        ledger.give_up(f"{task.url}: refused by {refused}")
        return
    # The old validators must never stand beside a new document.
    beside.unlink(missing_ok=True)
    task.to.parent.mkdir(parents=True, exist_ok=True)
    spool.write(task.to, answer.body)
    kept = {name: answer.headers[name] for name in _VALIDATORS if name in answer.headers}
    spool.write(beside, json.dumps({"url": task.url, "headers": kept}).encode())


def _conditions(task: FetchDocument, beside: Path) -> dict[str, str]:
    """RFC 9110, section 13: ask for the document only if it is another one."""
    try:
        known = json.loads(beside.read_bytes())
        if known["url"] != task.url or not task.to.is_file():
            return {}
        return {_VALIDATORS[name]: str(value) for name, value in known["headers"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
