"""A purge reaches what people left behind too: whatever names a removed pin goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy import Connection, delete, select

from pinflow.serving.state.asked import names
from pinflow.serving.state.tables import board_pins, judgements, saved, searches

_AT_ONCE = 500  # SQLite takes 999 values in a statement


def forget(connection: Connection, collection: str, pins: Collection[str]) -> int:
    """Delete the pins from boards, the marks of them, and the searches, marked searches and saved addresses
    that are made of one. How many rows went."""
    wanted = set(pins)
    gone = 0
    for some in _pieces(sorted(wanted)):
        for table in (board_pins, judgements):
            held = delete(table).where(table.c.collection == collection, table.c.pin.in_(some))
            gone += connection.execute(held).rowcount
    for table in (searches, judgements):
        rows = connection.execute(select(table.c.id, table.c.query).where(table.c.collection == collection))
        made_of = [row.id for row in rows if names(row.query, wanted)]
        for some in _pieces(made_of):
            gone += connection.execute(delete(table).where(table.c.id.in_(some))).rowcount
    addresses = connection.execute(select(saved.c.id, saved.c.url))
    leading = [row.id for row in addresses if leads_to(row.url, wanted)]
    for some in _pieces(leading):
        gone += connection.execute(delete(saved).where(saved.c.id.in_(some))).rowcount
    return gone


def leads_to(url: str, pins: set[str]) -> bool:
    """Whether an address of this server names one of the pins, in its query or as the end of its path."""
    parts = urlsplit(url)
    values = {value for _, value in parse_qsl(parts.query)} | {
        value for _, value in parse_qsl(parts.fragment)
    }
    path = unquote(parts.path)
    return bool(values & pins) or any(path.endswith(f"/{one}") for one in pins)


def _pieces(values: list[str]) -> Iterator[Iterable[str]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]
