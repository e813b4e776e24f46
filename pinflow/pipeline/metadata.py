"""What a materialisation tells in the Dagster UI: counts, columns, a picture, where it came from.

Previews are stored in Dagster's event log, so every one of them is capped in bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa

from pinflow import __version__
from pinflow.pipeline.partition import Partition
from pinflow.store import Manifest

PREVIEW_BYTES = 60_000


def columns(schema: pa.Schema) -> dg.TableSchema:
    """The columns of a table, with what they mean, as Dagster shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                str(field.type),
                description=(field.metadata or {}).get(b"description", b"").decode() or None,
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in schema
        ]
    )


def report(part: Partition, manifest: Manifest, body_seconds: float) -> dict[str, Any]:
    """All that the Dagster UI shows of one materialisation. `seconds` were spent in the room's functions
    this time (0 where nothing had changed), `body_seconds` in all that the stage does."""
    numbers = {k: v for k, v in manifest.facts.items() if isinstance(v, Mapping) and _countable(v)}
    return {
        **_provenance(manifest),
        "seconds": dg.MetadataValue.float(float(round(sum(part.seconds.values()), 4))),
        "body_seconds": dg.MetadataValue.float(round(body_seconds, 4)),
        **_preview(part, manifest),
        **{name: bars(counts) for name, counts in numbers.items() if counts},
    }


def _countable(values: Mapping[str, Any]) -> bool:
    return len(values) <= 50 and all(isinstance(value, int) for value in values.values())


def _preview(part: Partition, manifest: Manifest) -> dict[str, Any]:
    """The state's picture, inside the event log. One over the cap is left out and said so, never cut."""
    shown = manifest.stats.get("preview")
    if not shown:
        return {}
    if shown["bytes"] > PREVIEW_BYTES:
        return {"preview": f"{shown['bytes']} bytes: over the cap of {PREVIEW_BYTES}"}
    picture = part.store.get(manifest.collection, shown["sha256"])
    kind = "png" if picture.startswith(b"\x89PNG") else "webp" if picture[8:12] == b"WEBP" else "jpeg"
    data = base64.b64encode(picture).decode()
    return {"preview": dg.MetadataValue.md(f"![{manifest.stage}](data:image/{kind};base64,{data})")}


def bars(counts: Mapping[str, float], width: int = 24) -> dg.MarkdownMetadataValue:
    """Counts as a small bar chart that needs no plotting library."""
    longest = max([*counts.values(), 1])
    rows = [
        f"| {name} | {count:g} | {'█' * round(width * count / longest)} |" for name, count in counts.items()
    ]
    return dg.MetadataValue.md("\n".join(["| | | |", "|---|--:|:--|", *rows]))


def _provenance(manifest: Manifest) -> dict[str, Any]:
    """Rows, bytes, versions: the same words for every stage."""
    return {
        "dagster/row_count": manifest.rows,
        "bytes": manifest.size,
        "status": manifest.status if manifest.reason is None else f"{manifest.status}: {manifest.reason}",
        "version": manifest.version[:16],
        "built_from": dg.MetadataValue.json(_short(manifest.inputs)),
        "files": dg.MetadataValue.json({name: file.sha256[:16] for name, file in manifest.files.items()}),
        "stats": dg.MetadataValue.json(dict(manifest.stats)),
        "pinflow": __version__,
    }


def _short(inputs: Mapping[str, Any], most: int = 50) -> dict[str, Any]:
    """Input versions, shortened for reading; a long list of labels is counted instead."""
    short: dict[str, Any] = {}
    for stage, version in inputs.items():
        if isinstance(version, str):
            short[stage] = version[:16]
        elif len(version) <= most:
            short[stage] = {label: one[:16] for label, one in version.items()}
        else:
            short[stage] = f"{len(version)} labels"
    return short


def strip(pictures: Sequence[bytes], columns: int = 8) -> bytes | None:
    """A contact sheet of thumbnails, or None for none."""
    from pinflow.imaging.sheet import contact_sheet

    return contact_sheet(pictures, columns=columns, max_bytes=PREVIEW_BYTES * 3 // 4) if pictures else None
