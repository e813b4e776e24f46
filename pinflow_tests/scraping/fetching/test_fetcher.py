"""The way to the web against a real server that misbehaves in every way."""

from __future__ import annotations

import asyncio
import gzip
import ipaddress
import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from pinflow.scraping.fetching import fetcher as module
from pinflow.scraping.fetching import manners
from pinflow.scraping.fetching.errors import (
    AddressRefused,
    FetchError,
    HostResting,
    Refused,
    RobotsRefused,
    RobotsUnreadable,
    TooLarge,
    UseRefused,
)
from pinflow.scraping.fetching.fetcher import Fetched, Fetcher
from pinflow.scraping.fetching.pace import Pace
from pinflow_tests.scraping.server import Site, serve


def get(site: Site, path: str, *, own: bool = True, times: int = 1, **how: Any) -> Fetched:
    async def ask() -> Fetched:
        async with Fetcher(Pace(), own_url=site.base if own else None) as fetcher:
            for _ in range(times):
                found = await fetcher.get(path if "://" in path else site.base + path, **how)
            return found

    return asyncio.run(ask())


@pytest.fixture(autouse=True)
def _something(site: Site) -> None:
    site.files["/x"] = b"something"


def test_the_answer_as_it_is(site: Site) -> None:
    found = get(site, "/x")
    assert (found.status, found.body, found.url) == (200, b"something", f"{site.base}/x")


def test_a_status_is_an_answer(site: Site) -> None:
    assert get(site, "/nothing").status == 404


def test_robots_are_read_once_a_crawl(site: Site) -> None:
    get(site, "/x", times=3)
    assert site.asked == ["/robots.txt", "/x", "/x", "/x"]


def test_robots_are_obeyed(site: Site) -> None:
    site.robots = (200, "User-agent: *\nDisallow: /x\n")
    with pytest.raises(RobotsRefused, match=r"refused by robots\.txt"):
        get(site, "/x")
    assert site.asked == ["/robots.txt"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_robots_that_cannot_be_read_mean_no(site: Site, status: int) -> None:
    site.robots = (status, "")
    with pytest.raises(RobotsUnreadable) as raised:
        get(site, "/x")
    assert raised.value.later
    assert "/x" not in site.asked


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_no_robots_mean_yes(site: Site, status: int) -> None:
    site.robots = (status, "User-agent: *\nDisallow: /\n")
    assert get(site, "/x").status == 200


def test_a_crawl_delay_beyond_patience_is_a_no(site: Site) -> None:
    site.robots = (200, "User-agent: *\nCrawl-delay: 3600\n")
    with pytest.raises(RobotsRefused, match="wants 3600 s between requests"):
        get(site, "/x")


def test_robots_that_forbid_learning_are_a_no(site: Site) -> None:
    site.robots = (200, "User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /\n")
    with pytest.raises(UseRefused, match="ai-train=n"):
        get(site, "/x")
    assert site.asked == ["/robots.txt"]


def test_what_an_answer_says_about_use_comes_with_it(site: Site) -> None:
    site.headers["/x"] = {"X-Robots-Tag": "noai"}
    assert get(site, "/x").signals.against_pictures == "X-Robots-Tag: noai"


def test_redirects_are_followed_within_the_rules(site: Site) -> None:
    site.redirects["/moved"] = "/x"
    found = get(site, "/moved")
    assert (found.body, found.url) == (b"something", f"{site.base}/x")
    site.robots = (200, "User-agent: *\nDisallow: /x\n")
    with pytest.raises(RobotsRefused):
        get(site, "/moved")


def test_redirects_without_end_are_refused(site: Site) -> None:
    site.redirects["/round"] = "/round"
    with pytest.raises(Refused, match="more than 5 redirects"):
        get(site, "/round")


@pytest.mark.parametrize(
    "to", ["http://localhost:{port}/x", "http://2130706433:{port}/x", "http://[::ffff:127.0.0.1]:{port}/x"]
)
def test_a_redirect_to_a_private_address_is_refused(site: Site, to: str) -> None:
    site.redirects["/moved"] = to.format(port=site.base.rsplit(":", 1)[1])
    with pytest.raises(AddressRefused):
        get(site, "/moved")
    assert "/x" not in site.asked


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "javascript:x"])
def test_a_redirect_off_the_web_is_refused(site: Site, to: str) -> None:
    site.redirects["/moved"] = to
    with pytest.raises(Refused, match=r"not an http\(s\) address"):
        get(site, "/moved")


def test_a_private_address_is_refused_without_being_asked(site: Site) -> None:
    with pytest.raises(AddressRefused, match="not public"):
        get(site, "/x", own=False)
    assert site.asked == []


