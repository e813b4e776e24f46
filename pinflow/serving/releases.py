"""Follows each collection's current release, without a restart and without dropping a request.

A release is fetched and opened in full, which verifies it, before one reference is swapped; a request
keeps the `Searcher` it took. Whatever goes wrong with a new release, the old one stays. A pin that is
removed disappears with the next poll, long before a release without it is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pinflow.errors import PinflowError
from pinflow.retrieval.encoding import LoadTrunk, Trunk, load_trunk
from pinflow.retrieval.query import release_of
from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.words import LoadSentences, Sentences, load_sentences
from pinflow.tombstones import Tombstones

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
PAGING_SECONDS = 600.0  # a person who looks through results has the next page for so long after a renewal


class Source(Protocol):
    """Where releases come from. Every method may raise `PinflowError`."""

    def collections(self) -> list[str]:
        """Names of the collections in storage."""

    def current(self, collection: str, /) -> str | None:
        """Id of the release that `CURRENT` names; None where there is none yet."""

    def fetch(self, collection: str, release_id: str, /) -> Path:
        """A local folder that holds the whole release, verified."""

    def removed(self, collection: str, /) -> Tombstones:
        """What must not be served any more, whatever a release still holds."""

    def drop_holding(self, collection: str, removed: Tombstones, keep: str | None) -> None:
        """Delete local folders, but for that of the release to keep, that hold a removed pin."""


@dataclass(frozen=True)
class State:
    """What is known about one collection: what is served, and why the newest release is not."""

    searcher: Searcher | None = None
    problem: str | None = None
    refused: str | None = None  # id of the release that could not be opened
    failures: int = 0
    retry_at: float = 0.0  # time.monotonic()
    before: Searcher | None = None  # what was served last, for who pages through it
    before_until: float = 0.0  # time.monotonic()


class Releases:
    """The releases being served, by collection. `start` follows `source` in a thread of its own."""

    def __init__(
        self,
        source: Source,
        *,
        load_trunk: LoadTrunk = load_trunk,
        load_sentences: LoadSentences = load_sentences,
        every: float = POLL_SECONDS,
        warm: bool = True,
    ) -> None:
        """`every`: seconds between polls. `warm`: load trunks ahead of the first query picture."""
        self._source = source
        self._load_trunk = load_trunk
        self._load_sentences = load_sentences
        self._sentences: dict[str, Sentences] = {}
        self._every = every
        self._warm = warm
        self._states: dict[str, State] = {}
        self._problem: str | None = "storage was not looked at yet"
        self._trunks: dict[str, Trunk] = {}
        self._trunk_lock = threading.Lock()
        self._polling = threading.Lock()
        self._tell_removed: Callable[[str, Tombstones], None] | None = None
        self._told: dict[str, str | None] = {}  # digest of the tombstones that were told of
        self._erased: dict[str, frozenset[str]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow the source."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._follow, name="releases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End following; what is loaded stays loaded."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def names(self) -> list[str]:
        """Collections with a release loaded."""
        return sorted(name for name, state in self._states.items() if state.searcher is not None)

    def known(self, collection: str) -> bool:
        """Whether the source has that collection, loaded or not."""
        return collection in self._states

    def get(self, collection: str) -> Searcher | None:
        """The release being served, or None."""
        state = self._states.get(collection)
        return None if state is None else state.searcher

    def paging(self, collection: str, cursor: str | None) -> Searcher | None:
        """The release that a cursor belongs to, if it was replaced of late; else the one being served."""
        state = self._states.get(collection)
        if state is None or cursor is None or state.before is None:
            return self.get(collection)
        return state.before if release_of(cursor) == state.before.release.id else state.searcher

    @property
    def problem(self) -> str | None:
        """Why the list of collections itself could not be read, or None."""
        return self._problem

    def problems(self) -> dict[str, str]:
        """By collection: why its newest release is not the one that is served."""
        return {name: state.problem for name, state in self._states.items() if state.problem is not None}

    def tell_removed(self, tell: Callable[[str, Tombstones], None]) -> None:
        """Call `tell` with a collection's removed pins, whenever there are more; again where it raised."""
        self._tell_removed = tell

    def erased(self) -> dict[str, frozenset[str]]:
        """By collection: the pins that nothing may name any more."""
        return dict(self._erased)

    def poll(self) -> None:
        """Look at the source once and load what is new. Never raises: problems are kept and logged."""
        with self._polling:
            try:
                names = self._source.collections()
            except Exception as error:  # noqa: BLE001 - the poller must outlive a broken storage
                self._problem = _told("storage", error)
                return
            self._problem = None
            # One assignment a collection: a reader sees the state before or after, never between.
            self._states = {name: self._states.get(name, State()) for name in names}
            # Of all collections first: fetching a new release of one may take minutes.
            for step in (self._hide, self._refresh):
                for name in names:
                    self._states = {**self._states, name: step(name, self._states[name])}

    def _hide(self, name: str, state: State) -> State:
        """Leave out what was removed since the last poll."""
        searcher = state.searcher
        if searcher is None:
            return state
        if state.before is not None and time.monotonic() > state.before_until:
            state = replace(state, before=None)
        try:
            removed = self._source.removed(name)
            self._note_removed(name, removed)
            if removed.digest == searcher.removed.digest:
                return state
            self._source.drop_holding(name, removed, searcher.release.id)
            before = None if state.before is None else state.before.without(removed)
            return replace(state, searcher=searcher.without(removed), before=before)
        except Exception as error:  # noqa: BLE001 - as above; what was hidden stays hidden
            return replace(state, problem=_told(f"{name}: removed pins", error))

    def _note_removed(self, name: str, removed: Tombstones) -> None:
        """Tell of what was removed since it was told of last."""
        self._erased = {**self._erased, name: removed.erased}
        if self._tell_removed is None or self._told.get(name) == removed.digest:
            return
        try:
            self._tell_removed(name, removed)
            self._told[name] = removed.digest
        except Exception as error:  # noqa: BLE001 - as above; the next poll tells again
            _told(f"{name}: what was kept of removed pins", error)

    def _refresh(self, name: str, state: State) -> State:
        wanted: str | None = None
        try:
            wanted = self._source.current(name)
            if wanted is None:
                return replace(state, problem="no release is published")
            removed = self._source.removed(name)
            self._note_removed(name, removed)
            if state.searcher is not None and state.searcher.release.id == wanted:
                return replace(state, problem=None, refused=None, failures=0)
            if wanted == state.refused and time.monotonic() < state.retry_at:
                return state
            folder = self._source.fetch(name, wanted)
            searcher = Searcher.open(
                folder, load_trunk=self._shared_trunk, load_sentences=self._shared_sentences
            ).without(removed)
            if (searcher.release.id, searcher.collection) != (wanted, name):
                raise PinflowError(f"{folder} holds release {searcher.release.id} of {searcher.collection}")
        except Exception as error:  # noqa: BLE001 - as above; the old release goes on being served
            failures = state.failures + 1 if wanted == state.refused else 1
            retry_at = time.monotonic() + min(MAX_RETRY_SECONDS, self._every * 2**failures)
            told = _told(f"{name}: release {wanted}", error)
            return replace(state, problem=told, refused=wanted, failures=failures, retry_at=retry_at)
        self._source.drop_holding(name, removed, wanted)
        log.info("%s: serving release %s", name, wanted)
        before = None if state.searcher is None else state.searcher.without(removed)
        return State(searcher, before=before, before_until=time.monotonic() + PAGING_SECONDS)

    def _follow(self) -> None:
        warmed: set[str] = set()
        while not self._stop.is_set():
            self.poll()
            for name in self.names() if self._warm else []:
                searcher = self.get(name)
                if searcher is not None and searcher.release.id not in warmed:
                    warmed.add(searcher.release.id)
                    self._warm_up(searcher)
            self._stop.wait(self._every)

    def _warm_up(self, searcher: Searcher) -> None:
        try:
            searcher.warm()
        except Exception as error:  # noqa: BLE001 - searching by words and by pin works all the same
            _told(f"{searcher.collection}: picture queries", error)

    def _shared_trunk(self, name: str) -> Trunk:
        """One copy of the weights for all collections and releases that use them."""
        with self._trunk_lock:
            if name not in self._trunks:
                self._trunks[name] = self._load_trunk(name)
            return self._trunks[name]

    def _shared_sentences(self, name: str) -> Sentences:
        """The same for the sentence encoder."""
        with self._trunk_lock:
            if name not in self._sentences:
                self._sentences[name] = self._load_sentences(name)
            return self._sentences[name]


def _told(what: str, error: Exception) -> str:
    """Logs the error, with its trace where it is a bug, and returns one line for people."""
    if isinstance(error, PinflowError):
        log.warning("%s: %s", what, error)
        return str(error)
    log.error("%s: unexpected error", what, exc_info=error)
    return f"{type(error).__name__}: {error}"
