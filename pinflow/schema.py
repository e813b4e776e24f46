"""The columns, types and units of every table that pinflow writes, once.

Checks, Dagster's column metadata and the rooms all read them from here. A table is a `pyarrow.Table`
with exactly these columns in this order; what a column means stands in its field metadata.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SPLITS = ("train", "val", "test", "held_out")
FOLDS = 5
REJECT_REASONS = (
    "not_fetched",  # the site listed the pin but did not give the picture
    "not_a_picture",
    "truncated",
    "corrupt",
    "too_small",
    "bomb",
    "exact_duplicate",
    "near_duplicate",
    "tombstone",
)


def _field(name: str, kind: pa.DataType, means: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": means})


def vector(width: int) -> pa.DataType:
    """The type of a column of float32 vectors, `width` numbers a row."""
    return pa.list_(pa.float32(), width)


TEXT = pa.string()
TEXTS = pa.list_(pa.string())
ATTRIBUTES = pa.map_(pa.string(), pa.string())
TIME = pa.timestamp("ms", tz="UTC")

# What a person knows about a pin. It travels from the site to the search result unchanged.
_DESCRIPTION = [
    _field("page_url", TEXT, "the page that shows the pin", nullable=True),
    _field("picture_url", TEXT, "where the picture's bytes came from", nullable=True),
    _field("title", TEXT, "title as the site gives it", nullable=True),
    _field("caption", TEXT, "description or alternative text", nullable=True),
    _field("price", pa.float64(), "price in `currency`", nullable=True),
    _field("currency", TEXT, "ISO 4217 code", nullable=True),
    _field("creator", TEXT, "who made or pinned it", nullable=True),
    _field("licence", TEXT, "licence as the site gives it", nullable=True),
    _field("attributes", ATTRIBUTES, "further columns of the source, by name"),
    _field("related", TEXTS, "ids of the pins that the site recommends beside this one"),
]

PINS = pa.schema(
    [
        _field("id", TEXT, "the source's own id, an opaque string"),
        *_DESCRIPTION,
        _field("sha256", TEXT, "digest of the picture's bytes; null where they did not come", nullable=True),
        _field("bytes", pa.int64(), "size of the picture in bytes", nullable=True),
        _field("error", TEXT, "why the picture did not come", nullable=True),
        _field("origin_keys", TEXTS, "identities given by the site: aggregated pin, signature, link"),
        _field("fetched_at", TIME, "when the bytes were fetched", nullable=True),
        _field("signals", TEXT, "what the site says about use: X-Robots-Tag, Content-Usage", nullable=True),
    ]
)

# What a label's scrapes have seen over time, a row a pin ever listed. Beside the pins, because it moves daily
# and nothing downstream depends on it.
SIGHTINGS = pa.schema(
    [
        _field("id", TEXT, "the source's own id"),
        _field("first_seen", TIME, "first scrape that listed it"),
        _field("last_seen", TIME, "last scrape that listed it"),
        _field("changed_at", TIME, "last scrape in which what the source says of it changed", nullable=True),
        _field("changed", TEXTS, "the columns that changed then"),
        _field("missing_since", TIME, "first of the complete scrapes without it", nullable=True),
        _field("missed", pa.int32(), "times in a row that it was proved missing"),
        _field("gone_at", TIME, "when it was taken to be gone for good", nullable=True),
    ]
)

PICTURES = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        *_DESCRIPTION,
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("width", pa.int32(), "pixels, after EXIF orientation"),
        _field("height", pa.int32(), "pixels, after EXIF orientation"),
        _field("phash", pa.uint64(), "64-bit perceptual hash"),
        _field("origin_keys", TEXTS, "identities given by the site"),
        _field("duplicates", TEXTS, "ids of the near-duplicates that this picture stands for"),
        _field("fetched_at", TIME, "when the bytes were fetched", nullable=True),
    ]
)

REJECTS = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("sha256", TEXT, "digest of the original bytes", nullable=True),
        _field("reason", TEXT, "one of " + ", ".join(REJECT_REASONS)),
        _field("detail", TEXT, "what was found, for a person"),
        _field("duplicate_of", TEXT, "pin id of the picture kept instead", nullable=True),
    ]
)

# A shard holds the curated derivative: sRGB, upright, no metadata, longest side at most 256 px.
SHARD = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("jpeg", pa.binary(), "JPEG, longest side <= 256 px"),
    ]
)

PALETTE = 5  # colours that are kept of a picture

# What a release can filter by colour with, 20 bytes a pin; row i belongs to pin i.
COLOURS = pa.schema(
    [
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("lab", pa.list_(pa.int8(), 3 * PALETTE), "CIE Lab of each colour, the largest first"),
        _field("share", pa.list_(pa.uint8(), PALETTE), "percentage of the picture that each covers"),
    ]
)

# Pictures whose label is probably wrong, by probes that never saw them.
SUSPECTS = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("label", TEXT, "slug of the label it was found under"),
        _field("suggested", TEXT, "slug of the label that is likelier"),
        _field("probability", pa.float64(), "calibrated probability of `label`"),
        _field("suggested_probability", pa.float64(), "calibrated probability of `suggested`"),
    ]
)

THUMBNAILS = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("webp", pa.binary(), "WebP, longest side <= 256 px"),
    ]
)

SPLIT_ROWS = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("label", TEXT, "slug of the label"),
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("phash", pa.uint64(), "64-bit perceptual hash"),
        _field("group", TEXT, "pictures of one group never straddle a split"),
        _field("keys", TEXTS, "identities that tie the picture to its group, here and under other labels"),
        _field("split", TEXT, "one of " + ", ".join(SPLITS)),
        _field("fold", pa.int8(), f"cross-validation fold, 0..{FOLDS - 1}, by group"),
        _field("attributes", ATTRIBUTES, "further columns of the source, by name"),
        _field("related", TEXTS, "ids of related pins"),
    ]
)


def features(width: int, stages: int = 0) -> pa.Schema:
    """Trunk vectors, float32, not normalised; which trunk stands in the manifest. `stages`: numbers of its
    inner stages, 0 for a network that hides them."""
    fields = [
        _field("id", TEXT, "pin id"),
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("vector", vector(width), "trunk output, pooled"),
    ]
    inner = _field("stages", vector(stages), "outputs of the inner stages, pooled, each of length 1")
    return pa.schema([*fields, inner] if stages else fields)


def embeddings(shared: int, local: int, style: int | None = None) -> pa.Schema:
    """Encoder outputs, float32, L2-normalised: a row per picture and encoder digest. A table that is
    stored has a style too."""
    own = [] if style is None else _style(style)
    return pa.schema(
        [
            _field("id", TEXT, "pin id"),
            _field("sha256", TEXT, "digest of the original bytes"),
            _field("encoder", TEXT, "digest of the encoder that made `shared`"),
            _field("label_encoder", TEXT, "digest of the label encoder that made `local`"),
            _field("shared", vector(shared), "unit vector in the collection's space"),
            _field("local", vector(local), "unit vector in the label's own space"),
            *own,
        ]
    )


def _style(width: int) -> list[pa.Field]:
    return [
        _field("style_encoder", TEXT, "digest of the map that made `style`"),
        _field("style", vector(width), "unit vector in the space of styles"),
    ]


def atlas(dimensions: tuple[int, ...] = (2, 3)) -> pa.Schema:
    """Where each picture stands on the map, and its cluster."""
    axes = [f"{axis}{d}" for d in dimensions for axis in "xyz"[:d]]
    return pa.schema(
        [
            _field("id", TEXT, "pin id"),
            _field("label", TEXT, "slug of the label"),
            *[_field(axis, pa.float32(), "map coordinate, no unit") for axis in axes],
            _field("cluster", pa.int32(), "HDBSCAN cluster, -1 for none"),
        ]
    )


# What a release knows about each picture; row i belongs to vector i of the gallery.
RELEASE_PINS = pa.schema(
    [
        _field("id", TEXT, "pin id"),
        _field("labels", TEXTS, "slugs of the labels it was found under"),
        *_DESCRIPTION,
        _field("sha256", TEXT, "digest of the original bytes"),
        _field("width", pa.int32(), "pixels of the original"),
        _field("height", pa.int32(), "pixels of the original"),
        _field("fetched_at", TIME, "when the bytes were fetched", nullable=True),
    ]
)


def matrix(table: pa.Table, column: str) -> npt.NDArray[np.float32]:
    """A column of vectors as an array (n, d) float32."""
    width: int = table.schema.field(column).type.list_size
    flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.asarray(flat, np.float32).reshape(table.num_rows, width)


def width(table: pa.Table, column: str) -> int:
    """Numbers in a column of vectors, 0 where there is no such column."""
    return table.schema.field(column).type.list_size if column in table.column_names else 0


def vectors(array: npt.NDArray[np.float32]) -> pa.FixedSizeListArray:
    """An array (n, d) float32 as a column of vectors."""
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel(), pa.float32()), array.shape[1])


def empty(schema: pa.Schema) -> pa.Table:
    """A table with no rows of that schema."""
    return pa.Table.from_batches([], schema)  # `schema.empty_table()` imports pandas where it is installed


def neighbours(k: int) -> pa.Schema:
    """The k nearest neighbours of each picture, best first."""
    return pa.schema(
        [
            _field("id", TEXT, "pin id"),
            _field("neighbours", pa.list_(pa.int32(), k), "rows of this very table, -1 for none"),
            _field("similarities", vector(k), "cosine of each, 0 for none"),
        ]
    )


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns of `schema`, in order and cast.

    Raises `ValueError` naming the columns that are missing or cannot be cast.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise ValueError(f"missing columns: {', '.join(missing)}")
    return table.select(schema.names).cast(schema)


def problems(table: pa.Table, schema: pa.Schema) -> list[str]:
    """What keeps `table` from being a valid `schema` table: wrong columns, wrong types, nulls."""
    found = [f"no column {name}" for name in schema.names if name not in table.column_names]
    found += [f"unknown column {name}" for name in table.column_names if name not in schema.names]
    for field in schema:
        if field.name not in table.column_names:
            continue
        column = table.column(field.name)
        if column.type != field.type:
            found.append(f"{field.name} is {column.type}, not {field.type}")
        elif not field.nullable and column.null_count:
            found.append(f"{field.name} has {column.null_count} nulls")
    return found
