"""`pinflow doctor`: what works here, what does not, and what to do about it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from pinflow import releases
from pinflow.collection import Collection, load
from pinflow.commands.console import Console
from pinflow.errors import PinflowError
from pinflow.settings import Settings
from pinflow.store import Store, open_store

PROBE = b"pinflow doctor was here"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. Not fine means that somebody should act; a note is only worth knowing."""

    what: str
    fine: bool
    said: str

    @property
    def style(self) -> str | None:
        return None if self.fine else "red"


def examine(settings: Settings) -> int:
    """Print every finding. The exit code: 1 where something does not work."""
    console = Console()
    fine = True
    parts = (_machine, _storage, _opt_outs, _collections)
    for finding in chain.from_iterable(part(settings) for part in parts):
        console.say(f"{'ok  ' if finding.fine else 'FAIL'} {finding.what}: {finding.said}", finding.style)
        fine = fine and finding.fine
    return 0 if fine else 1


def _machine(settings: Settings) -> Iterator[Finding]:
    import torch

    from pinflow.learning.trunk import best_device

    device = settings.device or best_device()
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    yield Finding("device", True, f"{device} ({name}), torch {torch.__version__}")
    s3 = importlib.util.find_spec("s3fs") is not None
    wanted = (settings.storage or "").startswith("s3://")
    yield Finding(
        "S3 storage", s3 or not wanted, "installed" if s3 else "pip install 'pinflow[s3]' to use s3://"
    )
    yield _weights(settings)


def _weights(settings: Settings) -> Finding:
    from pinflow.learning.trunk import load_trunk

    trunks = sorted({one.encoder.trunk for one in load(settings.collections).good.values()})
    try:
        for trunk in trunks:
            load_trunk(trunk, device="cpu")
    except PinflowError as error:
        return Finding("weights", False, str(error))
    return Finding("weights", True, ", ".join(trunks) or "no collection, none needed")


def _storage(settings: Settings) -> Iterator[Finding]:
    try:
        store = open_store(settings.storage_url)
        store.write(PROBE, ".doctor", "probe")
        found = store.read(".doctor", "probe")
        store.delete(".doctor", "probe")
        yield Finding("storage", found == PROBE, f"{settings.storage_url} can be written and read")
    except PinflowError as error:
        yield Finding("storage", False, str(error))


def _opt_outs(settings: Settings) -> Iterator[Finding]:
    from pinflow.scraping import optout

    try:
        for name, line in optout.read(open_store(settings.storage_url)).bad:
            said = f"line {line.line}: {line.text!r} skipped: {line.reason}"
            yield Finding(f"opt-out list {name}", False, said)
    except PinflowError as error:
        yield Finding("opt-out lists", False, str(error))


def _collections(settings: Settings) -> Iterator[Finding]:
    found = load(settings.collections)
    for name, error in found.bad.items():
        yield Finding(f"collection file {name}", False, error)
    if not found.good:
        yield Finding("collections", False, f"none in {settings.collections}: add a YAML file (see README)")
    for collection in found.good.values():
        try:
            yield from _collection(open_store(settings.storage_url), collection)
        except PinflowError as error:
            yield Finding(f"collection {collection.name}", False, str(error))


def not_followed(collection: Collection) -> list[str]:
    """Keys of a collection file that are valid, and that this version does not follow yet."""
    encoder = collection.encoder
    asked = {
        "encoder.tune: full": encoder.tune == "full",
        "encoder.grayscale": encoder.grayscale,
        f"encoder.loss: {encoder.loss}": encoder.loss not in ("auto", "supcon"),
        "attributes": bool(collection.attributes),
        **{f"encoder.positives: {name}": name not in ("related", "label") for name in encoder.positives},
    }
    return [key for key, given in asked.items() if given]


def _collection(store: Store, collection: Collection) -> Iterator[Finding]:
    from pinflow.pipeline.planning import Snapshot
    from pinflow.pipeline.stages import STAGES

    for key in not_followed(collection):
        yield Finding(
            f"collection {collection.name}", False, f"`{key}` comes in a later version: leave it out"
        )
    snapshot = Snapshot(store, collection)
    stale = {stage: len(due) for stage in STAGES if (due := snapshot.stale(stage))}
    release = releases.current(store, collection.name)
    said = f"{len(snapshot.labels)} labels, release {release or 'none yet'}"
    said += (
        "; stale: " + ", ".join(f"{stage} {count}" for stage, count in stale.items())
        if stale
        else "; up to date"
    )
    yield Finding(f"collection {collection.name}", True, said)
    for slug, manifest in snapshot.manifests("pins").items():
        if manifest.reason:
            again = f"`pinflow up` tries again by itself, pinflow run {collection.name} --label {slug} now"
            yield Finding(f"label {collection.name}/{slug}", False, f"incomplete: {manifest.reason}. {again}")
    for name, data in store.documents(collection.name, "rejected_labels").items():
        for line in json.loads(data):
            yield Finding(f"label list {collection.name}/{name.removesuffix('.json')}", False, line)
