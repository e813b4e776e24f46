"""The flow as a table: every stage, what it reads, and the phase that it runs in.

Nothing here runs anything. Assets, planner, automation and the command line all read this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["A", "B", "C", "D"]


@dataclass(frozen=True)
class Stage:
    """One asset of every collection. `code` is raised whenever its results would differ."""

    name: str
    phase: Phase
    per_label: bool
    reads: tuple[str, ...]
    description: str
    kinds: tuple[str, ...]
    code: int = 1
    pool: str | None = None
    shows: tuple[str, ...] = ()  # roll-ups that it shows where they are there; it never waits for them
    by_hand: bool = False  # made only where somebody asks for just this: it takes minutes


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "pins",
            "A",
            True,
            (),
            "What the source shows for a label: pins and the pictures' original bytes.",
            ("scrapy", "parquet"),
            pool="scrape",
        ),
        Stage(
            "images",
            "A",
            True,
            ("pins",),
            "Curated pictures, each reject with its reason, 256-px shards and thumbnails.",
            ("pillow", "parquet"),
        ),
        Stage(
            "splits",
            "A",
            True,
            ("images",),
            "Train, val and test by group, so that nothing leaks; stable as the label grows.",
            ("parquet",),
        ),
        Stage(
            "features",
            "A",
            True,
            ("images",),
            "Trunk vectors of the curated pictures, and their style; only new pictures are computed.",
            ("pytorch", "parquet"),
            code=3,
            pool="gpu",
        ),
        Stage(
            "encoder",
            "B",
            False,
            ("splits", "features", "images"),
            "The collection's encoder, tuned contrastively on all labels and promoted only by evidence.",
            ("pytorch",),
            code=3,
            pool="gpu",
        ),
        Stage(
            "tagger",
            "B",
            False,
            ("splits", "features"),
            "Calibrated tags for any picture, judged on test; abstains on strangers, finds label errors.",
            ("numpy", "safetensors"),
        ),
        Stage(
            "comparison",
            "B",
            False,
            ("splits", "images"),
            "Ways to learn tags on the same folds, from scratch and transferred: accuracy, size and time.",
            ("pytorch", "json"),
            by_hand=True,
        ),
        Stage(
            "text_encoder",
            "B",
            False,
            ("features", "splits", "images", "encoder"),
            "Words into the pictures' space; what answers them, meaning or the written, is chosen on val.",
            ("numpy", "safetensors"),
            code=2,
        ),
        Stage(
            "label_encoder",
            "C",
            True,
            ("splits", "features"),
            "A head tuned inside one label on related pins; identity where that does not help.",
            ("pytorch",),
            code=2,
            pool="gpu",
        ),
        Stage(
            "embeddings",
            "C",
            True,
            ("features", "encoder", "label_encoder", "images"),
            "Unit vectors in the collection's space, the label's own and by style; only stale rows computed.",
            ("numpy", "parquet"),
            code=2,
        ),
        Stage(
            "index",
            "C",
            True,
            ("embeddings",),
            "A FAISS index of the label, its recall measured against exact search.",
            ("faiss",),
            code=3,
        ),
        Stage(
            "projection",
            "C",
            True,
            ("embeddings",),
            "The label's 2-D and 3-D map, clusters and neighbour graph.",
            ("umap",),
        ),
        Stage(
            "gallery",
            "D",
            False,
            ("images", "splits", "embeddings"),
            "All labels' pictures, each once, their FAISS indexes, and what neighbours are worth as votes.",
            ("faiss", "parquet"),
            code=3,
        ),
        Stage(
            "atlas",
            "D",
            False,
            ("gallery", "images"),
            "The map of all labels, with sprite sheets of thumbnails.",
            ("umap", "webp"),
            code=2,
        ),
        Stage(
            "evaluation",
            "D",
            False,
            ("splits", "features", "images", "encoder", "tagger", "text_encoder"),
            "Frozen, candidate and served side by side, words, tags and styles, on unseen pictures.",
            ("numpy", "html"),
            code=3,
            shows=("comparison",),
        ),
        Stage(
            "release",
            "D",
            False,
            (
                "pins",
                "images",
                "label_encoder",
                "embeddings",
                "index",
                "projection",
                "gallery",
                "atlas",
                "evaluation",
                "encoder",
                "tagger",
                "text_encoder",
            ),
            "What serving needs, re-verified, immutable, published by one pointer swap.",
            ("json",),
        ),
    )
}

# What the automation and `pinflow run` make.
BY_ITSELF = {name: stage for name, stage in STAGES.items() if not stage.by_hand}

# Why a run was launched: the tag that says so, and what it says where nobody asked for just this step.
TRIGGER = "pinflow/trigger"
AUTOMATION = "automation"  # it is stale
STALE = "stale"  # the same, found by a command
REMOVAL = "removal"  # pins were removed: the source is not to be asked

PHASES: tuple[Phase, ...] = ("A", "B", "C", "D")


def of_phase(phase: Phase) -> list[Stage]:
    """The stages of a phase that are made by themselves, in the order of the flow."""
    return [stage for stage in BY_ITSELF.values() if stage.phase == phase]


def downstream(name: str) -> set[str]:
    """Every stage that reads `name`, directly or not."""
    found: set[str] = set()
    for stage in STAGES.values():
        if name in stage.reads or found.intersection(stage.reads):
            found.add(stage.name)
    return found
