"""What was removed for good: a document a pin in `<collection>/tombstones/`, written before anything else
is done about it, so that whoever dies half-way leaves the rest to the next run.

What a tombstone does to each stage stands in `pipeline/removal`; here is what it says, and what it does
to a table. A `purged` or `opted_out` pin is erased: nothing names it any more, not even as a related pin
of another. A `gone` one is merely no longer there, and comes back where its source lists it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pinflow.errors import CorruptError
from pinflow.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "tombstones"
REMOVED = "removed earlier; it does not come back"  # the `error` of a pin that shows removed bytes

Reason = Literal["gone", "opted_out", "purged"]  # the later outweighs the earlier
_WEIGHT: dict[str, int] = {"gone": 0, "opted_out": 1, "purged": 2}
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Look(_Strict):
    """What a removed picture looked like: enough to know a copy of it, too little to see it (16 x 16).
    The hash alone would refuse other pictures too: it sees no colour."""

    phash: str = Field(pattern=r"^[0-9a-f]{16}$", description="64-bit perceptual hash, hexadecimal")
    signature: str = Field(pattern=r"^[0-9a-f]{1536}$", description="16 x 16 RGB, uint8, hexadecimal")

    @classmethod
    def of(cls, phash: int, signature: bytes) -> Look:
        """From a 64-bit hash and 768 bytes."""
        return cls(phash=f"{phash:016x}", signature=signature.hex())

    @property
    def bits(self) -> int:
        return int(self.phash, 16)

    @property
    def levels(self) -> bytes:
        """(768,) uint8."""
        return bytes.fromhex(self.signature)


class Tombstone(_Strict):
    """One removed pin."""

    id: str = Field(min_length=1)
    reason: Reason
    pictures: tuple[Digest, ...] = Field((), description="sha256 of its pictures' bytes")
    looks: tuple[Look, ...] = Field((), description="what they looked like")
    by: str = Field("", description="who removed it: the command line, a list, the source")
    why: str = Field("", description="in a person's words")
    when: str = Field("", description="ISO 8601, UTC")


@dataclass(frozen=True)
class Tombstones:
    """All of a collection's tombstones. `digest` is None before the first."""

    all: tuple[Tombstone, ...] = ()
    digest: str | None = None

    @cached_property
    def ids(self) -> frozenset[str]:
        return frozenset(one.id for one in self.all)

    @cached_property
    def gone(self) -> frozenset[str]:
        """The ids that are merely no longer there."""
        return self.ids - self.erased

    @cached_property
    def erased(self) -> frozenset[str]:
        """The ids that nothing may name any more, and whose pictures are never asked for again."""
        return frozenset(one.id for one in self.all if one.reason != "gone")

    @cached_property
    def pictures(self) -> frozenset[str]:
        """Digests of bytes that never come back, under whatever id."""
        return frozenset(sha256 for one in self.all for sha256 in one.pictures)

    @cached_property
    def looks(self) -> tuple[Look, ...]:
        """Each look once."""
        return tuple({(look.phash, look.signature): look for one in self.all for look in one.looks}.values())

    @cached_property
    def phashes(self) -> frozenset[int]:
        return frozenset(look.bits for look in self.looks)

    def holds(self, table: pa.Table) -> bool:
        """Whether a table with a column `id`, and perhaps `sha256` and `related`, still has or names what
        was removed."""
        return _any(table, "sha256", self.pictures) or _any(table, "id", self.ids) or self.names(table)

    def names(self, table: pa.Table) -> bool:
        """Whether the table still names an erased pin, itself or as a related one."""
        return _any(table, "id", self.erased) or _any(table, "related", self.erased)

    def without(self, pins: pa.Table) -> pa.Table:
        """`schema.PINS` without the removed pins. A pin of another id that shows the bytes of one stays
        listed, without a picture and with the error `REMOVED`, so that it is not asked for again and
        somebody can see why. The same table where there is nothing to remove."""
        return self._pictureless(_erase(pins, self.ids, self.erased))

    def erase(self, table: pa.Table) -> pa.Table:
        """Any table with a column `id` without the erased pins; what is merely gone stays."""
        return _erase(table, self.erased, self.erased)

    def left(self, table: pa.Table) -> pa.Table:
        """The rows, by `id` and `sha256`, of neither a removed pin nor removed bytes."""
        import pyarrow.compute as pc

        table = _erase(table, self.ids, ())
        if _any(table, "sha256", self.pictures):
            table = table.filter(pc.invert(_among(table["sha256"], self.pictures)))
        return table

    @property
    def erasing(self) -> Tombstones:
        """Those alone whose pins are erased, not merely gone."""
        return Tombstones(tuple(one for one in self.all if one.reason != "gone"), self.digest)

    def _pictureless(self, pins: pa.Table) -> pa.Table:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not _any(pins, "sha256", self.pictures):
            return pins
        removed = _among(pins["sha256"], self.pictures)
        values = {"sha256": None, "bytes": None, "fetched_at": None, "error": REMOVED}
        for name, value in values.items():
            place = pins.schema.get_field_index(name)
            field = pins.schema.field(name)
            column = pc.if_else(removed, pa.scalar(value, field.type), pins[name])
            pins = pins.set_column(place, field, column)
        return pins


