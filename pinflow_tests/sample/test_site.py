"""The sample site over real HTTP: as Pinterest, as a shop, and as a site that misbehaves."""

import csv
import gzip
import hashlib
import io
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import httpx2 as httpx
import pytest

from pinflow.errors import PinflowError
from pinflow.sample.made import make_samples
from pinflow.sample.samples import Samples
from pinflow.sample.site import SampleSite

HEADERS = {
    "X-Requested-With": "XMLHttpRequest",
    "X-Pinterest-AppState": "active",
    "X-Pinterest-PWS-Handler": "www/search/[scope].js",
    "Cookie": "csrftoken=0123456789abcdef",
}

PIN_FIELDS = [
    *("id", "type", "images", "image_signature", "title", "grid_title", "description", "auto_alt_text"),
    *("rich_summary", "dominant_color", "link", "domain", "created_at", "pinner", "native_creator", "board"),
    *("attribution", "aggregated_pin_data", "is_promoted", "videos", "story_pin_data", "carousel_data"),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), labels=3, per_label=22)


@pytest.fixture
def site(samples) -> Iterator[SampleSite]:
    with SampleSite(samples, port=0) as running:
        yield running


@pytest.fixture
def client(site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.base_url, headers=HEADERS) as session:
        yield session


def resource(client, name, options, **request) -> httpx.Response:
    query = {"source_url": "/", "data": json.dumps({"options": options, "context": {}}), "_": "1"}
    return client.get(f"/resource/{name}Resource/get/?{urlencode(query)}", **request)


def pages(client, name, options) -> list[list[dict]]:
    """Every page of a feed, followed as the site's own pages do."""
    found, options = [], dict(options)
    while True:
        body = resource(client, name, options).json()
        rows = body["resource_response"]["data"]
        found.append(rows["results"] if isinstance(rows, dict) else rows)
        options["bookmarks"] = body["resource"]["options"]["bookmarks"]
        assert body["resource_response"]["bookmark"] == options["bookmarks"][0]
        if options["bookmarks"] == ["-end-"]:
            return found


def search(client, query, **options) -> list[dict]:
    rows = [row for page in pages(client, "BaseSearch", {"query": query, **options}) for row in page]
    return [row for row in rows if row["type"] == "pin"]


# -- search


@pytest.mark.parametrize("page_size", [1, 7, 20, 50])
def test_paging_collects_every_pin_exactly_once(client, samples, page_size):
    pins = search(client, "Plain Red", scope="pins", page_size=page_size)
    wanted = {
        hashlib.md5(samples.market.path(row).read_bytes()).hexdigest()
        for row in samples.market.rows
        if row.label == "Plain Red"
    }
    assert len(pins) == 22
    assert {pin["image_signature"] for pin in pins} == wanted
    assert len({pin["id"] for pin in pins}) == 22


def test_a_page_never_holds_more_than_fifty(client):
    found = pages(client, "BaseSearch", {"query": "plain", "page_size": 250})
    assert [len(page) for page in found] == [50, 16]


def test_a_page_holds_25_where_nothing_is_asked_for(client):
    assert len(pages(client, "BaseSearch", {"query": "plain"})[0]) == 25


@pytest.mark.parametrize("query", ["plain red", " PLAIN  Red ", "Plain Red"])
def test_labels_are_found_whatever_their_case(client, query):
    assert len(search(client, query)) == 22


def test_items_and_words_are_found_too(client):
    assert len(search(client, "plain blue disc")) == 3
    assert len(search(client, "disc")) == 9


def test_a_query_that_nothing_matches_ends_at_once(client):
    assert pages(client, "BaseSearch", {"query": "submarines"}) == [[]]


def test_after_the_end_comes_nothing(client):
    body = resource(client, "BaseSearch", {"query": "disc", "bookmarks": ["-end-"]}).json()
    assert body["resource_response"]["data"]["results"] == []
    assert body["resource"]["options"]["bookmarks"] == ["-end-"]


def test_a_typed_search_has_a_module_among_its_pins(client):
    rows = [row for page in pages(client, "BaseSearch", {"query": "disc", "rs": "typed"}) for row in page]
    assert [row["type"] for row in rows].count("story") == 1
    assert [row["type"] for row in rows].count("pin") == 9


