"""The Web Gallery of Art on the sample site: the market's pictures as paintings of painters who never lived.

The catalogue has the form of the real one: a zip with `catalog.csv`, `;` between the cells, ISO-8859-1, dates
as museums write them, details and second reproductions as rows of their own. What is invented about a
picture follows from its place in the set.
"""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from urllib.parse import quote

from pinflow.labels import slug
from pinflow.sample.samples import Sample, SampleSet
from pinflow.sample.shopfront import page

CATALOGUE = "/database/download/data_txt.zip"
COLUMNS = (
    *("AUTHOR", "BORN-DIED", "TITLE", "DATE", "TECHNIQUE", "LOCATION"),
    *("URL", "FORM", "TYPE", "SCHOOL", "TIMEFRAME"),
)
TYPES = (
    *("still-life", "landscape", "portrait", "genre", "religious"),
    *("mythological", "historical", "interior", "study", "other"),
)
# Share of the original's width; the real site calls the medium size "detail" too.
FOLDERS = {"art": 1.0, "detail": 0.6, "preview": 0.25}
JPEG_QUALITY = 88
REMEMBERED = 1000  # pictures
_PAINTERS = (
    ("ÅBERG, Söle", "(b. 1552, Malmö, d. 1615, København)", "Danish", 1571),
    ("BEZZOLI, Niccolò", "(b. ca. 1430, Forlì, d. 1492, Città di Castello)", "Italian", 1455),
    ("CRÉSTIN, Aurélie de", "(b. 1699, Besançon, d. 1768, Paris)", "French", 1731),
    ("DUYKEN, Joost van der", "(active 1641-1665 in Delft)", "Dutch", 1652),
    ("ESPIÑO, Íñigo", "(b. 1598, Sevilla, d. 1664, Madrid)", "Spanish", 1633),
    ("FLÜHBACH, Jörg", "(b. 1801, Zürich, d. 1867, München)", "German", 1834),
    ("GRUÏS, Marthe", "(active 1470s in Brugge)", "Flemish", 1472),
    ("UNKNOWN MASTER, Bohemian", "(active 1360s)", "Bohemian", 1361),
)
_TECHNIQUES = ("Oil on canvas", "Tempera on wood", "Oil on oak panel", "Fresco", "Pen and brown ink on paper")
_PLACES = ("Museum of Samples, Malmö", "Galleria dei Campioni, Forlì", "Private collection", "-")
_EVERY = {"detail": 5, "second": 9, "medium_only": 7}


@dataclass(frozen=True)
class Work:
    """One row of the catalogue, and how its picture is made: `box` is the part shown, of 1."""

    key: str  # "a/aberg/red/disc-0": page and pictures share it
    cells: tuple[str, ...]  # as `COLUMNS`, the address left empty
    path: Path
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    scale: float = 1.0
    large: bool = True  # whether there is a picture under /art/


class Gallery:
    """The works made of a sample set."""

    def __init__(self, samples: SampleSet) -> None:
        self._samples = samples
        self._render = lru_cache(maxsize=REMEMBERED)(_render)

    @cached_property
    def works(self) -> dict[str, Work]:
        """By key, in the catalogue's order: by painter."""
        found = [work for at, row in enumerate(self._samples.rows) for work in self._works(at, row)]
        return {work.key: work for work in sorted(found, key=lambda work: work.cells[0])}

    def catalogue(self, base_url: str) -> bytes:
        """The zip that the real site offers; the same samples give the same bytes."""
        lines = io.StringIO()
        writer = csv.writer(lines, delimiter=";", lineterminator="\r\n")
        writer.writerow(COLUMNS)
        at = COLUMNS.index("URL")
        for work in self.works.values():
            address = f"{base_url}/html/{quote(work.key)}.html"
            writer.writerow((*work.cells[:at], address, *work.cells[at + 1 :]))
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
            table = zipfile.ZipInfo("catalog.csv", (2025, 1, 1, 0, 0, 0))
            packed.writestr(table, lines.getvalue().encode("iso-8859-1", "replace"), zipfile.ZIP_DEFLATED)
        return out.getvalue()

    def page(self, path: str) -> bytes | None:
        """The HTML page of a work, by `html/<key>.html`."""
        work = self._work(path, "html", ".html")
        if work is None:
            return None
        about = dict(zip(COLUMNS, work.cells, strict=True))
        note = ", ".join(about[name] for name in ("DATE", "TECHNIQUE", "LOCATION") if about[name] != "-")
        return page(f"{about['TITLE']} by {about['AUTHOR']}", note, f"/detail/{quote(work.key)}.jpg")

    def picture(self, path: str) -> bytes | None:
        """The JPEG of a work, by `<folder>/<key>.jpg`, `folder` one of `FOLDERS`."""
        folder = path.partition("/")[0]
        work = self._work(path, folder, ".jpg") if folder in FOLDERS else None
        if work is None or (folder == "art" and not work.large):
            return None
        return self._render(work.path, work.box, work.scale * FOLDERS[folder])

    def _work(self, path: str, folder: str, suffix: str) -> Work | None:
        if not (path.startswith(f"{folder}/") and path.endswith(suffix)):
            return None
        return self.works.get(path[len(folder) + 1 : -len(suffix)])

    def _works(self, at: int, sample: Sample) -> Iterator[Work]:
        """The whole, then its details and its second reproduction."""
        painter, born_died, school, year = _PAINTERS[zlib.crc32(sample.item.encode()) % len(_PAINTERS)]
        year += at % 23
        half = year // 50 * 50
        kind = TYPES[self._samples.labels.index(sample.label) % len(TYPES)]
        name = slug(painter.partition(",")[0])
        key = f"{name[0]}/{name}/{sample.file.rpartition('.')[0]}"
        size = f"{20 + at * 7 % 120} x {20 + at * 11 % 150},5 cm"
        path = self._samples.path(sample)
        large = at % _EVERY["medium_only"] != 3

        def cells(title: str) -> tuple[str, ...]:
            technique = f"{_TECHNIQUES[at % len(_TECHNIQUES)]}, {size}"
            place = _PLACES[at % len(_PLACES)]
            about = (painter, born_died, title, _date(at, year), technique, place, "")
            return (*about, "painting", kind, school, f"{half + 1}-{half + 50}")

        yield Work(key, cells(sample.title), path, large=large)
        if at % _EVERY["detail"] == 2:
            yield Work(f"{key}_d1", cells(f"{sample.title} (detail)"), path, (0.2, 0.2, 0.7, 0.7))
            yield Work(f"{key}_d2", cells(f"{sample.title} (detail 2)"), path, (0.4, 0.4, 0.95, 0.95))
        if at % _EVERY["second"] == 4:
            yield Work(f"{key}_2", cells(sample.title), path, scale=0.9)


def _date(at: int, year: int) -> str:
    nth = f"{year // 100 + 1}th century"
    forms = (
        *(f"{year}", f"c. {year}", f"{year}-{(year + 2) % 100:02}", f"{year // 10 * 10}s", f"after {year}"),
        *("-", f"begun {year}", f"before {year}", f"1st half of the {nth}", f"{year}-{(year + 1) % 10}"),
    )
    return forms[at % len(forms)]


def _render(path: Path, box: tuple[float, float, float, float], scale: float) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        width, height = picture.size
        left, top, right, bottom = box
        shown = picture.convert("RGB").crop(
            (round(left * width), round(top * height), round(right * width), round(bottom * height))
        )
    size = (max(1, round(shown.width * scale)), max(1, round(shown.height * scale)))
    out = io.BytesIO()
    shown.resize(size, Image.Resampling.LANCZOS).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()
