"""Splits: which pictures may be learned from, and which are kept to measure with.

Pictures that are one thing (same bytes, same pin, same origin, same value of a `group_by` column,
almost the same picture) form a group, and no group straddles train, val and test. Nothing here looks
at features or at what the splits are used for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinflow import schema

# Shares of train and val; the rest is test.
TRAIN, VAL = 0.70, 0.15
# Pictures whose 64-bit perceptual hashes differ in at most so many bits are one picture.
NEAR_BITS = 4
# Where copies of one picture meet, the weaker ones are held out and the strongest split stays.
_STRENGTH = {"held_out": 0, "train": 1, "val": 2, "test": 3}
# Rows compared at once when looking for near-duplicates: 32 MB of 64-bit words.
_BLOCK = 2048


def assign(
    pictures: pa.Table,
    label: str,
    *,
    group_by: Sequence[str] = (),
    previous: pa.Table | None = None,
    salt: str = "pinflow",
) -> pa.Table:
    """`schema.PICTURES` of one label -> its `schema.SPLIT_ROWS`, sorted by id.

    About 70/15/15 train, val and test, by a hash of the group alone, so the order of rows and the other
    pictures do not matter. Rows of `previous` keep group, split and fold as the label grows; a new
    row joins the group it belongs to. A new picture that ties together groups of different splits
    flips none of them: the train copies (and then the val ones) become `held_out`, test stays.
    """
    pictures = pictures.sort_by("id")
    keys = _keys(pictures, group_by)
    n = pictures.num_rows
    old = schema.empty(schema.SPLIT_ROWS) if previous is None else previous.sort_by("id")
    # Old rows take part in the grouping even where their picture is gone: they say what was tied.
    old_keys = [
        [*own, f"group:{group}"]
        for own, group in zip(old["keys"].to_pylist(), old["group"].to_pylist(), strict=True)
    ]
    phash = np.concatenate([_column(pictures, "phash"), _column(old, "phash")])
    component = _components([*keys, *old_keys], phash)
    members = _members(component)

    ids = pictures["id"].to_pylist()
    row_of = {id_: i for i, id_ in enumerate(old["id"].to_pylist())}
    groups, splits, folds = (old[name].to_pylist() for name in ("group", "split", "fold"))
    out: dict[str, list[object]] = {"group": [None] * n, "split": [None] * n, "fold": [None] * n}
    for rows in members:
        fresh = [i for i in rows if i < n]
        known = [i - n for i in rows if i >= n]
        if known:
            strongest = max((splits[i] for i in known), key=_STRENGTH.__getitem__)
            group, fold = min((groups[i], folds[i]) for i in known if splits[i] == strongest)
        else:
            group = _digest(min(key for i in fresh for key in keys[i]))
            strongest, fold = _split(group, salt), _fold(group, salt)
        for i in fresh:
            own = row_of.get(ids[i])
            if own is None:
                out["group"][i], out["split"][i], out["fold"][i] = group, strongest, fold
            else:
                out["group"][i], out["fold"][i] = groups[own], folds[own]
                out["split"][i] = splits[own] if splits[own] == strongest else "held_out"
    columns = {name: pictures[name] for name in ("id", "sha256", "phash", "attributes", "related")}
    table = pa.table({**columns, **out, "keys": keys, "label": pa.repeat(label, n)})
    return schema.conform(table, schema.SPLIT_ROWS)


def resolve(tables: Sequence[pa.Table], *, trained_on: Collection[str] = ()) -> pa.Table:
    """The `schema.SPLIT_ROWS` of all labels as one table, sorted by id and label, without a leak.

    Groups that share a key, bytes or almost the same picture across labels become one; where their
    splits differ the strongest of test, val, train stays and the rest becomes `held_out`. Pictures
    whose sha256 or group is in `trained_on` (what the served encoder learned from), or that are tied
    to one, are never val or test again: they become `held_out`.
    """
    if not tables:
        return schema.empty(schema.SPLIT_ROWS)
    rows = pa.concat_tables(tables).sort_by([("id", "ascending"), ("label", "ascending")])
    groups, splits, folds, hashes = (rows[c].to_pylist() for c in ("group", "split", "fold", "sha256"))
    seen = set(trained_on)
    for members in _members(_component_of_rows(rows)):
        tied = {splits[i] for i in members}
        group, fold = min((groups[i], folds[i]) for i in members)
        learned = any(groups[i] in seen or hashes[i] in seen for i in members)
        strongest = "train" if learned else max(tied, key=_STRENGTH.__getitem__)
        for i in members:
            groups[i], folds[i] = group, fold
            if splits[i] != strongest:
                splits[i] = "held_out"
    for name, values in (("group", groups), ("split", splits), ("fold", folds)):
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, schema.SPLIT_ROWS.field(name), pa.array(values, rows[name].type))
    return schema.conform(rows, schema.SPLIT_ROWS)


def leaks(rows: pa.Table) -> list[str]:
    """What is wrong with these `schema.SPLIT_ROWS`, each problem a line for a person; [] if nothing.

    A group, a key, the same bytes or almost the same picture in two of train, val and test
    (`held_out` does not count), an unknown split, a fold out of range, or a row twice.
    """
    found = []
    unknown = sorted(set(rows["split"].to_pylist()) - set(schema.SPLITS))
    if unknown:
        found.append(f"unknown split {', '.join(map(repr, unknown))}")
    folds = set(rows["fold"].to_pylist())
    if not folds <= set(range(schema.FOLDS)):
        found.append(f"folds {sorted(folds)} are not all within 0..{schema.FOLDS - 1}")
    pairs = list(zip(rows["label"].to_pylist(), rows["id"].to_pylist(), strict=True))
    if len(set(pairs)) < len(pairs):
        found.append(f"{len(pairs) - len(set(pairs))} rows are there twice")
    used = rows.filter(pc.not_equal(rows["split"], "held_out"))
    splits, ids = used["split"].to_pylist(), used["id"].to_pylist()
    named = [
        [f"group {group}", f"picture {sha256}", *(f"key {key}" for key in keys)]
        for group, sha256, keys in zip(
            used["group"].to_pylist(), used["sha256"].to_pylist(), used["keys"].to_pylist(), strict=True
        )
    ]
    where: dict[str, set[str]] = {}
    for names, split in zip(named, splits, strict=True):
        for name in names:
            where.setdefault(name, set()).add(split)
    found += [
        f"{name} is in {' and '.join(sorted(tied))}" for name, tied in sorted(where.items()) if len(tied) > 1
    ]
    left, right = near(_column(used, "phash"))
    found += [
        f"almost the same picture: {ids[a]} in {splits[a]} and {ids[b]} in {splits[b]}"
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
        if splits[a] != splits[b]
    ]
    return found


def _keys(pictures: pa.Table, group_by: Sequence[str]) -> list[list[str]]:
    """Every identity of each picture, sorted."""
    columns = (pictures[c].to_pylist() for c in ("id", "sha256", "origin_keys", "duplicates", "attributes"))
    keys = []
    for id_, sha256, origins, duplicates, attributes in zip(*columns, strict=True):
        values = dict(attributes)
        own = {f"sha256:{sha256}", *(f"pin:{pin}" for pin in (id_, *duplicates))}
        own |= {f"origin:{origin}" for origin in origins if origin}
        own |= {f"by:{column}:{values[column]}" for column in group_by if values.get(column)}
        keys.append(sorted(own))
    return keys


def _component_of_rows(rows: pa.Table) -> npt.NDArray[np.int64]:
    keys = [
        [*own, f"group:{group}", f"sha256:{sha256}"]
        for own, group, sha256 in zip(
            rows["keys"].to_pylist(), rows["group"].to_pylist(), rows["sha256"].to_pylist(), strict=True
        )
    ]
    return _components(keys, _column(rows, "phash"))


def _components(keys: Sequence[Sequence[str]], phash: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The number of the connected component of each row: rows tied by a key or by a near hash."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(keys)
    number: dict[str, int] = {}
    pairs = [(i, number.setdefault(key, n + len(number))) for i, own in enumerate(keys) for key in own]
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    left, right = near(phash)
    a, b = np.concatenate([ends[:, 0], left]), np.concatenate([ends[:, 1], right])
    size = n + len(number)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(size, size))
    component: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1][:n]
    return component


def _members(component: npt.NDArray[np.int64]) -> Iterable[list[int]]:
    """The rows of each component."""
    if not len(component):
        return []
    order = np.argsort(component, kind="stable")
    edges = np.flatnonzero(np.diff(component[order])) + 1
    return [part.tolist() for part in np.split(order, edges)]


def near(phash: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of rows whose hashes differ in at most `NEAR_BITS` bits, by exhaustive blocked comparison."""
    values, rows = np.unique(phash, return_inverse=True)
    first = np.full(len(values), len(phash), dtype=np.int64)
    np.minimum.at(first, rows, np.arange(len(phash)))
    # Rows with the very same hash are tied to the first of them; only distinct hashes are compared.
    left, right = [first[rows]], [np.arange(len(phash))]
    for start in range(0, len(values), _BLOCK):
        for other in range(start, len(values), _BLOCK):
            bits = np.bitwise_count(
                values[start : start + _BLOCK, None] ^ values[None, other : other + _BLOCK]
            )
            a, b = np.nonzero(bits <= NEAR_BITS)
            left.append(first[a + start])
            right.append(first[b + other])
    a, b = np.concatenate(left), np.concatenate(right)
    distinct = a < b
    return a[distinct], b[distinct]


def _column(table: pa.Table, name: str) -> npt.NDArray[np.uint64]:
    values: npt.NDArray[np.uint64] = table[name].to_numpy()
    return values


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _split(group: str, salt: str) -> str:
    share = int(_digest(f"{salt}:split:{group}")[:13], 16) / 16**13
    return "train" if share < TRAIN else "val" if share < TRAIN + VAL else "test"


def _fold(group: str, salt: str) -> int:
    return int(_digest(f"{salt}:fold:{group}")[:13], 16) % schema.FOLDS
