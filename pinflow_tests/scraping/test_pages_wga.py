"""A catalogue row as a pin, one field a test; what is the same work; technique and size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.measures import Technique, parse_technique
from pinflow.scraping.pages.wga import Columns, bare_title
from pinflow.scraping.pin import Pin

ROW = {
    "AUTHOR": "ÅBERG, Söle",
    "BORN-DIED": "(b. 1552, Malmö, d. 1615, København)",
    "TITLE": "Still-Life with Herring",
    "DATE": "1598-99",
    "TECHNIQUE": "Oil on canvas, 68 x 95,5 cm",
    "LOCATION": "Museum of Samples, Malmö",
    "URL": "http://www.wga.hu/html/a/aberg/herring.html",
    "FORM": "painting",
    "TYPE": "still-life",
    "SCHOOL": "Danish",
    "TIMEFRAME": "1551-1600",
}


def pin_of(site: str | None = None, **changes: str) -> Pin:
    found, _ = Columns(list(ROW)).pin(ROW | changes, site)
    assert found is not None
    return found


@pytest.fixture
def pin() -> Pin:
    return pin_of()


def test_the_id_is_the_pages_path(pin: Pin) -> None:
    assert pin.id == "a/aberg/herring"


def test_the_page_is_the_sites_own_and_secure(pin: Pin) -> None:
    assert pin.page_url == "https://www.wga.hu/html/a/aberg/herring.html"


def test_the_large_picture_comes_before_the_medium_one(pin: Pin) -> None:
    assert pin.pictures == (
        "https://www.wga.hu/art/a/aberg/herring.jpg",
        "https://www.wga.hu/detail/a/aberg/herring.jpg",
    )


def test_the_author_is_the_creator(pin: Pin) -> None:
    assert pin.creator == "ÅBERG, Söle"


def test_the_author_can_be_grouped_by(pin: Pin) -> None:
    assert pin.attributes["author"] == "ÅBERG, Söle"


def test_title(pin: Pin) -> None:
    assert pin.title == "Still-Life with Herring"


def test_born_and_died(pin: Pin) -> None:
    assert pin.attributes["born_died"] == "(b. 1552, Malmö, d. 1615, København)"


def test_the_date_as_it_is_written(pin: Pin) -> None:
    assert pin.attributes["date"] == "1598-99"


def test_the_date_as_years(pin: Pin) -> None:
    assert (pin.attributes["year_from"], pin.attributes["year_to"]) == ("1598", "1599")


def test_technique_without_the_size(pin: Pin) -> None:
    assert pin.attributes["technique"] == "Oil on canvas"


def test_size_as_it_is_written(pin: Pin) -> None:
    assert pin.attributes["size"] == "68 x 95,5 cm"


def test_height_and_width_in_centimetres(pin: Pin) -> None:
    assert (pin.attributes["height_cm"], pin.attributes["width_cm"]) == ("68", "95.5")


@pytest.mark.parametrize("name", ["location", "form", "type", "school", "timeframe"])
def test_the_other_columns_are_attributes(pin: Pin, name: str) -> None:
    assert pin.attributes[name] == ROW[name.upper()]


def test_the_licence_is_the_sites_own_terms(pin: Pin) -> None:
    assert pin.licence is not None
    assert "educational and personal purposes" in pin.licence
    assert "distribution in any form is prohibited" in pin.licence


def test_another_server_takes_the_hosts_place() -> None:
    pin = pin_of("http://127.0.0.1:8000/")
    assert pin.page_url == "http://127.0.0.1:8000/html/a/aberg/herring.html"
    assert pin.pictures[0] == "http://127.0.0.1:8000/art/a/aberg/herring.jpg"
    assert pin.id == "a/aberg/herring"


@pytest.mark.parametrize(
    "url",
    [
        "https://www.wga.hu/html/a/aberg/herring.html",
        "https://wga.hu/html/a/aberg/herring.html",
        "https://www.wga.hu/html_m/a/aberg/herring.html",
        "https://www.wga.hu/frames-e.html?/html/a/aberg/herring.html",
        "html/a/aberg/herring.html",
        "/html/a/aberg/herring.htm",
    ],
)
def test_every_way_to_write_a_page_is_one_id(url: str) -> None:
    pin = pin_of(URL=url)
    assert (pin.id, pin.pictures[0]) == ("a/aberg/herring", "https://www.wga.hu/art/a/aberg/herring.jpg")


def test_a_mirrors_addresses_stay_there() -> None:
    pin = pin_of(URL="https://mirror.example/html/a/aberg/herring.html")
    assert pin.pictures[0] == "https://mirror.example/art/a/aberg/herring.jpg"


@pytest.mark.parametrize(
    "url",
    [
        *("", "-", "https://www.wga.hu/", "https://www.wga.hu/bio/a/aberg/biograph.html"),
        *("javascript:alert(1)//html/x.html", "file:///html/x.html", "http://[::1/html/x.html"),
        *("https://www.wga.hu/html/../../etc/x.html", "https://www.wga.hu/html//x.html"),
        *("https://www.wga.hu/html/" + "a" * 600 + ".html", "https://h:x/html/a.html"),
    ],
)
def test_what_is_no_page_is_no_pin(url: str) -> None:
    assert Columns(list(ROW)).pin(ROW | {"URL": url}) == (None, ["url"])


def test_a_dash_is_nothing() -> None:
    pin = pin_of(DATE="-", LOCATION=" - ", TECHNIQUE="–")
    assert not {"date", "year_from", "location", "technique", "size"} & pin.attributes.keys()


def test_a_date_without_a_year_is_kept_and_counted() -> None:
    pin, invalid = Columns(list(ROW)).pin(ROW | {"DATE": "in his youth"})
    assert pin is not None
    assert (pin.attributes["date"], "year_from" in pin.attributes, invalid) == (
        "in his youth",
        False,
        ["date"],
    )


def test_an_open_end_has_no_year() -> None:
    pin = pin_of(DATE="after 1455")
    assert (pin.attributes.get("year_from"), pin.attributes.get("year_to")) == ("1455", None)


@pytest.mark.parametrize(
    "title",
    [
        *("Still-Life with Herring (detail)", "Still-Life with Herring (detail 2)"),
        *("Still-Life with Herring (details)", "still-life  with herring [Detail of the fish]"),
    ],
)
def test_details_share_a_key_with_their_whole(pin: Pin, title: str) -> None:
    detail = pin_of(TITLE=title, URL="https://www.wga.hu/html/a/aberg/herring1.html")
    assert detail.origin_keys == pin.origin_keys != ()


def test_a_second_reproduction_shares_it_too(pin: Pin) -> None:
    assert pin_of(URL="https://www.wga.hu/html/a/aberg/herrin_2.html").origin_keys == pin.origin_keys


@pytest.mark.parametrize(
    "change", [{"AUTHOR": "BEZZOLI"}, {"TITLE": "Still-Life with Cod"}, {"DATE": "1601"}, {"TITLE": "-"}]
)
def test_another_work_has_another_key(pin: Pin, change: dict[str, str]) -> None:
    assert not set(pin_of(**change).origin_keys) & set(pin.origin_keys)


def test_accents_composed_or_not_are_one(pin: Pin) -> None:
    decomposed = pin_of(AUTHOR="A\u030aBERG, So\u0308le")
    assert (decomposed.creator, decomposed.origin_keys) == (pin.creator, pin.origin_keys)


@pytest.mark.parametrize(
    ("title", "bare"),
    [
        ("Venus (detail)", "Venus"),
        ("Venus (with a mirror) (detail 12)", "Venus (with a mirror)"),
        ("Venus (detail) (detail)", "Venus"),
        ("The Detail", "The Detail"),
        ("(detail)", ""),
        ("Venus (detailed study)", "Venus (detailed study)"),
    ],
)
def test_bare_titles(title: str, bare: str) -> None:
    assert bare_title(title) == bare


@pytest.mark.parametrize(
    ("label_by", "label"),
    [
        (None, "still-life"),
        ("school", "Danish"),
        ("SCHOOL", "Danish"),
        ("Timeframe", "1551-1600"),
        ("author", "ÅBERG, Söle"),
        ("form", "painting"),
        ("technique", "Oil on canvas"),
        ("born-died", "(b. 1552, Malmö, d. 1615, København)"),
        ("born_died", "(b. 1552, Malmö, d. 1615, København)"),
        ("date", "1598-99"),
    ],
)
def test_labels_are_any_columns_values_and_the_type_by_default(label_by: str | None, label: str) -> None:
    assert Columns(list(ROW), label_by).label(ROW) == label


def test_columns_of_ones_own_may_be_labels() -> None:
    assert Columns([*ROW, "Mood"], "mood").label(ROW | {"Mood": "calm"}) == "calm"


def test_older_editions_spell_two_columns_otherwise() -> None:
    older = {"ARTIST": "ÅBERG, Söle", "TIMELINE": "1551-1600"} | {
        name: text for name, text in ROW.items() if name not in ("AUTHOR", "TIMEFRAME")
    }
    pin, _ = Columns(list(older)).pin(older)
    assert pin is not None
    assert pin.attributes == pin_of().attributes


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(ScrapeError, match="did you mean `school`"):
        Columns(list(ROW), "schol")


def test_another_table_says_what_it_lacks() -> None:
    with pytest.raises(ScrapeError, match="no column AUTHOR, URL: this is not the catalogue"):
        Columns(["id", "title"])


@pytest.mark.parametrize(
    ("text", "technique"),
    [
        ("Oil on canvas, 68 x 95 cm", Technique("Oil on canvas", "68 x 95 cm", 68, 95)),
        ("Oil on canvas 68 × 95 cm", Technique("Oil on canvas", "68 × 95 cm", 68, 95)),
        ("Tapestry, 350 cm x 800 cm", Technique("Tapestry", "350 cm x 800 cm", 350, 800)),
        ("Pen on paper, 250 x 180 mm", Technique("Pen on paper", "250 x 180 mm", 25, 18)),
        ("Fresco, 3,4 x 2,6 m", Technique("Fresco", "3,4 x 2,6 m", 340, 260)),
        ("Marble, 100 x 50 x 40 cm", Technique("Marble", "100 x 50 x 40 cm", 100, 50, 40)),
        ("Marble, height 205 cm", Technique("Marble", "height 205 cm", 205)),
        ("Marble, height: c. 205 cm", Technique("Marble", "height: c. 205 cm", 205)),
        (
            "Silver, height 32 cm, diameter 22 cm",
            Technique("Silver", "height 32 cm, diameter 22 cm", 32, diameter=22),
        ),
        ("Bronze, length 50 cm", Technique("Bronze", "length 50 cm", width=50)),
        ("Bronze, 45 cm", Technique("Bronze", "45 cm")),
        (
            "Oil on oak, each panel 60 x 46,5 cm (each wing)",
            Technique("Oil on oak", "each panel 60 x 46,5 cm (each wing)", 60, 46.5),
        ),
        ("Tempera, gold ground, 30 x 20 cm", Technique("Tempera, gold ground", "30 x 20 cm", 30, 20)),
        ("Fresco", Technique("Fresco", None)),
        ("68 x 95 cm", Technique(None, "68 x 95 cm", 68, 95)),
        ("Oil, 0 x 0 cm", Technique("Oil", "0 x 0 cm")),
        ("Oil on 2 panels", Technique("Oil on 2 panels", None)),
        ("", Technique(None, None)),
    ],
)
def test_technique_and_size_in_one_cell(text: str, technique: Technique) -> None:
    assert parse_technique(text) == technique


@given(st.text(st.sampled_from("0123456789.,x×( cmwidthheight"), max_size=60))
def test_any_technique_gives_positive_sizes_or_none(text: str) -> None:
    found = parse_technique(text)
    sizes = (found.height, found.width, found.depth, found.diameter)
    assert all(size is None or 0 < size < 1e8 for size in sizes)


@given(st.fixed_dictionaries({name: st.text(max_size=80) for name in ROW}))
def test_any_row_is_a_pin_or_none(row: dict[str, str]) -> None:
    columns = Columns(list(ROW))
    for url in (row["URL"], f"https://www.wga.hu/html/{row['URL']}.html"):
        pin, _ = columns.pin(row | {"URL": url})
        assert pin is None or (pin.id and len(pin.pictures) == 2 and Pin.from_json(pin.as_json()) == pin)
    columns.label(row)
