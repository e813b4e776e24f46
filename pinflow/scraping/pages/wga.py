"""A row of the Web Gallery of Art's catalogue as a pin: columns, addresses, and what is the same work."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlsplit

from pinflow.errors import ScrapeError
from pinflow.scraping.pages.measures import parse_technique
from pinflow.scraping.pages.years import parse_years
from pinflow.scraping.pin import Pin, clean, identifier, web_address

SITE = "https://www.wga.hu"
CATALOGUE = "/database/download/data_txt.zip"
LICENCE = "for educational and personal purposes; distribution in any form is prohibited (Web Gallery of Art)"
FIELDS = (
    *("author", "born_died", "title", "date", "technique", "location"),
    *("url", "form", "type", "school", "timeframe"),
)
DEFAULT_LABEL = (
    "type"  # what is shown, as in other sources; school and timeframe hardly vary within an author
)
_NEEDED = ("author", "title", "url")
_OLDER = {"artist": "author", "timeline": "timeframe"}  # as older editions of the catalogue spell them
_ATTRIBUTES = ("author", "born_died", "date", "location", "form", "type", "school", "timeframe")
_PICTURES = ("art", "detail")  # folders with the same picture, large and medium
_PAGE = re.compile(r"/html(?:_m)?/(.+)\.html?$")
_DETAIL = re.compile(r"\s*[(\[]\s*details?\b[^()\[\]]*[)\]]\s*$", re.IGNORECASE)

Row = Mapping[str, str]


class Columns:
    """Which column of a catalogue means what, and which one holds the labels. Made once a header."""

    def __init__(self, header: Sequence[str], label_by: str | None = None) -> None:
        """Raises `ScrapeError` where the header is no catalogue's or has no column `label_by`."""
        self._where = {key: column for column in reversed(header) if (key := _key(column))}
        missing = [field.upper() for field in _NEEDED if field not in self._where]
        if missing:
            raise ScrapeError(
                f"no column {', '.join(missing)}: this is not the catalogue of the Web Gallery of Art; "
                f"columns: {', '.join(header)[:200]}"
            )
        self._label = _key(label_by or DEFAULT_LABEL)
        if self._label not in self._where:
            near = difflib.get_close_matches(self._label, self._where, 1)
            hint = f"did you mean `{near[0]}`?" if near else f"columns: {', '.join(header)[:200]}"
            raise ScrapeError(f"`label_by: {label_by or DEFAULT_LABEL}`: no such column; {hint}")

    def label(self, row: Row) -> str | None:
        """The label of a row. A technique is one without its size, or hardly two rows would share it."""
        text = self._text(row, self._label)
        return parse_technique(text).material if text and self._label == "technique" else text

    def pin(self, row: Row, site: str | None = None) -> tuple[Pin | None, list[str]]:
        """The row as a pin (None without a usable URL), and the fields whose text could not be understood.

        `site` takes the place of the host that the catalogue names.
        """
        about = {field: self._text(row, field) for field in FIELDS}
        found = _page(about["url"] or "")
        if found is None:
            return None, ["url"]
        base, page, key = found
        base = site.rstrip("/") if site else base
        technique = parse_technique(about["technique"] or "")
        years = parse_years(about["date"] or "")
        attributes: dict[str, object] = {
            **{name: about[name] for name in _ATTRIBUTES},
            "year_from": years.first if years else None,
            "year_to": years.last if years else None,
            "technique": technique.material,
            "size": technique.size,
            "height_cm": technique.height,
            "width_cm": technique.width,
            "depth_cm": technique.depth,
            "diameter_cm": technique.diameter,
        }
        pin = Pin(
            id=key,
            pictures=tuple(f"{base}/{folder}/{key}.jpg" for folder in _PICTURES),
            page_url=f"{base}{page}",
            title=about["title"],
            creator=about["author"],
            licence=LICENCE,
            attributes={name: _plain(value) for name, value in attributes.items() if value is not None},
            origin_keys=work_keys(about["author"], about["title"], about["date"]),
        )
        return pin, ["date"] if about["date"] and years is None else []

    def _text(self, row: Row, field: str) -> str | None:
        text = clean(unicodedata.normalize("NFC", row.get(self._where.get(field, ""), "")))
        # The catalogue writes a dash where it knows nothing.
        return None if text is None or not text.strip("-–— ") else text


def work_keys(author: str | None, title: str | None, date: str | None) -> tuple[str, ...]:
    """The origin key of a work: author, title and date are the same for the whole, its details, and a second
    reproduction of it. Nothing without a title."""
    whole = bare_title(title or "")
    if not whole:
        return ()
    parts = (" ".join((part or "").casefold().split()) for part in (author, whole, date))
    return ("work:" + "|".join(parts),)


def bare_title(title: str) -> str:
    """The title without "(detail)", "(detail 2)" or "(details)" at its end."""
    while found := _DETAIL.search(title):
        title = title[: found.start()]
    return title.strip()


def _page(url: str) -> tuple[str, str, str] | None:
    """Site, path of the page, and the key that page and pictures share: `a/aachen/allegory`."""
    try:
        parts = urlsplit(url if "://" in url else f"{SITE}/{url.lstrip('/')}")
    except ValueError:
        return None
    # The page inside the site's old frames is the page.
    path = parts.query if parts.path.startswith("/frames") else parts.path
    path = quote(path, safe="/%~+,;:@!$&'()*=")
    found = _PAGE.match(path)
    key = identifier(found[1]) if found else None
    base = f"{parts.scheme}://{parts.netloc}"
    if key is None or {"..", ".", ""} & set(key.split("/")) or not web_address(base):
        return None
    own = parts.hostname in ("www.wga.hu", "wga.hu")
    return SITE if own else base, path, key


def _key(column: str) -> str:
    name = re.sub(r"[\s_-]+", "_", column.strip().casefold())
    return _OLDER.get(name, name)


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
