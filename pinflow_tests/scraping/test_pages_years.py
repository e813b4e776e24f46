"""Dates as museums write them, as years."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinflow.scraping.pages.years import EARLIEST, LATEST, parse_years


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1598", 1598, 1598),
        ("547", 547, 547),
        ("15 May 1598", 1598, 1598),
        ("3rd May 1598", 1598, 1598),
        ("signed and dated 1598", 1598, 1598),
        ("(1598)", 1598, 1598),
        # about
        ("c. 1598", 1593, 1603),
        ("c.1598", 1593, 1603),
        ("ca. 1598", 1593, 1603),
        ("circa 1598", 1593, 1603),
        ("about 1598", 1593, 1603),
        ("1598 (?)", 1593, 1603),
        ("c. 1598?", 1593, 1603),
        ("c. 1598-1605", 1593, 1610),
        # from one year to another
        ("1598-99", 1598, 1599),
        ("1598–99", 1598, 1599),
        ("1598 - 1605", 1598, 1605),
        ("1475/76", 1475, 1476),
        ("1503-5", 1503, 1505),
        ("1599-02", 1599, 1602),
        ("between 1598 and 1605", 1598, 1605),
        ("from 1598 to 1605", 1598, 1605),
        ("1598 until 1605", 1598, 1605),
        ("1598 or 1605", 1598, 1605),
        ("1478-80 and 1490s", 1478, 1499),
        ("1628-30 (frame 19th century)", 1628, 1630),
        # decades
        ("1590s", 1590, 1599),
        ("1590's", 1590, 1599),
        ("early 1590s", 1590, 1593),
        ("mid-1590s", 1593, 1596),
        ("late 1590s", 1596, 1599),
        ("end of the 1590s", 1596, 1599),
        ("1460s-70s", 1460, 1479),
        ("1460-70s", 1460, 1479),
        ("1500s", 1500, 1599),
        # centuries
        ("16th century", 1501, 1600),
        ("16th c.", 1501, 1600),
        ("early 16th century", 1501, 1540),
        ("mid-16th century", 1531, 1570),
        ("late 15th-early 16th century", 1461, 1540),
        ("1st half of the 16th century", 1501, 1550),
        ("first half of 16th century", 1501, 1550),
        ("2nd half of the 15th century", 1451, 1500),
        ("3rd quarter of the 14th century", 1351, 1375),
        ("last quarter of the 13th century", 1276, 1300),
        ("12th-13th century", 1101, 1300),
        # open
        ("after 1455", 1455, None),
        ("after c. 1455", 1450, None),
        ("begun 1460", 1460, None),
        ("begun in 1460", 1460, None),
        ("not before 1450", 1450, None),
        ("before 1455", None, 1455),
        ("by 1455", None, 1455),
        ("finished 1470", None, 1470),
        ("no later than 1455", None, 1455),
        ("begun 1460, finished 1470", 1460, 1470),
        ("begun in 1460 and completed 1470", 1460, 1470),
        ("1450 or after 1455", 1450, None),
        ("1450 or before 1455", 1450, 1455),
        # before Christ
        ("490-480 BC", -490, -480),
        ("c. 450 B.C.", -455, -445),
        ("5th century BC", -500, -401),
        ("1st century BC - 1st century AD", -100, 100),
    ],
)
def test_dates_as_museums_write_them(text: str, first: int | None, last: int | None) -> None:
    assert parse_years(text) == (first, last)


@pytest.mark.parametrize(
    "text", ["-", "", "undated", "in his youth", "9999", "12", "half-length", "3rd state"]
)
def test_what_names_no_year_gives_none(text: str) -> None:
    assert parse_years(text) is None


_WORDS = st.sampled_from(
    [
        *(
            "c.",
            "ca.",
            "early",
            "mid-",
            "late",
            "after",
            "before",
            "begun",
            "finished",
            "not before",
            "?",
            "(",
            ")",
        ),
        *(
            "-",
            "/",
            "–",
            ",",
            "and",
            "or",
            "s",
            "'s",
            "th",
            "st",
            "century",
            "1st half of the",
            "last quarter",
            "BC",
        ),
        *("1598", "99", "5", "1590", "16", "0", "000", "0000", "9999", "١٥٩٨", "²", "½", "\ud800", "\0"),
    ]
)


@given(
    st.one_of(
        st.text(max_size=300), st.lists(_WORDS, max_size=12).map("".join), st.lists(_WORDS).map(" ".join)
    )
)
@example("9" * 10_000)
@example("(" * 10_000)
@example("c. " * 10_000)
def test_any_text_is_an_interval_in_order_or_none(text: str) -> None:
    years = parse_years(text)
    if years is None:
        return
    known = [year for year in years if year is not None]
    assert known == sorted(known) != []
    assert all(EARLIEST <= year <= LATEST for year in known)
