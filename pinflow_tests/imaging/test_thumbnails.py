"""Thumbnails are the shards' pictures in fewer bytes, made when somebody asks."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pinflow import schema
from pinflow.imaging import thumbnails
from pinflow.imaging.derivatives import derive
from pinflow.imaging.thumbnails import Thumbnails, thumbnail
from pinflow_tests.imaging.pictures import encoded, scene


def test_a_thumbnail_looks_like_its_derivative() -> None:
    jpeg = derive(encoded(scene(3, 736, 1104), "JPEG")).jpeg
    webp = thumbnail(jpeg)
    with Image.open(io.BytesIO(webp)) as small, Image.open(io.BytesIO(jpeg)) as derivative:
        assert (small.format, small.size) == ("WEBP", (171, 256))
        assert np.abs(np.subtract(small.convert("RGB"), derivative, dtype=np.int16)).mean() < 4
    assert len(webp) < len(jpeg)
    assert thumbnail(jpeg) == webp


def test_one_table_a_shard_made_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    monkeypatch.setattr(thumbnails, "thumbnail", lambda jpeg: asked.append(jpeg) or b"webp of " + jpeg)
    row = dict.fromkeys(schema.SHARD.names, "")
    shards = [
        pa.Table.from_pylist([row | {"id": key, "jpeg": key.encode()} for key in keys], schema=schema.SHARD)
        for keys in ("ab", "c")
    ]
    tables = Thumbnails(shards)
    assert (len(tables), asked) == (2, [])
    assert tables[1].to_pylist() == [{"id": "c", "webp": b"webp of c"}]
    assert asked == [b"c"]
    assert [table["id"].to_pylist() for table in tables] == [["a", "b"], ["c"]]
    assert [table.schema for table in tables[:1]] == [schema.THUMBNAILS]
