"""What must hold of every state, from one table. An asset runs its checks as it materialises; the
release runs the blocking ones again, since a check does not stop a later run.

Blocking checks guard against wrong results. The others tell a person what to look at.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa

from pinflow import schema
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.partitions import label_partitions
from pinflow.pipeline.planning import LEAVES_OUT_REMOVED
from pinflow.pipeline.stages import STAGES
from pinflow.store import Manifest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pinflow.retrieval.index import Index

RECALL_AT_LEAST = 0.95
SHRINK_AT_MOST = 0.5  # share of a label's rows that may vanish unremarked between two scrapes
DUPLICATES_AT_MOST = 0.5  # share of duplicates among a label's pins that may go unremarked
UNIT_TOLERANCE = 1e-3

COLLECTION_FILES = dg.AssetKey(["pinflow", "collections"])


@dataclass(frozen=True)
class Outcome:
    """Whether a check passed, and what was found, for a person."""

    passed: bool
    found: str
    figures: dict[str, Any] = field(default_factory=dict)


Run = Callable[[Partition, Manifest], Outcome]


@dataclass(frozen=True)
class Check:
    """One thing that must hold. A blocking one stops what is downstream, and a release."""

    name: str
    description: str
    run: Run
    blocking: bool = True
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR


def _verdict(problems: list[str], fine: str, **figures: Any) -> Outcome:
    return Outcome(not problems, "; ".join(problems[:5]) if problems else fine, figures)


def _schema(part: Partition, manifest: Manifest) -> Outcome:
    """Every table of the state has exactly the columns it should, and no null where none may be."""
    problems = [
        f"{name}: {problem}"
        for name, table, expected in _tables(part, manifest)
        for problem in schema.problems(table, expected)
    ]
    return _verdict(problems, "every table has its columns, types and no unwanted nulls", rows=manifest.rows)


def _tables(part: Partition, manifest: Manifest) -> Iterator[tuple[str, pa.Table, pa.Schema]]:
    fixed = {
        "pins.parquet": schema.PINS,
        "sightings.parquet": schema.SIGHTINGS,
        "pictures.parquet": schema.PICTURES,
        "rejects.parquet": schema.REJECTS,
        "suspects.parquet": schema.SUSPECTS,
        "splits": schema.SPLIT_ROWS,
    }
    for name in manifest.files:
        if not name.endswith(".parquet"):
            continue
        table = part.table(manifest, name)
        if name in fixed or manifest.stage in fixed:
            yield name, table, fixed.get(name) or fixed[manifest.stage]
        elif name.startswith("shard-"):
            yield name, table, schema.SHARD
        elif name.startswith("thumbnails-"):
            yield name, table, schema.THUMBNAILS
        elif manifest.stage == "features":
            yield name, table, schema.features(*[schema.width(table, c) for c in ("vector", "stages")])
        elif manifest.stage == "embeddings":
            yield (
                name,
                table,
                schema.embeddings(*[schema.width(table, c) for c in ("shared", "local", "style")]),
            )


def _complete(_: Partition, manifest: Manifest) -> Outcome:
    return Outcome(manifest.reason is None, manifest.reason or "the source gave everything it listed")


def _steady(_: Partition, manifest: Manifest) -> Outcome:
    before, now = int(manifest.stats.get("rows_before", 0)), manifest.rows
    passed = now >= before * (1 - SHRINK_AT_MOST)
    return Outcome(passed, f"{before} rows before, {now} now", {"before": before, "now": now})


def _distinct(_: Partition, manifest: Manifest) -> Outcome:
    rejected = manifest.facts.get("rejected", {})
    copies = sum(rejected.get(reason, 0) for reason in ("exact_duplicate", "near_duplicate"))
    total = int(manifest.facts.get("kept", 0)) + sum(rejected.values())
    share = copies / total if total else 0.0
    return Outcome(share <= DUPLICATES_AT_MOST, f"{copies} of {total} pins are duplicates", {"share": share})


def _accounted(part: Partition, manifest: Manifest) -> Outcome:
    """Nothing is lost: every pin is a picture or a reject, once."""
    pins = set(part.table(part.read("pins"), "pins.parquet")["id"].to_pylist())
    kept = part.table(manifest, "pictures.parquet")["id"].to_pylist()
    rejected = part.table(manifest, "rejects.parquet")["id"].to_pylist()
    problems = []
    if len(kept) + len(rejected) != len({*kept, *rejected}):
        problems.append("a pin is both kept and rejected, or twice")
    if {*kept, *rejected} != pins:
        problems.append(f"{len(pins ^ {*kept, *rejected})} pins are neither kept nor rejected, or unknown")
    return _verdict(problems, f"{len(kept)} kept and {len(rejected)} rejected are all {len(pins)} pins")


def _no_leak(part: Partition, manifest: Manifest) -> Outcome:
    from pinflow.learning.splits import leaks

    rows = part.table(manifest)
    with part.timed("leaks"):
        found = leaks(rows)
    return _verdict(found, "no group stands in two splits", rows=manifest.rows)


def _no_leak_across(part: Partition, manifest: Manifest) -> Outcome:
    from pinflow.learning.splits import leaks

    rows = part.table(manifest, "rows.parquet")
    with part.timed("leaks"):
        found = leaks(rows)
    return _verdict(found, "no group stands in two splits, over all labels", rows=rows.num_rows)


def _no_test_trained(part: Partition, manifest: Manifest) -> Outcome:
    """Neither the bytes nor the group of a test picture were trained on, by anything that is served."""
    import pyarrow.compute as pc

    rows = part.table(manifest, "rows.parquet")
    trained = set(part.table(manifest, "trained_on.parquet")["key"].to_pylist())
    tested = rows.filter(pc.equal(rows["split"], "test"))
    both = [
        one
        for one, sha256, group in zip(
            tested["id"].to_pylist(), tested["sha256"].to_pylist(), tested["group"].to_pylist(), strict=True
        )
        if sha256 in trained or group in trained
    ]
    problems = [f"{len(both)} test pictures were trained on, e.g. {both[0]}"] if both else []
    return _verdict(problems, f"none of {tested.num_rows} test pictures was trained on")


def _learned_from_train(part: Partition, manifest: Manifest) -> Outcome:
    """Nor any that is held out: it may be a copy of a test picture, or was once to be one."""
    rows = part.table(manifest, "rows.parquet")
    trained = set(part.table(manifest, "trained_on.parquet")["key"].to_pylist())
    columns = (rows[name].to_pylist() for name in ("id", "split", "sha256"))
    held = [
        one for one, split, sha256 in zip(*columns, strict=True) if split == "held_out" and sha256 in trained
    ]
    problems = [f"{len(held)} held-out pictures were learned from, e.g. {held[0]}"] if held else []
    tested = _no_test_trained(part, manifest)
    return _verdict(problems + ([] if tested.passed else [tested.found]), tested.found)


def _unit(part: Partition, manifest: Manifest) -> Outcome:
    import numpy as np

    problems = []
    for name in manifest.files:
        table = part.table(manifest, name)
        for column in ("shared", "local", "style"):
            vectors = schema.matrix(table, column)
            off = np.abs(np.linalg.norm(vectors, axis=1) - 1) if len(vectors) else np.zeros(0)
            if not np.all(off < UNIT_TOLERANCE):
                problems.append(f"{name}: {int((off >= UNIT_TOLERANCE).sum())} {column} vectors are not unit")
    return _verdict(problems, "every vector has length 1 and no NaN")


def _one_encoder(_: Partition, manifest: Manifest) -> Outcome:
    encoders = manifest.facts["encoders"]
    return Outcome(
        len(encoders) <= 1, f"vectors of {len(encoders)} encoder(s): {', '.join(e[:12] for e in encoders)}"
    )


def _size(part: Partition, manifest: Manifest) -> Outcome:
    """What was recorded, what FAISS holds and what the rows describe are one number."""
    expected = manifest.facts["embedded"] - manifest.facts["tombstones"]
    index, vectors = _index(part, manifest)
    found = {manifest.facts["indexed"], index.n, len(vectors), expected}
    return Outcome(len(found) == 1, f"{index.n} indexed, {expected} embedded and not removed")


def _no_tombstone(part: Partition, manifest: Manifest) -> Outcome:
    """Against what is removed by now, not by when the state was made."""
    part.look_again()
    rows = part.table(manifest, LEAVES_OUT_REMOVED[manifest.stage])
    removed = part.tombstones
    both = removed.ids.intersection(rows["id"].to_pylist())
    same = removed.pictures.intersection(rows["sha256"].to_pylist())
    problems = [f"{len(both)} removed pins are in it, e.g. {min(both)}"] if both else []
    problems += [f"{len(same)} removed pictures are in it, e.g. {min(same)[:12]}"] if same else []
    return _verdict(problems, f"none of {len(removed.ids)} removed pins is among {rows.num_rows}")


def _recall(part: Partition, manifest: Manifest) -> Outcome:
    """Measured again on what is stored: an index that lies about itself is found out."""
    from pinflow.retrieval.tuning import recall as measure

    index, vectors = _index(part, manifest)
    with part.timed("recall"):
        recall = min(manifest.facts["recall"], measure(index, vectors))
    return Outcome(
        recall >= RECALL_AT_LEAST, f"recall@10 against exact search is {recall:.3f}", {"recall": recall}
    )


def _index(part: Partition, manifest: Manifest) -> tuple[Index, npt.NDArray[np.float32]]:
    """The stored index and the vectors it was built from. Raises `CorruptError` where they disagree."""
    import numpy as np

    from pinflow.retrieval.index import Index

    name = "gallery" if manifest.stage == "gallery" else "index"
    if manifest.stage == "gallery":
        vectors = np.load(io.BytesIO(part.store.file(manifest, "vectors.npy")), allow_pickle=False)
    else:
        vectors = schema.matrix(part.table(manifest, "local.parquet"), "local")
    data, meta = (part.store.file(manifest, f"{name}.{kind}") for kind in ("faiss", "json"))
    return Index.from_bytes(data, meta, vectors), vectors


_WARN = dg.AssetCheckSeverity.WARN
_SCHEMA = Check("schema", "Columns, types and nulls are as declared", _schema)
_INDEX = (
    Check("one_encoder_digest", "An index holds the vectors of one encoder alone", _one_encoder),
    Check("size_equals_embeddings", "As many vectors as embeddings minus tombstones", _size),
    Check("no_tombstone_in_index", "It holds no pin and no picture that was removed", _no_tombstone),
    Check("recall_against_exact", f"recall@10 against exact search is at least {RECALL_AT_LEAST}", _recall),
)

CHECKS: dict[str, tuple[Check, ...]] = {
    "pins": (
        _SCHEMA,
        Check("complete", "The source gave all that it listed", _complete, blocking=False),
        Check("count_drift", "The label did not shrink suddenly", _steady, blocking=False, severity=_WARN),
    ),
    "images": (
        _SCHEMA,
        Check("nothing_lost", "Every pin is kept or rejected with a reason", _accounted),
        Check(
            "duplicate_drift", "Most pins are different pictures", _distinct, blocking=False, severity=_WARN
        ),
    ),
    "splits": (_SCHEMA, Check("no_group_across_splits", "No group stands in two splits", _no_leak)),
    "features": (_SCHEMA,),
    "encoder": (
        Check("no_group_across_splits", "No group stands in two splits, over all labels", _no_leak_across),
        Check("no_test_picture_in_training", "Test pictures were never trained on", _no_test_trained),
    ),
    "tagger": (
        _SCHEMA,
        Check("no_group_across_splits", "No group stands in two splits, over all labels", _no_leak_across),
        Check(
            "no_test_picture_in_training",
            "Neither test nor held-out pictures were ever learned from",
            _learned_from_train,
        ),
    ),
    "embeddings": (_SCHEMA, Check("unit_vectors", "Every embedding has length 1", _unit)),
    "index": _INDEX,
    "gallery": _INDEX,
}


def specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """The checks of one asset, as Dagster declares them: a label's own, so that the next label's verdict
    does not stand in for it."""
    collection, stage = key.path
    partitions = label_partitions(collection) if per_label(stage) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks are young; tests watch them
        return [
            dg.AssetCheckSpec(
                check.name,
                asset=key,
                blocking=check.blocking,
                description=check.description,
                partitions_def=partitions,
            )
            for check in CHECKS.get(stage, ())
        ]


def results(part: Partition, manifest: Manifest) -> list[dg.AssetCheckResult]:
    """Run the checks of a state that was just drafted or found unchanged."""
    return [
        dg.AssetCheckResult(
            check_name=check.name,
            passed=outcome.passed,
            severity=check.severity,
            description=outcome.found,
            metadata=outcome.figures,
        )
        for check, outcome in _outcomes(part, manifest, CHECKS.get(part.stage, ()))
    ]


def blocking_failures(part: Partition, manifest: Manifest) -> list[str]:
    """What a release must not be built on, as sentences."""
    blocking = [check for check in CHECKS.get(part.stage, ()) if check.blocking]
    return [
        f"{part.stage}/{part.label or ''} {check.name}: {outcome.found}"
        for check, outcome in _outcomes(part, manifest, blocking)
        if not outcome.passed
    ]


def _outcomes(
    part: Partition, manifest: Manifest, wanted: Iterable[Check]
) -> Iterator[tuple[Check, Outcome]]:
    """Each check and what it found. Tables of the wrong shape are not looked into any further."""
    sound = True
    for check in wanted:
        outcome = check.run(part, manifest) if sound else Outcome(False, "not looked at: the schema is wrong")
        sound = sound and (outcome.passed or check is not _SCHEMA)
        yield check, outcome


def per_label(stage: str) -> bool:
    return STAGES[stage].per_label


def collection_files_check(bad: Mapping[str, str]) -> dg.AssetChecksDefinition:
    """Fails while a collection file cannot be read. The others are served all the same."""

    @dg.asset_check(asset=COLLECTION_FILES, name="readable", description="Every collection file can be read")
    def readable() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(
            passed=not bad,
            description="; ".join(bad.values()) or "every collection file is fine",
            metadata={name: dg.MetadataValue.text(error) for name, error in bad.items()},
        )

    return readable
