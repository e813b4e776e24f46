"""The real server under a crowd, slow callers, and releases that change and come back."""

import asyncio
import collections
import contextlib
import io
import json
import socket
import time

import aiohttp
import numpy as np
import pytest
from PIL import Image

from pinflow.serving import protocol
from pinflow.serving.app import make_app
from pinflow.serving.releases import Releases
from pinflow.settings import Settings
from pinflow_tests.retrieval.releases import GridTrunk, make_pins
from pinflow_tests.serving.server import running
from pinflow_tests.serving.source import FolderSource

pytestmark = pytest.mark.system

SEARCH = "/v1/collections/drawings/search"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    source = FolderSource(tmp_path_factory.mktemp("source"))
    source.publish("drawings", "r1")
    source.publish("drawings", "r2", pins=make_pins()[:20])
    source.point("drawings", "r1")
    return source


@pytest.fixture(scope="module")
def url(source):
    releases = Releases(source, load_trunk=lambda name: GridTrunk(), every=0.05)
    releases.poll()
    with running(make_app(releases, Settings(api_token=None))) as port:
        yield f"http://127.0.0.1:{port}"


def photograph(side=1000):
    """A JPEG of noise: some 900 kB, and slow to decode."""
    rng = np.random.default_rng(0)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "JPEG", quality=90)
    return out.getvalue()


def test_a_thousand_uploads_at_once_are_answered_or_refused_and_the_server_stays_up(url):
    picture = photograph()

    async def upload(session):
        form = aiohttp.FormData()
        form.add_field("file", picture, filename="a.jpg")
        async with session.post(url + SEARCH, data=form) as response:
            body = await response.read()
            if response.status == 503:
                assert response.headers["content-type"] == "application/problem+json"
                assert response.headers["retry-after"] == "1"
            else:
                assert json.loads(body)["results"]
            return response.status

    async def crowd():
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(300)) as session:
            tasks = [asyncio.create_task(upload(session)) for _ in range(1000)]
            await asyncio.sleep(1)
            async with session.get(url + "/healthz") as response:
                assert response.status == 200  # meanwhile
            return collections.Counter(await asyncio.gather(*tasks))

    statuses = asyncio.run(crowd())
    assert set(statuses) <= {200, 503}
    assert statuses[200] >= 100
    assert asyncio.run(_status(url + "/readyz")) == 200


async def _status(address):
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        return response.status


def test_callers_that_never_finish_their_headers_are_dropped(url, monkeypatch):
    monkeypatch.setattr(protocol, "HEADER_SECONDS", 0.5)
    host, port = url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(100)]
    try:
        for one in slow[:50]:
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        # A kept connection whose second request never ends.
        for one in slow[50:]:
            one.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
        for one in slow[50:]:
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
            one.sendall(b"GET /he")
        assert asyncio.run(_status(url + "/healthz")) == 200
        deadline = time.monotonic() + 5
        for one in slow:
            one.settimeout(max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(4096) == b""
    finally:
        for one in slow:
            one.close()


def test_releases_swapped_and_rolled_back_under_load_drop_no_request(url, source):
    """Sixteen callers, keeping their connections, while the release changes thirty times."""
    sizes = {"r1": 36, "r2": 20}

    async def call(session, until, seen):
        while time.monotonic() < until:
            asked = {"positive": [{"text": "drawn"}], "limit": 200}
            async with session.post(url + SEARCH, json=asked) as response:
                assert response.status == 200
                body = await response.json()
                assert len(body["results"]) == sizes[body["release"]]
                seen[body["release"]] += 1

    async def swap(until):
        turn = 0
        while time.monotonic() < until:
            turn += 1
            source.point("drawings", ("r2", "r1")[turn % 2])
            await asyncio.sleep(0.2)

    async def run():
        seen, until = collections.Counter(), time.monotonic() + 6
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(swap(until), *(call(session, until, seen) for _ in range(16)))
        return seen

    seen = asyncio.run(run())
    assert min(seen["r1"], seen["r2"]) > 20
