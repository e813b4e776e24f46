"""What a materialisation tells in the Dagster UI: counts, columns, a picture, where it came from.

Previews are stored in Dagster's event log, so every one of them is capped in bytes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from pinflow import __version__
from pinflow.pipeline.partition import Partition
from pinflow.store import Manifest

PREVIEW_BYTES = 60_000
COUNTS_IN_A_LINE = 6
LABELS_LISTED = 50
DIGEST = re.compile(r"[0-9a-f]{64}")
DIGEST_SHOWN = 16  # characters
MAIN_TABLES = {
    "pins": "pins.parquet",
    "images": "pictures.parquet",
    "features": "table.parquet",
    "encoder": "rows.parquet",
    "tagger": "rows.parquet",
    "atlas": "points.parquet",
    "projection": "points.parquet",
    "release": "pins.parquet",
    "gallery": "pins.parquet",
    "index": "local.parquet",
}


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
    stats = {name: value for name, value in manifest.stats.items() if name not in ("preview", "seconds")}
    return {
        **({} if (count := rows(manifest)) is None else {"dagster/row_count": count}),
        "status": manifest.status if manifest.reason is None else f"{manifest.status}: {manifest.reason}",
        **_told(manifest.facts),
        **_told(stats),
        "preview": _preview(part, manifest),
        **_written(part, manifest),
        "bytes": manifest.size,
        "seconds": dg.MetadataValue.float(float(round(sum(part.seconds.values()), 4))),
        "body_seconds": dg.MetadataValue.float(round(body_seconds, 4)),
        "provenance": _provenance(manifest),
    }


def main_columns(part: Partition, manifest: Manifest) -> dict[str, Any]:
    """The columns of the main table as they are stored, with what they mean; none for a stage without."""
    import pyarrow.parquet as pq

    tables = [name for name, file in manifest.files.items() if file.rows is not None]
    main = MAIN_TABLES.get(manifest.stage, tables[0] if tables else "")
    if main not in manifest.files:
        return {}
    data = part.store.get(manifest.collection, manifest.files[main].sha256)
    found = pq.read_schema(pa.BufferReader(data))
    return {"dagster/column_schema": columns(found)}


def rows(manifest: Manifest) -> int | None:
    """Rows of the table that the stage is about; of all tables where none is the main one. None where
    there is no table."""
    main = manifest.files.get(MAIN_TABLES.get(manifest.stage, ""))
    tables = [file.rows for file in ([main] if main else manifest.files.values()) if file.rows is not None]
    return sum(tables) if tables else None


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What fits a line, under its own name: numbers, sentences, a few counts, digests shortened. What
    does not fit is in the preview."""
    told: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, bool | int | float):
            told[name] = value
        elif isinstance(value, str):
            told[name] = _short(value)
        elif isinstance(value, Mapping) and len(value) <= COUNTS_IN_A_LINE:
            told[name] = ", ".join(f"{key} {_short(one)}" for key, one in value.items()) or "none"
        elif isinstance(value, list):
            told[name] = ", ".join(_short(one) for one in value) or "none"
    return told


def _short(value: Any) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else str(value)
    return text[:DIGEST_SHOWN] if DIGEST.fullmatch(text) else text


def _preview(part: Partition, manifest: Manifest) -> dg.MarkdownMetadataValue:
    """The state's picture, inside the event log, and counts as bars. A picture over the cap is left out
    and said so, never cut."""
    parts = [_picture(part, manifest)]
    for name, counts in manifest.facts.items():
        if isinstance(counts, Mapping) and counts and all(isinstance(one, int) for one in counts.values()):
            parts.append(f"**{name.replace('_', ' ')}**\n\n{bars(counts)}")
    return dg.MetadataValue.md("\n\n".join(part for part in parts if part) or "nothing to see")


def _written(part: Partition, manifest: Manifest) -> dict[str, Any]:
    """What the state has in Markdown, as it is."""
    return {
        name.removesuffix(".md"): dg.MetadataValue.md(part.store.file(manifest, name).decode())
        for name, file in manifest.files.items()
        if name.endswith(".md") and file.bytes <= PREVIEW_BYTES
    }


def _picture(part: Partition, manifest: Manifest) -> str:
    shown = manifest.stats.get("preview")
    if not shown:
        return ""
    if shown["bytes"] > PREVIEW_BYTES:
        return f"{shown['bytes']} bytes: over the cap of {PREVIEW_BYTES}"
    picture = part.store.get(manifest.collection, shown["sha256"])
    kind = "png" if picture.startswith(b"\x89PNG") else "webp" if picture[8:12] == b"WEBP" else "jpeg"
    data = base64.b64encode(picture).decode()
    return f"![{manifest.stage}](data:image/{kind};base64,{data})"


def bars(counts: Mapping[str, float], width: int = 24, most: int = 40) -> str:
    """Counts as a small bar chart in Markdown, the largest first; it needs no plotting library."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    longest = max(1, ordered[0][1])
    lines = [f"| {name} | {count:g} | {'█' * round(width * count / longest)} |" for name, count in ordered]
    more = [f"| and {len(lines) - most} more | | |"] if len(lines) > most else []
    return "\n".join(["| | | |", "|---|--:|:--|", *lines[:most], *more])


def _provenance(manifest: Manifest) -> dg.MarkdownMetadataValue:
    """What it was made from and what it is, by digest."""
    table = ["| made from | version |", "|---|---|"]
    for stage, version in manifest.inputs.items():
        if isinstance(version, str):
            table.append(f"| {stage} | `{_short(version)}` |")
        elif len(version) > LABELS_LISTED:
            table.append(f"| {stage} | {len(version)} labels |")
        else:
            table += [f"| {stage} / {label} | `{_short(one)}` |" for label, one in version.items()]
    files = ["| file | rows | bytes | sha256 |", "|---|--:|--:|---|"]
    for name, file in list(manifest.files.items())[:LABELS_LISTED]:
        files.append(
            f"| {name} | {'' if file.rows is None else file.rows} | {file.bytes} | `{_short(file.sha256)}` |"
        )
    if len(manifest.files) > LABELS_LISTED:
        files.append(f"| and {len(manifest.files) - LABELS_LISTED} more | | | |")
    made = f"version `{_short(manifest.version)}`, recipe `{_short(manifest.recipe)}`, pinflow {__version__}"
    return dg.MetadataValue.md("\n".join([made, "", *(table if manifest.inputs else ()), "", *files]))
