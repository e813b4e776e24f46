"""The tagger: one over all labels (phase B), on trunk vectors, so that no encoder has to wait for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa

from pinflow import schema
from pinflow.pipeline.assets.encoders import one_trunk, together, without_removed
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.pipeline.stages import AUTOMATION, STALE
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.tagging.fit import TaggerFit

SEED = 0
STATE, REPORT, SUSPECTS = "tagger.safetensors", "tagger.json", "suspects.parquet"


def make_tagger(part: Partition, _: House) -> Manifest:
    """Fit and calibrate on all labels that are there; without two of them, say that there is no tagger."""
    if part.trigger in (AUTOMATION, STALE) and part.previous and not part.snapshot.tune_due("tagger"):
        return without_removed(part, part.previous, ("rows.parquet", SUSPECTS))
    from pinflow.learning.splits import resolve
    from pinflow.learning.tagging.draw import plot
    from pinflow.learning.tagging.fit import fit_tagger

    splits, features = part.read_all("splits"), part.read_all("features")
    labels = sorted(set(splits) & set(features))
    rows = resolve([part.table(splits[label]) for label in labels])
    trunk = one_trunk(features)
    with part.timed("fit_tagger"):
        fit = fit_tagger(
            together(part, {label: features[label] for label in labels}), rows, trunk=trunk, seed=SEED
        )
    report = fit.to_json()
    learned = pa.table({"key": pa.array(fit.learned, pa.string())})
    state = {STATE: part.put(fit.tagger.to_bytes())} if fit.tagger else {}
    told = {name: report["figures"].get(name, {}).get("value") for name in ("accuracy", "ece", "coverage")}
    return part.draft(
        {
            **state,
            REPORT: part.put(json.dumps(report, sort_keys=True).encode()),
            "rows.parquet": part.put_table(rows),
            "trained_on.parquet": part.put_table(learned),
            SUSPECTS: part.put_table(suspects(fit, rows)),
        },
        facts={
            **{name: value for name, value in told.items() if value is not None},
            "tags": len(fit.tags),
            "suspects": len(fit.suspects),
            "trunk": trunk,
            "why": fit.why,
            "rows": {label: features[label].rows for label in labels},
        },
        preview=lambda: plot(report),
    )


def suspects(fit: TaggerFit, rows: pa.Table) -> pa.Table:
    """The probable label errors as `schema.SUSPECTS`, the least believable first."""
    columns = (rows[name].to_pylist() for name in ("sha256", "label", "id"))
    ids = {(sha256, label): one for sha256, label, one in zip(*columns, strict=True)}
    found = [{**one, "id": ids[one["sha256"], one["label"]]} for one in fit.suspects]
    return pa.Table.from_pylist(found, schema=schema.SUSPECTS)


def served_tagger(tagger: Manifest, trunk: str) -> dict[str, File]:
    """What a release holds of it; nothing where there is none, or it takes another trunk's vectors."""
    fits = STATE in tagger.files and tagger.facts["trunk"] == trunk
    return {name: tagger.files[name] for name in (STATE, REPORT)} if fits else {}
