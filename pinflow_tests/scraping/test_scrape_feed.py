"""Feeds: local and on the web, with pictures that come over HTTP, and addresses that must not be followed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.sample.made import make_samples
from pinflow.sample.shopfront import FEEDS
from pinflow.sample.site import SampleSite
from pinflow.scraping.crawler import Crawler
from pinflow.scraping.scrape import list_labels, scrape
from pinflow_tests.scraping.server import Site

HEADER = "id,title,price,image_link,link,category\n"


def lines(site: Site) -> str:
    return HEADER + (
        f'c1,"Chair, oak",249.00 EUR,{site.base}/c1.jpg,{site.base}/p/c1,Chairs\n'
        f"t1,Table,99,{site.base}/t1.jpg,{site.base}/p/t1,Tables\n"
        f"c2,Stool,19.5 EUR,{site.base}/c2.jpg,{site.base}/p/c2,chairs\n"
    )


@pytest.fixture
def feed(site: Site, tmp_path: Path) -> Source:
    path = tmp_path / "feed.csv"
    path.write_text(lines(site), encoding="utf-8-sig")
    return Source(kind="feed", path=str(path), base_url=site.base)


def test_labels_in_first_seen_order(feed: Source, tmp_path: Path) -> None:
    assert list_labels(feed, work=tmp_path / "w") == ["Chairs", "Tables"]


def test_the_rows_of_a_label_with_their_pictures(feed: Source, tmp_path: Path, crawler: Crawler) -> None:
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    rows = found.pins.to_pylist()
    assert (found.complete, found.reason) == (True, None)
    assert [(row["id"], row["title"], row["price"], row["currency"]) for row in rows] == [
        ("c1", "Chair, oak", 249.0, "EUR"),
        ("c2", "Stool", 19.5, "EUR"),
    ]
    assert set(found.files) == {row["sha256"] for row in rows}


def test_a_feed_on_the_web(site: Site, feed: Source, tmp_path: Path, crawler: Crawler) -> None:
    site.files["/feed.csv"] = lines(site).encode()
    web = feed.model_copy(update={"path": f"{site.base}/feed.csv"})
    assert list_labels(web, work=tmp_path / "l", crawler=crawler) == ["Chairs", "Tables"]
    first = scrape(web, "Tables", work=tmp_path / "1", crawler=crawler)
    site.asked.clear()
    again = scrape(web, "Tables", work=tmp_path / "2", previous=first.pins, crawler=crawler)
    assert (again.complete, again.pins.equals(first.pins), again.files) == (True, True, {})
    assert site.asked == ["/robots.txt", "/feed.csv"]


def test_a_feed_that_does_not_come_keeps_what_was_known(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    first = scrape(feed, "Chairs", work=tmp_path / "1", crawler=crawler)
    web = feed.model_copy(update={"path": f"{site.base}/gone.csv"})
    found = scrape(web, "Chairs", work=tmp_path / "2", previous=first.pins, crawler=crawler)
    assert (found.complete, found.pins.equals(first.pins)) == (False, True)
    assert "HTTP 404" in (found.reason or "")
    with pytest.raises(ScrapeError, match="HTTP 404"):
        list_labels(web, work=tmp_path / "3", crawler=crawler)


@pytest.mark.parametrize("form", ["tsv", "semicolons", "jsonl"])
def test_other_tables_are_told_apart_by_looking(feed: Source, tmp_path: Path, form: str) -> None:
    path = tmp_path / "feed.txt"
    if form == "jsonl":
        rows = [{"id": 1, "category": "Chairs", "price": 5.5}, {"id": 2, "title": None, "category": "Tables"}]
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\nnot json\n")
    else:
        path.write_text("id\tcategory\n1\tChairs\n2\tTables\n".replace("\t", "\t" if form == "tsv" else ";"))
    source = feed.model_copy(update={"path": str(path)})
    assert list_labels(source, work=tmp_path / "w") == ["Chairs", "Tables"]


def test_bad_rows_are_counted_and_the_rest_goes_on(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    path = tmp_path / "feed.csv"
    good = f"c9,Bench,call us,{site.base}/c9.jpg,,Chairs\n"
    path.write_text(HEADER + "too,short\n" + f",,,{site.base}/x.jpg,,Chairs\n" + good + good)
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    assert found.pins.column("id").to_pylist() == ["c9"]
    names = ("bad_rows", "invalid_id", "invalid_price", "duplicate_id")
    assert [found.stats[name] for name in names] == [1, 1, 2, 1]


def test_missing_fields_are_counted_by_pin(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    rows = [f"a,A,1 EUR,{site.base}/a.jpg,,Chairs,in stock,Nord", "b,,,,,Chairs,,", "b,,,,,Chairs,,"]
    header = HEADER.replace("category", "category,availability,brand")
    (tmp_path / "feed.csv").write_text(header + "\n".join(rows) + "\n")
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    names = ("title", "price", "currency", "creator", "availability", "brand", "picture_url", "page_url")
    assert [found.stats[f"missing_{name}"] for name in names] == [1, 1, 1, 1, 1, 1, 1, 2]


def test_an_order_that_stays_and_ids_once(site: Site, feed: Source, tmp_path: Path, crawler: Crawler) -> None:
    found = [scrape(feed, "Chairs", work=tmp_path / f"{n}", crawler=crawler) for n in range(2)]
    assert [one.pins.column("id").to_pylist() for one in found] == [["c1", "c2"]] * 2


def test_a_row_that_cannot_be_read_is_not_a_pin_that_is_gone(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    first = scrape(feed, "Chairs", work=tmp_path / "1", crawler=crawler)
    (tmp_path / "feed.csv").write_text(lines(site).replace("19.5 EUR,", "19.5 EUR,,,"))
    again = first
    for n in range(2, 5):
        again = scrape(
            feed,
            "Chairs",
            work=tmp_path / str(n),
            previous=again.pins,
            sightings=again.sightings,
            crawler=crawler,
        )
        assert (again.stats["bad_rows"], again.gone) == (1, [])
    assert "c2" in again.pins.column("id").to_pylist()


FORMATS = [f"{name}{packed}" for name in FEEDS for packed in ("", ".gz")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleSite]:
    with SampleSite(make_samples(tmp_path_factory.mktemp("shop"), labels=2, per_label=4), port=0) as site:
        yield site


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_pins(
    shop: SampleSite, tmp_path: Path, crawler: Crawler, name: str
) -> None:
    source = Source(kind="feed", path=f"{shop.base_url}/{name}", base_url=shop.base_url)
    assert list_labels(source, work=tmp_path / "l", crawler=crawler) == shop.samples.shop.labels
    label = shop.samples.shop.labels[0]
    found = scrape(source, label, work=tmp_path / "w", crawler=crawler)
    wanted = [row for row in shop.samples.shop.rows if row.label == label]
    assert found.complete, found.reason
    rows = found.pins.to_pylist()
    attributes = [dict(row["attributes"]) for row in rows]
    assert [
        (row["id"], row["title"], row["caption"], row["price"], row["currency"], row["creator"])
        for row in rows
    ] == [(row.item, row.title, row.caption, row.price, row.currency, row.extra["brand"]) for row in wanted]
    assert [row["page_url"] for row in rows] == [f"{shop.base_url}/products/{row.item}" for row in wanted]
    assert [(a["availability"], a["brand"]) for a in attributes] == [
        ("in_stock", row.extra["brand"]) for row in wanted
    ]
    assert [found.files[row["sha256"]] for row in rows] == [
        shop.samples.shop.path(row).read_bytes() for row in wanted
    ]


def test_columns_that_come_late_count_too(site: Site, feed: Source, tmp_path: Path, crawler: Crawler) -> None:
    row = {"id": "x", "category": "Tables"}
    rows = [row | {"id": str(n)} for n in range(500)] + [row | {"price": "5 EUR", "category": "Chairs"}]
    (tmp_path / "feed.csv").write_text("\n".join(map(json.dumps, rows)))
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    assert found.pins.column("price").to_pylist() == [5.0]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([b"", b"id,category\n", b"<rss><item>", b'{"id": 1, "category"']), st.binary(max_size=99)
)
def test_whatever_a_feed_holds_its_labels_come_or_an_error_that_says_why(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "feed").write_bytes(start + rest)
    with contextlib.suppress(ScrapeError):
        list_labels(Source(kind="feed", path=str(folder / "feed")), work=folder / "w")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"<rss></rss>", "no products"),
        (b"<!DOCTYPE html><html></html>", "web page"),
        (b"[1]", "not one of 1 rows"),
        (b"id,category\n", "a header and no rows"),
        (b"id,category\n1,2,3\n", "not one of 1 rows"),
        (b"id,category\n1,caf\xe9\n", "not UTF-8"),
        (b"id,name\n1,x\n", "no column for the label"),
        (b"name,category\nx,y\n", "no column for the id"),
    ],
)
def test_a_feed_that_cannot_be_read_says_why(feed: Source, tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "feed.csv").write_bytes(content)
    found = scrape(feed, "Chairs", work=tmp_path / "w")
    assert not found.complete
    assert says in (found.reason or "")


def test_a_local_feed_that_is_not_there_says_so(feed: Source, tmp_path: Path) -> None:
    found = scrape(feed.model_copy(update={"path": "/no/feed.csv"}), "Chairs", work=tmp_path / "w")
    assert "cannot be read" in (found.reason or "")


def test_robots_hold_for_pictures_asked_for_at_once(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    site.robots = (200, "User-agent: *\nDisallow: /no/\n")
    rows = [f"x{n},X,,{site.base}/{'no' if n % 2 else 'yes'}/{n}.jpg,,Chairs" for n in range(12)]
    (tmp_path / "feed.csv").write_text(HEADER + "\n".join(rows) + "\n")
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    assert (found.complete, len(found.files)) == (True, 6)
    assert set(site.pictures_asked()) == {f"/yes/{n}.jpg" for n in range(0, 12, 2)}
    assert site.asked.count("/robots.txt") == 1


def test_private_addresses_are_refused_in_every_form(
    site: Site, feed: Source, tmp_path: Path, crawler: Crawler
) -> None:
    port = site.base.rsplit(":", 1)[1]
    hosts = ["localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    rows = [f"x{n},X,,http://{host}:{port}/secret{n}.jpg,,Chairs" for n, host in enumerate(hosts)]
    site.redirects["/moved.jpg"] = f"http://localhost:{port}/secret.jpg"
    site.files["/secret.jpg"] = b"secret"
    rows += [f"y,Y,,{site.base}/moved.jpg,,Chairs", f"z,Z,,{site.base}/ok.jpg,,Chairs"]
    (tmp_path / "feed.csv").write_text(HEADER + "\n".join(rows) + "\n")
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    errors = dict(
        zip(found.pins.column("id").to_pylist(), found.pins.column("error").to_pylist(), strict=True)
    )
    assert errors.pop("z") is None
    assert all(error for error in errors.values())
    assert "not public" in errors["y"]
    assert not [path for path in site.asked if "secret" in path]


@pytest.mark.parametrize("url", ["file:///etc/hostname", "data:image/png;base64,AAAA", "ftp://127.0.0.1/x"])
def test_only_the_web_is_followed(feed: Source, tmp_path: Path, crawler: Crawler, url: str) -> None:
    (tmp_path / "feed.csv").write_text("id\timage_link\tcategory\n" + f"x\t{url}\tChairs\n")
    found = scrape(feed, "Chairs", work=tmp_path / "w", crawler=crawler)
    assert found.pins.column("error").to_pylist() == ["not an http(s) address"]
