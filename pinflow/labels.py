"""Labels and their slugs: from what a person writes to a partition key and back.

Reading and writing the label files is the store's work; here are the rules alone.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from pinflow.errors import LabelError

SLUG_LENGTH = 60
QUERY_LENGTH = 500
HASH_LENGTH = 6  # hex digits that tell two queries of one slug apart
UNUSABLE = ("Cc", "Cs")  # Unicode categories: control characters, halves of a surrogate pair
SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,58}[a-z0-9])?$")


@dataclass(frozen=True)
class BadLine:
    """A line of a label list that was skipped, and why."""

    line: int
    text: str
    reason: str


def normalise(query: str) -> str:
    """The query in composed Unicode (NFC), white space collapsed. Raises `LabelError` for an unusable one."""
    clean = " ".join(unicodedata.normalize("NFC", query).split())
    if not clean:
        raise LabelError("a label is empty: write a word or phrase to search for")
    if len(clean) > QUERY_LENGTH:
        raise LabelError(f"label {clean[:40]!r}... has {len(clean)} characters; at most {QUERY_LENGTH}")
    if any(unicodedata.category(character) in UNUSABLE for character in clean):
        raise LabelError(f"label {clean!r} holds control characters or broken text: remove them")
    return clean


def slug(query: str) -> str:
    """The partition key of a query: lower-case ASCII letters, digits and `-`, at most 60 characters.

    Raises `LabelError` where nothing is left to write (`../..`, `!!!`).
    """
    from anyascii import anyascii

    clean = normalise(query)
    # A path is never meant as a label, and `x` for `../../x` would surprise its author.
    if ".." in clean.replace("\\", "/").split("/") or clean.startswith(("/", "\\")):
        raise LabelError(f"label {clean!r} looks like a path: write a word or phrase to search for")
    ascii_text = anyascii(clean).lower()
    key = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")[:SLUG_LENGTH].strip("-")
    if not key:
        raise LabelError(f"label {clean!r} has no letter or digit: write a word or phrase to search for")
    return key


def slugs(queries: Iterable[str], taken: dict[str, str] | None = None) -> dict[str, str]:
    """Map slug -> query for all queries; two queries that share a slug get a short hash each time.

    `taken` (slug -> query) are slugs already given out: they never change. Queries that differ only
    in white space or case are one label.
    """
    given = dict(taken or {})
    known = {normalise(query).casefold(): key for key, query in given.items()}
    fresh: dict[str, str] = {}
    for query in queries:
        clean = normalise(query)
        if clean.casefold() in known:
            continue
        plain = key = slug(clean)
        tail = HASH_LENGTH
        while key in given:
            hashed = hashlib.sha256(clean.encode()).hexdigest()[:tail]
            key = f"{plain[: SLUG_LENGTH - 1 - tail].rstrip('-')}-{hashed}"
            tail += 1
        given[key] = fresh[key] = clean
        known[clean.casefold()] = key
    return fresh


def parse_list(text: str, suffix: str) -> tuple[list[str], list[BadLine]]:
    """The labels in a list file, and the lines that cannot be labels.

    `suffix` is `.txt` (a label a line, `#` comments), `.csv` (first column, or the column `label`)
    or `.yaml`/`.yml` (a list, or a mapping with `labels:`). Bad lines never stop the good ones.
    """
    if suffix == ".txt":
        lines = [
            (number, line)
            for number, line in enumerate(text.splitlines(), 1)
            if line.strip() and not line.lstrip().startswith("#")
        ]
    elif suffix == ".csv":
        try:
            lines = _csv_lines(text)
        except csv.Error as error:
            return [], [BadLine(0, text[:80], f"not CSV: {error}")]
    elif suffix in (".yaml", ".yml"):
        import yaml

        try:
            loaded = yaml.safe_load(text) or []
        except yaml.YAMLError as error:
            return [], [BadLine(1, text[:80], f"not YAML: {error}")]
        items = loaded.get("labels", []) if isinstance(loaded, dict) else loaded
        if not isinstance(items, list):
            return [], [BadLine(1, text[:80], "expected a list of labels")]
        lines = [(number, item) for number, item in enumerate(items, 1)]
    else:
        return [], [BadLine(0, suffix, "a label list is .txt, .csv or .yaml")]

    good: list[str] = []
    bad: list[BadLine] = []
    for number, line in lines:
        try:
            slug(text_of(line))
        except LabelError as error:
            bad.append(BadLine(number, str(line)[:80], str(error)))
        else:
            good.append(normalise(text_of(line)))
    return good, bad


def text_of(item: object) -> str:
    """What a YAML list item says as a label. Raises `LabelError` for what YAML took for something else."""
    if isinstance(item, bool) or not isinstance(item, (str, int, float)):
        raise LabelError(f"expected text, found {type(item).__name__} {item!r}: put it in quotes")
    return str(item)


def _csv_lines(text: str) -> list[tuple[int, str]]:
    reader = csv.reader(io.StringIO(text))
    rows = [(reader.line_num, row) for row in reader if row]
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    column = header.index("label") if "label" in header else 0
    start = 1 if "label" in header else 0
    return [(number, row[column] if column < len(row) else "") for number, row in rows[start:]]
