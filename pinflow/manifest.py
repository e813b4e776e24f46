"""What a stage made: the manifest of a partition and the files that it names. No reading or writing here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from pinflow.errors import CorruptError

JSON = Any


def digest(content: JSON) -> str:
    """sha256 of JSON-able content, independent of key order."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class File:
    """A blob under a name. `rows` is set for tables."""

    sha256: str
    bytes: int
    rows: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What a stage made for one label (or, with `label` None, for the collection).

    `version` changes only when the content that others build on changed; `inputs` are the versions it
    was built from and `recipe` the parameters, so that equality of both means "nothing to do".
    `stats` are for people and never part of the version.
    """

    collection: str
    stage: str
    label: str | None
    version: str
    recipe: str
    inputs: dict[str, JSON]
    files: dict[str, File]
    facts: dict[str, JSON] = field(default_factory=dict)
    stats: dict[str, JSON] = field(default_factory=dict)
    status: str = "complete"
    reason: str | None = None
    written_at: str = ""

    @property
    def rows(self) -> int:
        """Rows of all tables together."""
        return sum(file.rows or 0 for file in self.files.values())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.bytes for file in self.files.values())

    @property
    def content(self) -> str:
        """Digest of every file and fact, also where `version` stands for less than all of them."""
        return digest({"files": {n: f.sha256 for n, f in self.files.items()}, "facts": self.facts})

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True, indent=1, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """Raises `CorruptError` naming `where`."""
        try:
            content = json.loads(data)
            content["files"] = {name: File(**file) for name, file in content["files"].items()}
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptError(
                f"{where} is damaged ({error}): delete it and materialise that partition again"
            ) from error