@pytest.mark.parametrize("bookmark", ["rubbish", "UDoyNTp4", "é", 17])
def test_a_strange_bookmark_is_a_400(client, bookmark):
    reply = resource(client, "BaseSearch", {"query": "disc", "bookmarks": [bookmark]})
    assert reply.status_code == 400
    assert reply.json()["resource_response"]["status"] == "failure"


def test_a_bookmark_of_another_search_is_a_400(client):
    first = resource(client, "BaseSearch", {"query": "Plain Red", "page_size": 5}).json()
    options = {"query": "Plain Blue", "bookmarks": first["resource"]["options"]["bookmarks"]}
    assert resource(client, "BaseSearch", options).status_code == 400


# -- what the API insists on


@pytest.mark.parametrize("name", HEADERS)
def test_each_required_header_is_required(site, name):
    headers = {key: text for key, text in HEADERS.items() if key != name}
    with httpx.Client(base_url=site.base_url, headers=headers) as client:
        reply = resource(client, "BaseSearch", {"query": "disc"})
    assert reply.status_code == 403
    assert reply.text == "Invalid Resource Request"


@pytest.mark.parametrize("data", ["", "{", "[]", '{"context":{}}', '{"options":[]}', '{"options":{}}'])
def test_missing_options_are_refused_alike(client, data):
    reply = client.get("/resource/BaseSearchResource/get/", params={"data": data})
    assert (reply.status_code, reply.text) == (403, "Invalid Resource Request")


def test_a_context_or_a_time_stamp_is_not_insisted_on(client):
    data = json.dumps({"options": {"query": "disc"}})
    assert client.get("/resource/BaseSearchResource/get/", params={"data": data}).status_code == 200


def test_an_unknown_resource_is_a_404(client):
    assert resource(client, "Teapot", {}).status_code == 404


# -- pins


def test_a_pin_has_the_fields_that_parsers_of_the_real_site_read(client, site):
    pin = search(client, "plain red disc")[0]
    for key in PIN_FIELDS:
        assert key in pin, key
    assert pin["images"]["orig"]["url"].startswith(f"{site.base_url}/originals/{pin['image_signature'][:2]}/")
    assert pin["aggregated_pin_data"]["aggregated_stats"]["saves"] >= 0
    assert pin["dominant_color"].startswith("#")
    assert len(pin["dominant_color"]) == 7


def test_ids_are_digits_but_for_a_few(tmp_path):
    many = make_samples(tmp_path, labels=10, per_label=20)
    with SampleSite(many, port=0) as site, httpx.Client(base_url=site.base_url, headers=HEADERS) as client:
        ids = [pin["id"] for pin in search(client, "plain", page_size=50)]
        opaque = [pin_id for pin_id in ids if pin_id.startswith("e1_")]
        assert 0 < len(opaque) < len(ids) / 10
        assert all(pin_id.isdigit() for pin_id in ids if pin_id not in opaque)
        assert resource(client, "Pin", {"id": opaque[0]}).status_code == 404
        assert resource(client, "RelatedPinFeed", {"pin": opaque[0]}).status_code == 200


def test_a_pin_can_be_looked_up(client):
    pin = next(pin for pin in search(client, "disc") if pin["id"].isdigit())
    found = resource(client, "Pin", {"id": pin["id"], "field_set_key": "detailed"}).json()
    assert found["resource_response"]["data"]["image_signature"] == pin["image_signature"]
    assert "bookmark" not in found["resource_response"]


def test_an_unknown_pin_is_a_404_in_json(client):
    reply = resource(client, "Pin", {"id": "1"})
    assert reply.status_code == 404
    assert reply.json()["resource_response"]["data"] is None


@pytest.mark.parametrize(("name", "option"), [("RelatedPinFeed", "pin"), ("RelatedModules", "pin_id")])
def test_related_pins_are_the_other_pictures_of_the_item(client, name, option):
    discs = search(client, "plain red disc")
    for pin in discs:
        rows = [row for page in pages(client, name, {option: pin["id"], "page_size": 1}) for row in page]
        assert {row["id"] for row in rows} == {other["id"] for other in discs} - {pin["id"]}


def test_a_pin_may_have_no_related_ones(client):
    [lonely] = search(client, "plain red sliver")  # 22 pictures in threes leave one alone
    assert pages(client, "RelatedPinFeed", {"pin": lonely["id"]}) == [[]]


# -- pictures


