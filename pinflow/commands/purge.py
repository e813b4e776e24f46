"""`pinflow purge`: pins out of a collection for good, from everything that holds them, at once.

The tombstones come first: from then on nothing serves the pins, and whatever happens here, the next run
or tick finishes the rest.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from pinflow import releases, tombstones
from pinflow.collection import Collection
from pinflow.commands.console import Console
from pinflow.errors import CorruptError, PurgeError, StateError, StoreError
from pinflow.scraping.optout import one_spelling
from pinflow.scraping.pin import web_address
from pinflow.settings import Settings
from pinflow.store import Store, open_store

BY = "command line"
NEAREST = 3
COLUMNS = ["id", "sha256", "page_url", "picture_url"]


def purge(settings: Settings, collection: Collection, names: Sequence[str], why: str) -> int:
    """Remove pins, given by id or by the address of their page or picture. The exit code: 1 where a stage
    failed, so that something may still hold one.

    Raises `PurgeError` naming the nearest for what nothing here knows; then nothing is removed.
    """
    from pinflow.pipeline.removal import bury, stone

    console, store, name = Console(), open_store(settings.storage_url), collection.name
    tables = [*_tables(store, name)]
    by = resolve(names, tables, tombstones.read(store, name))
    pictures = _pictures(tables, by)
    stones = [
        stone(id, pictures[id], lambda sha256: store.get(name, sha256), reason="purged", by=asked, why=why)
        for id, asked in by.items()
    ]
    bury(store, name, stones)
    console.say(f"{name}: nothing serves {', '.join(by)} from now on; taking it out of all that is stored")
    return _carry_out(settings, collection, store, console)


def _carry_out(settings: Settings, collection: Collection, store: Store, console: Console) -> int:
    from pinflow.pipeline.removal import finish
    from pinflow.pipeline.session import Session

    with Session(settings) as session, console.showing(collection.name) as tell:
        ran = session.renew(collection, tell=tell)
    finish(store, collection.name, settings.home_path)
    kept = _forget_kept(settings, collection.name, tombstones.read(store, collection.name).erased, console)
    for step, error in ran.failed.items():
        console.say(f"failed {collection.name}/{step}: {error}", "red")
    release = releases.current(store, collection.name)
    held = releases.holding(store, collection.name, tombstones.read(store, collection.name))
    if ran.failed or held or not kept:
        console.say(f"not all of it is gone yet: pinflow run {collection.name} finishes it", "red")
        return 1
    console.say(f"{collection.name}: gone; release {release}" if release else f"{collection.name}: gone")
    return 0


def _forget_kept(settings: Settings, collection: str, erased: frozenset[str], console: Console) -> bool:
    """Take the pins off boards, out of searches and marks, and out of the backups of them. Whether it
    could be done; the app does it too, when it runs."""
    from pinflow.serving.state.purging import forget_as_set

    try:
        forget_as_set(settings, collection, erased)
    except (StateError, StoreError) as error:
        console.say(f"boards, searches and their backups may still name it: {error}", "red")
        return False
    return True


def resolve(
    names: Sequence[str], tables: Sequence[pa.Table], removed: tombstones.Tombstones
) -> dict[str, str]:
    """Pin id -> how it was asked for. An address means every pin that shows it. Pins that are removed
    already are known too, so that what was interrupted can be asked for again."""
    found: dict[str, str] = {}
    unknown = []
    for name in names:
        ids = _named(name, tables, removed)
        if not ids:
            unknown.append(name)
        found.update(dict.fromkeys(ids, _asked(name)))
    if unknown:
        raise PurgeError("; ".join(_unknown(name, tables) for name in unknown))
    return found


def _named(name: str, tables: Sequence[pa.Table], removed: tombstones.Tombstones) -> list[str]:
    if name in removed.ids or any(pc.any(pc.equal(table["id"], name)).as_py() for table in tables):
        return [name]
    if web_address(name) is None:
        return []
    wanted = one_spelling(name)
    ids = {one.id for one in removed.all if one.by == _asked(name)}
    for table in tables:
        for id, _, *addresses in zip(*(table[column].to_pylist() for column in COLUMNS), strict=True):
            if any(address and one_spelling(address) == wanted for address in addresses):
                ids.add(id)
    return sorted(ids)


def _asked(name: str) -> str:
    return f"{BY}: {one_spelling(name)}" if web_address(name) else BY


def _unknown(name: str, tables: Sequence[pa.Table]) -> str:
    column = COLUMNS[2] if web_address(name) else COLUMNS[0]
    known = {one for table in tables for one in table[column].to_pylist() if one}
    near = difflib.get_close_matches(name, known, NEAREST)
    hint = f"the nearest: {', '.join(near)}" if near else f"there are {len(known)} others"
    return f"nothing here knows the pin {name!r}; {hint}. To refuse what may still come, use an opt-out list"


def _pictures(tables: Sequence[pa.Table], ids: dict[str, str]) -> dict[str, set[str]]:
    """Pin id -> sha256 of every picture that it has anywhere."""
    wanted = pa.array(sorted(ids), pa.string())
    found: dict[str, set[str]] = {id: set() for id in ids}
    for table in tables:
        rows = table.filter(pc.is_in(table["id"], value_set=wanted))
        for id, sha256 in zip(rows["id"].to_pylist(), rows["sha256"].to_pylist(), strict=True):
            found[id].update({sha256} - {None})
    return found


def _tables(store: Store, collection: str) -> Iterator[pa.Table]:
    """The pins of every label, removed ones included, and of every release that is still there. What
    cannot be read is made again, or dropped, by the run that follows."""
    for manifest in store.manifests(collection, "pins").values():
        with suppress(CorruptError, KeyError):
            yield store.table(manifest, "pins.parquet", COLUMNS)
    for pins in releases.pins(store, collection).values():
        if pins is not None:
            yield pins.select(COLUMNS)
