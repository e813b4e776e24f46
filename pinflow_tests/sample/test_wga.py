"""The sample gallery has the form of the Web Gallery of Art, and is the same each time."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from PIL import Image

from pinflow.sample.made import make_samples
from pinflow.sample.samples import Samples
from pinflow.sample.site import SampleSite
from pinflow.sample.wga import CATALOGUE, COLUMNS, Gallery


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return make_samples(tmp_path_factory.mktemp("samples"), labels=2, per_label=12)


@pytest.fixture
def client(samples: Samples) -> Iterator[httpx.Client]:
    with SampleSite(samples, port=0) as site, httpx.Client(base_url=site.base_url) as session:
        yield session


@pytest.fixture
def rows(client: httpx.Client) -> list[dict[str, str]]:
    answer = client.get(CATALOGUE)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.namelist() == ["catalog.csv"]
        text = packed.read("catalog.csv").decode("iso-8859-1")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=";"))


def test_the_catalogue_has_the_columns_and_accents_of_the_real_one(rows: list[dict[str, str]]) -> None:
    assert tuple(rows[0]) == COLUMNS
    assert any("ö" in row["AUTHOR"] or "ò" in row["AUTHOR"] for row in rows)


def test_a_row_a_picture_and_rows_for_details_and_second_reproductions(
    rows: list[dict[str, str]], samples: Samples
) -> None:
    titles = [row["TITLE"] for row in rows]
    details = [title for title in titles if "(detail" in title]
    assert {title[title.index("(detail") :] for title in details} == {"(detail)", "(detail 2)"}
    wholes = [title for title in titles if title not in details]
    assert set(wholes) == {sample.title for sample in samples.market.rows}
    assert len(wholes) > len(set(wholes))


def test_dates_are_written_as_museums_do(rows: list[dict[str, str]]) -> None:
    dates = " | ".join(row["DATE"] for row in rows)
    assert all(form in dates for form in ("c. ", "after ", "before ", "begun ", "0s", "half of the", "-"))


def test_every_row_has_a_page_and_a_picture(rows: list[dict[str, str]], client: httpx.Client) -> None:
    for row in rows:
        assert row["TITLE"] in client.get(row["URL"]).text
        picture = row["URL"].replace("/html/", "/detail/").replace(".html", ".jpg")
        answer = client.get(picture)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")


def test_large_pictures_are_larger_and_some_are_missing(
    rows: list[dict[str, str]], client: httpx.Client
) -> None:
    found = []
    for row in rows:
        base = row["URL"].removesuffix(".html")
        large = client.get(base.replace("/html/", "/art/") + ".jpg")
        found.append(large.status_code)
        if large.status_code == 200:
            medium = client.get(base.replace("/html/", "/detail/") + ".jpg")
            assert Image.open(io.BytesIO(large.content)).width > Image.open(io.BytesIO(medium.content)).width
    assert set(found) == {200, 404}


@pytest.mark.parametrize("path", ["/art/none.jpg", "/html/none.html", "/art/", "/html/", "/art/../x.jpg"])
def test_what_is_not_there_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_catalogue_can_be_asked_for_conditionally(client: httpx.Client) -> None:
    first = client.get(CATALOGUE)
    again = client.get(CATALOGUE, headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code) == (200, 304)


def test_the_same_samples_give_the_same_bytes(samples: Samples, tmp_path: Path) -> None:
    others = make_samples(tmp_path, labels=2, per_label=12)
    ours, theirs = Gallery(samples.market), Gallery(others.market)
    assert ours.catalogue("http://x") == theirs.catalogue("http://x")
    key = next(iter(ours.works))
    assert ours.picture(f"detail/{key}.jpg") == theirs.picture(f"detail/{key}.jpg")