def test_originals_are_the_bytes_of_the_file_and_smaller_sizes_are_smaller(client, samples):
    from PIL import Image

    row = samples.market.rows[0]
    pin = next(pin for pin in search(client, row.label) if pin["grid_title"] == row.title)
    for name, image in pin["images"].items():
        reply = client.get(urlsplit(image["url"]).path)
        picture = Image.open(io.BytesIO(reply.content))
        assert picture.size == (image["width"], image["height"]), name
        assert reply.headers["content-type"] == "image/jpeg"
        assert picture.width <= 240  # never enlarged: the file is 240 wide
    original = client.get(urlsplit(pin["images"]["orig"]["url"]).path).content
    assert original == samples.market.path(row).read_bytes()
    assert pin["images"]["236x"]["width"] == 236


@pytest.mark.parametrize(
    "path", ["/originals/aa/bb/cc/aabbcc.jpg", "/9999x/aa/bb/cc/aabbcc.jpg", "/products/no"]
)
def test_a_picture_that_is_not_there_is_a_404(client, path):
    assert client.get(path).status_code == 404


def test_a_picture_is_only_at_its_own_address(client):
    path = urlsplit(search(client, "disc")[0]["images"]["orig"]["url"]).path
    head, _, name = path.rpartition("/")
    assert client.get(path).status_code == 200
    assert client.get(f"/originals/00/00/00/{name}").status_code == 404
    assert client.get(f"{head}/../../../../{name}").status_code == 404