@pytest.mark.parametrize("url", ["http://[::1", "http://x:99999/", "http://", "x", "http://exa mple/"])
def test_what_is_no_address_is_refused(site: Site, url: str) -> None:
    async def ask() -> None:
        async with Fetcher(Pace()) as fetcher:
            await fetcher.get(url)

    with pytest.raises(FetchError):
        asyncio.run(ask())


def test_too_much_is_cut_off_while_it_comes(site: Site) -> None:
    site.huge = {"/huge"}
    with pytest.raises(TooLarge, match="larger than 1 MiB"):
        get(site, "/huge", max_bytes=2**20)


def test_too_much_is_refused_by_its_announced_length(site: Site) -> None:
    site.files["/long"] = b"\0" * 2**21
    with pytest.raises(TooLarge):
        get(site, "/long", max_bytes=2**20)


def test_what_unpacks_to_too_much_is_cut_off(site: Site) -> None:
    site.files["/bomb"] = gzip.compress(b"\0" * 2**26)
    site.headers["/bomb"] = {"Content-Encoding": "gzip"}
    with pytest.raises(TooLarge):
        get(site, "/bomb", max_bytes=2**20)


def test_after_too_much_the_next_answer_is_right(site: Site) -> None:
    site.huge = {"/huge"}

    async def ask() -> bytes:
        async with Fetcher(Pace(), own_url=site.base) as fetcher:
            for _ in range(3):
                with pytest.raises(TooLarge):
                    await fetcher.get(f"{site.base}/huge", max_bytes=2**16)
            return (await fetcher.get(f"{site.base}/x")).body

    assert asyncio.run(ask()) == b"something"


def test_a_silent_host_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(manners, "RETRIES", 0)
    site.slow["/x"] = 2.0
    started = time.monotonic()
    with pytest.raises(FetchError, match="timed out") as raised:
        get(site, "/x")
    assert raised.value.later
    assert time.monotonic() - started < 1.5


def test_a_host_that_never_comes_to_an_end_is_given_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(manners, "RETRIES", 0)
    site.drips = {"/drip"}
    started = time.monotonic()
    with pytest.raises(FetchError, match="timed out"):
        get(site, "/drip")
    assert time.monotonic() - started < 2


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    with serve(tls=self_signed("127.0.0.1", tmp_path)) as site:
        site.files["/x"] = b"something"
        with pytest.raises(RobotsUnreadable, match="certificate is not valid"):
            get(site, "/x")
        assert site.asked == []


def self_signed(host: str, folder: Path) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "site.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "site.pem")
    return context


def test_a_busy_host_is_asked_again_and_no_more_than_twice(site: Site) -> None:
    site.faults["/x"] = [503, 429]
    assert get(site, "/x").status == 200
    site.asked.clear()
    site.always["/x"] = 503
    assert get(site, "/x").status == 503
    assert site.asked.count("/x") == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_who_asks_for_a_long_pause_gets_it(site: Site, form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3600)
    site.always["/x"] = 429
    site.headers["/x"] = {"Retry-After": "3600" if form == "seconds" else format_datetime(at, usegmt=True)}
    with pytest.raises(HostResting, match=r"asked for a pause of 3[56]"):
        get(site, "/x")
    assert site.asked.count("/x") == 1


@pytest.mark.parametrize("value", ["soon", "-1", "", "1e9", "Mon, 99 Foo", "\u0663"])
def test_an_unreadable_retry_after_says_nothing(value: str) -> None:
    assert module._retry_after(value) in (None, 3.0)


def test_a_host_that_is_not_there(site: Site) -> None:
    async def ask() -> None:
        async with Fetcher(Pace(), own_url="http://127.0.0.1:1") as fetcher:
            await fetcher.get("http://127.0.0.1:1/x")

    with pytest.raises(RobotsUnreadable, match="connection refused"):
        asyncio.run(ask())


def test_we_say_who_we_are_and_send_no_cookies_back(site: Site) -> None:
    site.headers["/x"] = {"Set-Cookie": "session=1; Path=/"}
    get(site, "/x", times=2)
    assert {agent.split("/")[0] for agent in site.agents} == {"pinflow"}
    assert site.cookies == set()


def test_what_was_asked_is_counted(site: Site) -> None:
    async def ask() -> dict[str, int]:
        async with Fetcher(Pace(), own_url=site.base) as fetcher:
            await fetcher.get(f"{site.base}/x")
            await fetcher.get(f"{site.base}/nothing")
            return dict(fetcher.counts)

    assert asyncio.run(ask()) == {"requests": 3, "status_200": 2, "status_404": 1}
