"""A source of releases in a plain folder: `<root>/<collection>/CURRENT` and `<root>/<collection>/<id>/`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pinflow.errors import StoreError
from pinflow.tombstones import NONE, Tombstones
from pinflow_tests.retrieval.releases import write_release


@dataclass
class FolderSource:
    """Can be told to be out of reach."""

    root: Path
    down: bool = field(default=False)
    stones: dict[str, Tombstones] = field(default_factory=dict)
    dropped: list[tuple[str, str | None]] = field(default_factory=list)

    def collections(self) -> list[str]:
        if self.down:
            raise StoreError("storage cannot be reached")
        return sorted(path.name for path in self.root.iterdir())

    def current(self, collection: str) -> str | None:
        pointer = self.root / collection / "CURRENT"
        return pointer.read_text().strip() if pointer.exists() else None

    def fetch(self, collection: str, release_id: str) -> Path:
        return self.root / collection / release_id

    def removed(self, collection: str) -> Tombstones:
        return self.stones.get(collection, NONE)

    def drop_holding(self, collection: str, removed: Tombstones, keep: str | None) -> None:
        self.dropped.append((collection, keep))

    def point(self, collection: str, release_id: str) -> None:
        (self.root / collection).mkdir(exist_ok=True)
        (self.root / collection / "CURRENT").write_text(release_id)

    def publish(self, collection: str, release_id: str, **options) -> Path:
        folder = write_release(
            self.root / collection / release_id, release_id, collection=collection, **options
        )
        self.point(collection, release_id)
        return folder
