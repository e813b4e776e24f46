"""Which files of a folder have which label, in the layouts that `folder` reads; nothing is fetched here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pinflow.collection import Source
from pinflow.errors import LabelError, ScrapeError
from pinflow.labels import slug
from pinflow.scraping.pin import clean
from pinflow.scraping.sources.described import CAPTIONS, METADATA, TABLES, Description, Descriptions
from pinflow.scraping.sources.feed import matches

# The names that `datasets` knows splits by (its `data_files.py`).
SPLITS = frozenset(
    (
        *("train", "training"),
        *("validation", "valid", "dev", "val"),
        *("test", "testing", "eval", "evaluation"),
    )
)


@dataclass(frozen=True)
class _Inside:
    """Names in one folder, relative to the whole, sorted."""

    folders: list[str]
    files: list[str]


class Layout:
    """A folder seen through fsspec; names are relative to it, with `/`. Folders are listed when asked for."""

    def __init__(self, source: Source, counts: Counter[str]) -> None:
        """Rows of tables that cannot be read are counted as `bad_rows`. Raises `ScrapeError`."""
        import fsspec

        path = source.path or ""
        if "::" in path or path.startswith(("http://", "https://")):
            # Bytes from the web come through the crawler and its manners only.
            raise ScrapeError(
                f"folder {path}: give a local folder or an object store; for the web use `kind: feed`"
            )
        self._source = source
        self._seen: dict[str, _Inside] = {}
        self._descriptions = Descriptions(source, counts)
        self.entries: dict[str, dict[str, Any]] = {}  # what fsspec says of each file seen, by name
        with readable(path):
            self.fs, self.root = fsspec.core.url_to_fs(path)
            self.fs.invalidate_cache()
            if not self.fs.isdir(self.root):
                raise ScrapeError(f"folder {path} does not exist")
        for base in self._bases:
            self._inside(base)
        if source.label_by and not self._descriptions.rows:
            # Tables may also lie with the pictures.
            self._all_files()
            if not self._descriptions.rows:
                tables = " or ".join(sorted(TABLES))
                raise ScrapeError(f"`label_by: {source.label_by}` needs {tables} in {path}: there is none")

    @cached_property
    def _splits(self) -> list[str]:
        """The folders that hold a split each. They are splits only together: one `train` among other labels
        is a label, and so are folders of such names with nothing below them and no metadata."""
        folders = self._inside("").folders
        if not all(name.lower() in SPLITS for name in folders):
            return []
        below = [self._inside(name).folders for name in folders]
        return folders if any(below) or self._descriptions.rows else []

    @property
    def _bases(self) -> list[str]:
        return self._splits or [""]

    def _label_folders(self) -> list[str]:
        return [name for base in self._bases for name in self._inside(base).folders]

    def labels(self) -> list[str]:
        """The labels, as often as there are folders or files of them."""
        if not self._descriptions.name_labels:
            return sorted(map(_last, self._label_folders()))
        return [label for name in self._all_files() if (label := self._label(name))]

    def files(self, query: str) -> list[str]:
        """Names of the files of one label, sorted."""
        if not self._descriptions.name_labels:
            folders = self._label_folders()
            chosen = _chosen(query, map(_last, folders))
            return sorted(name for one in folders if _last(one) in chosen for name in self._inside(one).files)
        by_name = {name: label for name in self._all_files() if (label := self._label(name))}
        chosen = _chosen(query, by_name.values())
        return [name for name, label in by_name.items() if label in chosen]

    def _label(self, name: str) -> str | None:
        described = self.described(name)
        if self._source.label_by:
            return described.label if described else None
        if described and not described.in_captions and described.label:
            return described.label
        folder = name.rpartition("/")[0]
        return _last(folder) if folder and folder not in self._splits else None

    def _all_files(self) -> list[str]:
        """Every file that may have a label, sorted: in the folders of labels, and wherever a table says."""
        for one in self._label_folders():
            self._inside(one)
        for one in sorted(self._descriptions.parents()):
            self._inside(one)
        return sorted(name for inside in self._seen.values() for name in inside.files)

    def _inside(self, folder: str) -> _Inside:
        """What is in a folder; its tables are read."""
        if folder in self._seen:
            return self._seen[folder]
        try:
            with readable(folder or self.root):
                entries = self.fs.ls(f"{self.root}/{folder}".rstrip("/") or "/", detail=True)
        except ScrapeError as error:
            if not isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError)):
                raise
            entries = []  # a table speaks of files that are not there
        start = f"{folder}/" if folder else ""
        named = {self._name(entry): entry for entry in entries}
        # An object store may list the folder itself as an empty object.
        named = {
            name: entry
            for name, entry in named.items()
            if name.startswith(start) and name != start and _shown(name)
        }
        files = {name: entry for name, entry in named.items() if entry["type"] == "file"}
        self.entries |= files
        inside = _Inside(
            sorted(name for name, entry in named.items() if entry["type"] == "directory"),
            sorted(name for name in files if _last(name) not in TABLES),
        )
        self._seen[folder] = inside
        for name in sorted(files):
            if _last(name) in METADATA or name == CAPTIONS:
                self._read(name)
        return inside

    def _read(self, name: str) -> None:
        with readable(f"{self.root}/{name}"), self.fs.open(self.entries[name]["name"], "rb") as file:
            self._descriptions.read(name, file)

    def _name(self, entry: dict[str, Any]) -> str:
        name: str = entry["name"].rstrip("/").removeprefix(self.root.rstrip("/")).lstrip("/")
        return clean(name) or name

    def address(self, name: str) -> str:
        """The file's URL."""
        url: str = self.fs.unstrip_protocol(self.entries[name]["name"])
        return clean(url) or url

    def described(self, name: str) -> Description | None:
        """What a table says of the file."""
        return self._descriptions.rows.get(name)

    def split(self, name: str) -> str | None:
        """The folder of a split that the file lies in."""
        first = name.partition("/")[0]
        return first if first in self._splits else None


class readable:
    """Turns what an object store's client raises into `ScrapeError`; nothing is written inside."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> None:
        if isinstance(error, UnicodeDecodeError):
            raise ScrapeError(f"{self._what} is not UTF-8: save it as UTF-8") from error
        if isinstance(error, Exception) and not isinstance(error, (ScrapeError, AssertionError)):
            raise ScrapeError(f"{self._what} cannot be read: {type(error).__name__}: {error}") from error


def _shown(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _chosen(query: str, labels: Iterable[str]) -> set[str]:
    """Those of `labels` that are the one asked for: by their text, else by their partition key."""
    known = set(labels)
    wanted = _slug(query)
    by_text = {label for label in known if matches(query, label)}
    return by_text or {label for label in known if wanted and _slug(label) == wanted}


def _slug(name: str) -> str | None:
    try:
        return slug(name)
    except LabelError:
        return None
