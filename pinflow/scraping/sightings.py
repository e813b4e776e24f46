"""When each pin was seen, changed, and last missed: what tells a pin that is gone from one that hides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from pinflow import schema

_ROWS_AT_ONCE = 1_000
CONFIRMATIONS = 2  # complete scrapes in a row that prove a pin missing, after which it is gone


@dataclass(frozen=True, slots=True)
class Sighting:
    """One row of `schema.SIGHTINGS`, without its id."""

    first_seen: datetime
    last_seen: datetime
    changed_at: datetime | None = None
    changed: tuple[str, ...] = ()
    missing_since: datetime | None = None
    missed: int = 0
    gone_at: datetime | None = None


class Sightings:
    """All sightings of a label: read from the last scrape, told of this one, written again."""

    def __init__(
        self, table: pa.Table | None, known: Iterable[str] = (), now: datetime | None = None
    ) -> None:
        """`known` are pins of the last scrape, which count as seen `now` where the table lacks them."""
        self._all: dict[str, Sighting] = {}
        self._shared: dict[Sighting, Sighting] = {}  # most pins of a night have the same
        for batch in (
            () if table is None else schema.conform(table, schema.SIGHTINGS).to_batches(_ROWS_AT_ONCE)
        ):
            for one, first, last, at, changed, *rest in zip(*batch.to_pydict().values(), strict=True):
                self._note(one, Sighting(first, last, at, tuple(changed), *rest))
        if now is not None:
            for one in known:
                if one not in self._all:
                    self._note(one, Sighting(now, now))

    def _note(self, pin: str, sighting: Sighting) -> None:
        self._all[pin] = self._shared.setdefault(sighting, sighting)

    def get(self, pin: str) -> Sighting | None:
        """What is known of a pin."""
        return self._all.get(pin)

    def listed(self, pin: str, now: datetime, changed: Sequence[str] = ()) -> bool:
        """The pin was listed. Whether it had been taken to be gone."""
        old = self._all.get(pin)
        if old is None:
            self._note(pin, Sighting(now, now))
            return False
        new = replace(old, last_seen=now, missing_since=None, missed=0, gone_at=None)
        self._note(pin, replace(new, changed_at=now, changed=tuple(changed)) if changed else new)
        return old.gone_at is not None

    def missing(self, pin: str, now: datetime) -> bool:
        """A complete scrape proved the pin missing. Whether it is gone for good by that."""
        old = self._all[pin]
        gone = old.missed + 1 >= CONFIRMATIONS
        new = replace(old, missing_since=old.missing_since or now, missed=old.missed + 1)
        self._note(pin, replace(new, gone_at=now if gone else None))
        return gone

    def still_there(self, pin: str, now: datetime) -> None:
        """The listing does not show the pin, but the site does."""
        self._note(pin, replace(self._all[pin], last_seen=now, missing_since=None, missed=0))

    def oldest_first(self, pins: Iterable[str]) -> list[str]:
        """Those that wait for a second proof, then those not seen for longest."""
        return sorted(pins, key=lambda pin: (-self._all[pin].missed, self._all[pin].last_seen))

    def table(self) -> pa.Table:
        """`schema.SIGHTINGS`, by id."""
        ids = sorted(self._all)
        rows = [self._all[one] for one in ids]
        columns = {"id": ids} | {
            name: [getattr(row, name) for row in rows] for name in schema.SIGHTINGS.names[1:]
        }
        return pa.table(columns, schema=schema.SIGHTINGS)
