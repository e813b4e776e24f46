"""The labels of a collection, as the store knows them: `<collection>/labels/<slug>.json` is the truth.

Dagster's dynamic partitions mirror what stands here. Removing a label marks its file, so that a run
in flight finishes undisturbed and everything downstream leaves it out from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from pinflow.errors import CorruptError, LabelError
from pinflow.labels import slugs
from pinflow.store import Store


@dataclass(frozen=True)
class Label:
    """A query, under its partition key."""

    slug: str
    query: str
    source: str  # the list that it came from
    added: str  # ISO 8601, UTC
    removed: str | None = None


def everything(store: Store, collection: str) -> dict[str, Label]:
    """Every label ever added, by slug, removed ones included. Raises `CorruptError`."""
    documents = store.documents(collection, "labels").items()
    found = (_parse(data, f"{collection}/labels/{name}") for name, data in documents)
    return {label.slug: label for label in found}


def find(store: Store, collection: str, slug: str) -> Label | None:
    """One label, removed or not, at the cost of one read. Raises `CorruptError`."""
    try:
        data = store.read(collection, "labels", f"{slug}.json")
    except FileNotFoundError:
        return None
    return _parse(data, f"{collection}/labels/{slug}.json")


def live(store: Store, collection: str) -> dict[str, Label]:
    """The labels that count: added and not removed, by slug."""
    return {slug: label for slug, label in everything(store, collection).items() if label.removed is None}


def add(
    store: Store, collection: str, queries: Iterable[str], *, source: str, revive: bool = True
) -> list[Label]:
    """Register queries; those already live are left alone. Removed ones come back only with `revive`: a
    person may bring them back, a list that still holds them may not. Returns the new."""
    known = everything(store, collection)
    wanted = list(queries)
    fresh = slugs(wanted, {slug: label.query for slug, label in known.items()})
    now = datetime.now(UTC).isoformat(timespec="seconds")
    new = [Label(slug, query, source, now) for slug, query in fresh.items()]
    folded = {" ".join(query.split()).casefold() for query in wanted}
    new += [
        replace(label, removed=None, added=now, source=source)
        for label in known.values()
        if revive and label.removed and label.query.casefold() in folded
    ]
    store.many(lambda label: _write(store, collection, label), new)
    return new


def remove(store: Store, collection: str, names: Iterable[str]) -> list[Label]:
    """Take labels, given by slug or query, out of the collection. Raises `LabelError` for an unknown one."""
    known = live(store, collection)
    by_query = {label.query.casefold(): label for label in known.values()}
    gone: list[Label] = []
    for name in names:
        label = known.get(name) or by_query.get(" ".join(name.split()).casefold())
        if label is None:
            raise LabelError(
                f"{collection} has no label {name!r}; it has: {', '.join(sorted(known)) or 'none'}"
            )
        gone.append(replace(label, removed=datetime.now(UTC).isoformat(timespec="seconds")))
    store.many(lambda label: _write(store, collection, label), gone)
    return gone


def _parse(data: bytes, where: str) -> Label:
    try:
        return Label(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise CorruptError(f"{where} is damaged ({error}): delete it and add the label again") from error


def _write(store: Store, collection: str, label: Label) -> None:
    store.write(
        json.dumps(asdict(label), ensure_ascii=False, indent=1).encode(),
        collection,
        "labels",
        f"{label.slug}.json",
    )
