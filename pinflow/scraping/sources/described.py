"""What tables in a folder say of its files: our `captions.csv`, and Hugging Face's `metadata.*`.

`captions.csv` lies in the folder itself and has a column `file` (relative to the folder, or to the label's
folder where `label` is given). `metadata.csv` and `metadata.jsonl` lie anywhere and have a column
`file_name`, relative to where they lie ("Create an image dataset" in the documentation of `datasets`).
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from pinflow.collection import Source
from pinflow.errors import ScrapeError
from pinflow.scraping.pages.rows import Columns
from pinflow.scraping.sources.tables import read_table

CAPTIONS = "captions.csv"
METADATA = ("metadata.csv", "metadata.jsonl")
TABLES = frozenset((CAPTIONS, *METADATA))


@dataclass(frozen=True)
class Description:
    """The row of one file. In `captions.csv` a label is where the file lies; elsewhere it says what it is."""

    columns: Columns
    row: dict[str, str]
    in_captions: bool

    @property
    def label(self) -> str | None:
        return self.columns.value(self.row, "label")


class Descriptions:
    """Rows by file name, relative to the folder."""

    def __init__(self, source: Source, counts: Counter[str]) -> None:
        self._source, self._counts = source, counts
        self.rows: dict[str, Description] = {}
        self.name_labels = False  # whether a label may differ from the name of the folder

    def read(self, path: str, file: IO[bytes]) -> None:
        """Add the table that lies at `path`, relative to the folder. Raises `ScrapeError`."""
        folder, _, name = path.rpartition("/")
        try:
            header, rows = read_table(file, self._counts)
            columns = Columns(header, self._source.columns, self._source.label_by)
            if not columns.has("file"):
                wanted = "file" if name == CAPTIONS else "file_name"
                raise ScrapeError(f"no column `{wanted}`; columns: {', '.join(header)}")
            named = self._captions if name == CAPTIONS else self._metadata
            self.rows.update(named(columns, rows, folder))
        except ScrapeError as error:
            raise ScrapeError(f"{path}: {error}") from error
        self.name_labels |= bool(self._source.label_by) or (name != CAPTIONS and columns.has("label"))

    def _captions(
        self, columns: Columns, rows: Iterator[dict[str, str]], _: str
    ) -> Iterator[tuple[str, Description]]:
        for row in rows:
            name, label = columns.value(row, "file"), columns.value(row, "label")
            if name:
                name = name.replace("\\", "/").removeprefix("./")
                inside = "/" in name or self._source.label_by or not label
                yield name if inside else f"{label}/{name}", Description(columns, row, True)

    def _metadata(
        self, columns: Columns, rows: Iterator[dict[str, str]], folder: str
    ) -> Iterator[tuple[str, Description]]:
        for row in rows:
            name = columns.value(row, "file")
            if name:
                path = posixpath.normpath(posixpath.join(folder, name.replace("\\", "/")))
                yield path, Description(columns, row, False)

    def parents(self) -> set[str]:
        """Folders that hold described files; a name that leads out of the folder has none."""
        found = {posixpath.dirname(name) for name in self.rows}
        return {one for one in found if not one.startswith(("/", "..")) and "/../" not in f"/{one}/"}
