"""Dates as museums write them, such as "c. 1598", "1598-99" or "1st half of the 16th century", as years."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

CIRCA_YEARS = 5  # how far off "c. 1598" may be; the catalogues do not say, this is our reading
EARLIEST, LATEST = -3000, 2100  # a number outside is no year
_TEXT_LIMIT = 200  # characters; a date is short

_TOKEN = re.compile(
    r"""
    (?P<since> \b(?:after|post|since|from|begun|began|started|not\ before|no[t]?\ earlier\ than)\b )
  | (?P<until> \b(?:before|ante|until|till|by|finished|completed|not\ after|no[t]?\ later\ than)\b )
  | (?P<circa> \b(?:circa|ca|about|around|approx|approximately)\b | \bc(?=[.\s]{0,2}\d) )
  | \b(?P<nth>1st|2nd|3rd|4th|first|second|third|fourth|last)\ (?P<share>half|third|quarter)\b
  | (?P<part> \b(?:early|beginning|mid|middle|late|end)\b )
  | (?P<bc> \bb\.?\ ?c\b )
  | (?<!\d)(?P<start>\d{3,4})[-/](?P<end>\d{1,4})(?!\d|'?s\b|st\b|nd\b|rd\b|th\b)
  | (?<!\d)(?:(?P<decade>\d{2,3}0)|(?<=[-/])(?P<short_decade>\d0))'?s\b
  | (?<!\d)(?P<century>\d{1,2})(?:st|nd|rd|th)\b
  | (?<!\d)(?P<year>\d{3,4})(?!\d)
    """,
    re.VERBOSE | re.ASCII,
)
_CENTURIES = re.compile(r"\bcent|\d(?:st|nd|rd|th) c\b")
# From, to and of how many parts of a decade or century. They overlap, as the words do.
_EARLY, _MIDDLE, _LATE = (0, 4, 10), (3, 7, 10), (6, 10, 10)
_PARTS = {
    "early": _EARLY,
    "beginning": _EARLY,
    "mid": _MIDDLE,
    "middle": _MIDDLE,
    "late": _LATE,
    "end": _LATE,
}
_WHOLE = (0, 1, 1)
_NTH = {"1st": 0, "first": 0, "2nd": 1, "second": 1, "3rd": 2, "third": 2, "4th": 3, "fourth": 3, "last": -1}
_SHARES = {"half": 2, "third": 3, "quarter": 4}


class Years(NamedTuple):
    """The first and the last year that it may be, both included, None where the text leaves that end open.

    Years before Christ are negative. `first <= last` where both are known.
    """

    first: int | None
    last: int | None


@dataclass
class _Term:
    first: int
    last: int
    opens: str | None = None  # since: the end is not known; until: the beginning is not


def parse_years(text: str) -> Years | None:
    """The years that a date means, or None where it names none. Never raises.

    "c." gives `CIRCA_YEARS` on both sides; "1500s" is the whole century, because it may be; several dates
    give the years from the first to the last.
    """
    terms = [term for term in _terms(_plain(text)) if EARLIEST <= term.first <= term.last <= LATEST]
    if not terms:
        return None
    firsts = [term.first for term in terms if term.opens != "until"]
    lasts = [term.last for term in terms if term.opens != "since"]
    # "Begun 1460, finished 1470" is closed by its other date, "1450 or after 1455" is not.
    first = min(firsts) if firsts and (not lasts or min(firsts) <= min(lasts)) else None
    last = max(lasts) if lasts and (not firsts or max(lasts) >= max(firsts)) else None
    return None if first is None and last is None else Years(first, last)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text[:_TEXT_LIMIT]).casefold()
    dashed = re.sub(r"\s*[-‐‑‒–—−/]\s*", lambda dash: "/" if "/" in dash[0] else "-", folded)
    spaced = " ".join(dashed.split())
    # What stands in brackets is about something else, such as the frame, unless the date itself does.
    outside = re.sub(r"\([^()?]*\)", " ", spaced)
    return outside if re.search(r"[0-9]", outside) else spaced


def _terms(text: str) -> list[_Term]:
    terms: list[_Term] = []
    named, era = bool(_CENTURIES.search(text)), 0
    opens: str | None = None
    circa, part = False, _WHOLE
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup
        if kind in ("since", "until"):
            opens = kind
        elif kind == "circa":
            circa = True
        elif kind == "share":
            count = _SHARES[found["share"]]
            at = _NTH[found["nth"]] % count
            part = (at, at + 1, count)
        elif kind == "part":
            part = _PARTS[found["part"]]
        elif kind == "bc":
            for term in terms[era:]:
                term.first, term.last = -term.last, -term.first
            era = len(terms)
        elif kind != "century" or named:
            term = _term(found, part, terms[-1].first if terms else 0)
            term.opens = opens
            if circa or "?" in text:
                term.first, term.last = term.first - CIRCA_YEARS, term.last + CIRCA_YEARS
            terms.append(term)
            opens, circa, part = None, False, _WHOLE
    return terms


def _term(found: re.Match[str], part: tuple[int, int, int], before: int) -> _Term:
    if found["year"]:
        return _Term(int(found["year"]), int(found["year"]))
    if found["start"]:
        start, end = int(found["start"]), int(found["end"])
        if len(found["end"]) < len(found["start"]):
            step = 10 ** len(found["end"])
            end += start - start % step
            end += step if end < start else 0
        return _Term(min(start, end), max(start, end))
    if found["century"]:
        last = int(found["century"]) * 100
        first = last - 99
    else:
        first = int(found["decade"] or 0) or before - before % 100 + int(found["short_decade"] or 0)
        last = first + (99 if found["decade"] and first % 100 == 0 else 9)
    low, high, of = part
    years = last - first + 1
    return _Term(first + years * low // of, first + years * high // of - 1)