def test_a_known_picture_is_not_sent_again(client):
    path = urlsplit(search(client, "disc")[0]["images"]["736x"]["url"]).path
    first = client.get(path)
    for headers in (
        {"If-None-Match": first.headers["etag"]},
        {"If-None-Match": f'"other", W/{first.headers["etag"]}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": first.headers["last-modified"]},
    ):
        again = client.get(path, headers=headers)
        assert (again.status_code, again.content) == (304, b""), headers
    for headers in (
        {"If-None-Match": '"other"', "If-Modified-Since": first.headers["last-modified"]},
        {"If-Modified-Since": "Wed, 01 Jan 2003 00:00:00 GMT"},
        {"If-Modified-Since": "yesterday"},
    ):
        assert client.get(path, headers=headers).status_code == 200, headers


def test_head_sends_no_body(client):
    path = urlsplit(search(client, "disc")[0]["images"]["orig"]["url"]).path
    reply = client.head(path)
    assert reply.content == b""
    assert int(reply.headers["content-length"]) == len(client.get(path).content)


# -- robots, shop, pages


def test_robots_allow_the_api_and_the_pictures_but_not_search_pages(client, site):
    from protego import Protego

    rules = Protego.parse(client.get("/robots.txt").text)
    assert rules.can_fetch(f"{site.base_url}/resource/BaseSearchResource/get/?data=x", "pinflow")
    assert rules.can_fetch(f"{site.base_url}/originals/aa/bb/cc/x.jpg", "pinflow")
    assert rules.can_fetch(f"{site.base_url}/feed.csv", "pinflow")
    assert rules.can_fetch(f"{site.base_url}/pin/1/", "pinflow")
    assert not rules.can_fetch(f"{site.base_url}/search/pins/?q=x", "pinflow")
    assert not rules.can_fetch(f"{site.base_url}/resource/BaseSearchResource/create/", "pinflow")


def test_the_feed_lists_every_product_with_a_price_and_a_picture(client, samples):
    rows = list(csv.DictReader(io.StringIO(client.get("/feed.csv").text)))
    assert [row["title"] for row in rows] == [row.title for row in samples.shop.rows]
    assert {row["category"] for row in rows} == set(samples.shop.labels)
    for row, product in zip(rows, samples.shop.rows, strict=True):
        amount, currency = row["price"].split()
        assert (float(amount), currency) == (product.price, "USD")
        assert client.get(row["image_link"]).content == samples.shop.path(product).read_bytes()
        assert product.title in client.get(row["link"]).text


FEEDS = ["feed.csv", "feed.tsv", "feed.jsonl", "feed.xml", "feed-ebay.tsv"]


@pytest.mark.parametrize("name", [f"{name}{packed}" for name in FEEDS for packed in ("", ".gz")])
def test_an_unchanged_feed_is_not_sent_again(client, name):
    reply = client.get(f"/{name}")
    headers = {"If-None-Match": reply.headers["etag"]}
    assert client.get(f"/{name}", headers=headers).status_code == 304
    headers = {"If-Modified-Since": reply.headers["last-modified"]}
    assert client.get(f"/{name}", headers=headers).status_code == 304


@pytest.mark.parametrize("name", FEEDS)
def test_a_packed_feed_is_the_same_feed(client, name):
    packed = client.get(f"/{name}.gz")
    assert packed.headers["content-type"] == "application/gzip"
    assert gzip.decompress(packed.content) == client.get(f"/{name}").content


def test_the_feed_in_xml_is_rss_with_googles_elements(client, samples):
    google = "{http://base.google.com/ns/1.0}"
    items = ElementTree.fromstring(client.get("/feed.xml").content).findall("channel/item")
    assert [item.findtext(f"{google}id") for item in items] == [row.item for row in samples.shop.rows]
    assert {item.findtext(f"{google}product_type") for item in items} == set(samples.shop.labels)
    assert [item.findtext("title") for item in items] == [row.title for row in samples.shop.rows]


def test_the_feed_in_ebays_columns(client, samples):
    lines = client.get("/feed-ebay.tsv").text.splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t", escapechar="\\"))
    assert [(row["ItemId"], float(row["PriceValue"]), row["PriceCurrency"]) for row in rows] == [
        (row.item, row.price, "USD") for row in samples.shop.rows
    ]


def test_a_feed_that_the_shop_does_not_have_is_a_404(client):
    assert client.get("/feed.parquet").status_code == 404
    assert client.get("/feed.csv.gz.gz").status_code == 404


def test_a_pin_has_a_page_and_the_front_page_gives_a_token(client):
    pin = search(client, "disc")[0]
    assert pin["grid_title"] in client.get(f"/pin/{pin['id']}/").text
    assert "csrftoken" in client.get("/").headers["set-cookie"]
    assert client.get("/pin/1/").status_code == 404


# -- the log and the knobs


def test_requests_are_counted_by_kind_and_logged(client, site):
    pin = search(client, "plain red disc")[0]
    pages(client, "RelatedPinFeed", {"pin": pin["id"]})
    client.get(pin["images"]["orig"]["url"])
    client.get("/robots.txt")
    client.get("/feed.csv")
    client.get(f"/pin/{pin['id']}/")
    client.get("/nothing/here")
    assert dict(site.requests) == dict.fromkeys(
        ["search", "related", "picture", "robots", "feed", "page", "other"], 1
    )
    assert [hit.status for hit in site.log] == [200] * 6 + [404]


def test_one_search_fails_until_healed_and_no_other(client, site):
    site.fail("plain red", status=429)
    assert resource(client, "BaseSearch", {"query": "Plain Red"}).status_code == 429
    assert resource(client, "BaseSearch", {"query": "Plain Blue"}).status_code == 200
    site.heal()
    assert resource(client, "BaseSearch", {"query": "Plain Red"}).status_code == 200


def test_a_prefix_fails_as_often_as_told(client, site):
    site.fail("/robots.txt", times=2)
    assert [client.get("/robots.txt").status_code for _ in range(3)] == [503, 503, 200]
    site.fail("/originals/")
    pin = search(client, "disc")[0]
    assert client.get(pin["images"]["orig"]["url"]).status_code == 503
    assert client.get(pin["images"]["736x"]["url"]).status_code == 200


def test_answers_can_be_delayed(client, site):
    site.delay(0.2)
    start = time.monotonic()
    client.get("/robots.txt")
    assert time.monotonic() - start >= 0.2
    site.heal()
    start = time.monotonic()
    client.get("/robots.txt")
    assert time.monotonic() - start < 0.2


def test_a_closed_site_answers_no_more_not_even_on_an_open_connection(samples):
    with SampleSite(samples, port=0) as site:
        client = httpx.Client(base_url=site.base_url)
        client.get("/robots.txt")
    with pytest.raises(httpx.TransportError):
        client.get("/robots.txt")
    client.close()


def test_a_port_in_use_says_so(samples):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PinflowError, match=r"cannot listen on .* stop what uses that port"):
            SampleSite(samples, port=taken.getsockname()[1])


@pytest.mark.system
def test_the_site_runs_as_a_command_until_told_to_stop(samples):
    command = [sys.executable, "-m", "pinflow.sample.site", "--port", "0"]
    command += ["--folder", str(samples.market.folder.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split()[-1]
        assert httpx.get(f"{address}/robots.txt").status_code == 200
        process.terminate()
        assert process.wait(10) == 0