NONE = Tombstones()


def read(store: Store, collection: str) -> Tombstones:
    """Every tombstone: one listing, and a read of what is new. Raises `CorruptError` naming a damaged one."""
    documents = store.documents(collection, FOLDER)
    if not documents:
        return NONE
    found = tuple(_parse(data, f"{collection}/{FOLDER}/{name}") for name, data in documents.items())
    content = hashlib.sha256()
    for name, data in documents.items():
        content.update(f"{name}\0{len(data)}\0".encode() + data)
    return Tombstones(found, content.hexdigest())


def add(store: Store, collection: str, stones: Iterable[Tombstone]) -> list[Tombstone]:
    """Write tombstones, those already there joined with what is new about them; what was written."""
    known = {one.id: one for one in read(store, collection).all}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    joined: dict[str, Tombstone] = {}
    for stone in stones:
        old = joined.get(stone.id) or known.get(stone.id)
        new = _join(old, stone) if old else stone
        if new != old:
            joined[stone.id] = new if new.when else new.model_copy(update={"when": now})
    store.many(lambda one: store.write(_bytes(one), collection, FOLDER, _file(one.id)), joined.values())
    return list(joined.values())


def lift(store: Store, collection: str, ids: Collection[str]) -> set[str]:
    """Take back the tombstones of pins that were merely gone, and that their source itself lists again."""
    back = {one.id for one in read(store, collection).all if one.reason == "gone" and one.id in ids}
    store.many(lambda one: store.delete(collection, FOLDER, _file(one)), sorted(back))
    return back


def gone(
    id: str,
    sha256: str | None,
    look: Look | None,
    live: Iterable[tuple[str, str | None]],
    *,
    by: str = "source",
    why: str = "",
) -> Tombstone | None:
    """The tombstone of a pin that its source no longer has. `live` are id and sha256 of every pin that is
    still listed, under any label: None where the pin is among them. Its picture is blocked only
    where no other live pin shows the same bytes."""
    others = [*live]
    if any(one == id for one, _ in others):
        return None
    alone = sha256 is not None and all(other != sha256 for _, other in others)
    return Tombstone(
        id=id,
        reason="gone",
        pictures=(sha256,) if alone and sha256 else (),
        looks=(look,) if alone and look else (),
        by=by,
        why=why,
    )


def _join(old: Tombstone, new: Tombstone) -> Tombstone:
    """One tombstone of two: the graver reason, and everything that either knows of the pictures."""
    first, second = (new, old) if _WEIGHT[new.reason] > _WEIGHT[old.reason] else (old, new)
    looks = {(look.phash, look.signature): look for look in (*old.looks, *new.looks)}
    update = {
        "pictures": tuple(sorted({*old.pictures, *new.pictures})),
        "looks": tuple(looks[key] for key in sorted(looks)),
        "by": first.by or second.by,
        "why": first.why or second.why,
        "when": first.when,
    }
    return first.model_copy(update=update)


@lru_cache(maxsize=65_536)
def _parse(data: bytes, where: str) -> Tombstone:
    try:
        return Tombstone.model_validate_json(data)
    except ValidationError as error:
        fault = error.errors()[0]
        what = f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}"
        raise CorruptError(
            f"{where} is damaged ({what}): correct it, or delete it and purge its pin again"
        ) from error


def _bytes(stone: Tombstone) -> bytes:
    return json.dumps(stone.model_dump(mode="json"), ensure_ascii=False, indent=1).encode()


def _file(id: str) -> str:
    """An id is any text, a file name is not."""
    return f"{hashlib.sha256(id.encode()).hexdigest()[:40]}.json"


def _among(column: pa.ChunkedArray | pa.Array, values: Collection[str]) -> pa.ChunkedArray | pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(column, value_set=pa.array(sorted(values), pa.string()))


def _any(table: pa.Table, column: str, values: Collection[str]) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not values or column not in table.column_names or not table.num_rows:
        return False
    found = table[column].combine_chunks()
    flat = found.flatten() if pa.types.is_list(found.type) else found
    return bool(pc.any(_among(flat, values)).as_py())


def _erase(table: pa.Table, ids: Collection[str], names: Collection[str]) -> pa.Table:
    """Without the rows of those ids, and without those names among related pins."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if _any(table, "id", ids):
        table = table.filter(pc.invert(_among(table["id"], ids)))
    if _any(table, "related", names):
        kept = [[one for one in row if one not in names] for row in table["related"].to_pylist()]
        place = table.schema.get_field_index("related")
        field = table.schema.field("related")
        table = table.set_column(place, field, pa.array(kept, field.type))
    return table
