"""Storage for tests: a local folder, and S3 over real HTTP on loopback. No test here leaves the machine."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pinflow.store import File, Manifest, Store

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of an S3 server in this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """`s3://bucket/prefix`, the bucket new and empty, for this process and those that it starts."""
    import boto3

    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_server}.items():
        monkeypatch.setenv(name, value)
    bucket = f"pinflow-{uuid.uuid4().hex[:12]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/house"


@pytest.fixture(params=["disk", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A storage URL, of each kind in turn."""
    return str(tmp_path / "storage") if request.param == "disk" else request.getfixturevalue("s3")


@pytest.fixture
def store(url: str) -> Store:
    return Store(url)


def table(rows: int = 5) -> pa.Table:
    return pa.table({"id": [f"pin-{n}" for n in range(rows)], "x": np.arange(rows, dtype=np.float32)})


def manifest(
    files: dict[str, File], *, stage: str = "splits", label: str | None = "red-shoes", version: str = "v1"
) -> Manifest:
    return Manifest("shop", stage, label, version, recipe="r1", inputs={}, files=files)


def place(sha256: str) -> tuple[str, ...]:
    """Where a blob of the collection `shop` is stored."""
    return ("shop", "blobs", sha256[:2], sha256[2:4], sha256)


def flip(store: Store, sha256: str) -> None:
    """Damage a stored blob: one byte, same size."""
    data = bytearray(store.read(*place(sha256)))
    data[len(data) // 2] ^= 0xFF
    store.write(bytes(data), *place(sha256))
