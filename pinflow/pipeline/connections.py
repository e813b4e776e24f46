"""Fewer SQLite connections for a process that runs many steps, such as `pinflow run`.

Dagster's SQLite storage makes a new engine and connection for each of the about seven queries behind
an event, and closing the last one writes the log back to disk: half of the 165 ms that a trivial step
costs. Here an engine is kept for each of the databases used last. Other processes are not affected.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

KEPT = 4  # run databases kept open; a run has one of its own
BUSY_SECONDS = 60.0  # how long to wait for another process's lock


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let the instance's SQLite storages reuse their connections; does nothing for any other storage.

    Replaces `_connect` of the event log and `connect` of the run storage on these two objects alone,
    with the meaning they have in Dagster 1.13: a connection inside a transaction.
    """
    from dagster._core.storage.event_log import SqliteEventLogStorage
    from dagster._core.storage.runs import SqliteRunStorage

    events: Any = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        setattr(events, "_connect", _event_connections(events))  # noqa: B010  mypy takes methods for fixed
    runs: Any = instance.run_storage
    if isinstance(runs, SqliteRunStorage):
        setattr(runs, "connect", partial(_connection, _engine(runs._conn_string)))  # noqa: B010


@contextmanager
def _connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connection, connection.begin():
        yield connection


def _event_connections(storage: Any) -> Callable[[str], AbstractContextManager[Connection]]:
    engines: OrderedDict[str, Engine] = OrderedDict()

    def engine_of(shard: str) -> Engine:
        if shard not in engines:
            engines[shard] = _engine(storage.conn_string_for_shard(shard))
            if shard not in storage._initialized_dbs:
                storage._initdb(engines[shard])
                storage._initialized_dbs.add(shard)
        engines.move_to_end(shard)
        while len(engines) > KEPT:
            engines.popitem(last=False)[1].dispose()
        return engines[shard]

    @contextmanager
    def connect(shard: str) -> Iterator[Connection]:
        with storage._db_lock, _connection(engine_of(shard)) as connection:
            yield connection

    return connect


def _engine(address: str) -> Engine:
    from sqlalchemy import create_engine

    return create_engine(address, connect_args={"timeout": BUSY_SECONDS})
