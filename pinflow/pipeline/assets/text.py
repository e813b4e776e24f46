"""The text encoder: one over all labels (phase B), from words into the encoder's space."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow.errors import CorruptError, TrunkError
from pinflow.learning.text import ADVICE, SENTENCES, available
from pinflow.pipeline.assets.encoders import read_head, seen_by_all, together, tuned_features
from pinflow.pipeline.partition import Partition
from pinflow.pipeline.resources import House
from pinflow.pipeline.stages import AUTOMATION, STALE
from pinflow.store import File, Manifest

if TYPE_CHECKING:
    from pinflow.learning.dataset import Dataset
    from pinflow.learning.head import Head
    from pinflow.learning.text.choose import Choice, Relevance, Words
    from pinflow.learning.text.contenders import Contender
    from pinflow.learning.text.known import Known

SEED = 0
QUERIES = 500  # captions that a large gallery's search is tuned on
TOWER, REPORT, SENTENCES_READ = "text.safetensors", "text.json", "sentences.safetensors"
Floats = npt.NDArray[np.float32]


def make_text_encoder(part: Partition, _: House) -> Manifest:
    """Fit towers into the space of the served encoder, and choose what answers words: one of them, what is
    written, or both. Without any sentence encoder, say so: what is written answers."""
    if part.trigger in (AUTOMATION, STALE) and part.previous and not part.snapshot.words_due():
        return part.previous
    features, encoder = part.read_all("features"), part.read("encoder")
    known = _known(part)
    with part.timed("choose"):
        choice = _chosen(part, known)
    figures = {
        question: {means: {m: asdict(e) for m, e in metrics.items()} for means, metrics in of.items()}
        for question, of in choice.figures.items()
    }
    served = choice.tower if choice.means != "captions" else None
    told = {
        "share": choice.shares[0],
        "partial": choice.shares[1],
        "means": choice.means,
        "why": choice.reason,
        "sentences": choice.sentences,
        "contender": choice.contender,
        "validated": dict(choice.validated),
    }
    report = {**told, "gain": asdict(choice.gain) if choice.gain else None, "figures": figures}
    return part.draft(
        {
            **({TOWER: part.put(served.to_bytes())} if served else {}),
            REPORT: part.put(json.dumps(report, sort_keys=True).encode()),
            SENTENCES_READ: part.put(known.to_bytes()),
        },
        facts={
            **told,
            "encoder": encoder.facts["served"],
            "rows": {label: manifest.rows for label, manifest in features.items()},
        },
        identity=[served.digest if served else None, choice.shares, encoder.facts["served"]],
    )


def served_words(state: Manifest, encoder: str) -> tuple[dict[str, File], dict[str, Any]]:
    """What a release takes to answer words in the space of that encoder: files, and its description."""
    files = {TOWER: state.files[TOWER]} if TOWER in state.files and state.facts["encoder"] == encoder else {}
    told = {name: state.facts[name] for name in ("share", "partial", "means", "why", "sentences")}
    if not files and state.facts["means"] != "captions":
        told |= {
            "share": 1.0,
            "partial": 1.0,
            "means": "captions",
            "why": "its tower speaks of another encoder's space",
        }
    return files, told


def text_queries(part: Partition, state: Manifest, encoder: str, captions: pa.ChunkedArray) -> Floats | None:
    """Some of the captions as the tower sees them (m, d), to tune a search on; None where there is no tower
    for that encoder, or nothing to make sentence vectors with."""
    from pinflow.learning.text.tower import Tower
    from pinflow.retrieval.words import load_sentences

    written = captions.drop_null().unique().to_pylist()
    if TOWER not in state.files or state.facts["encoder"] != encoder or not written:
        return None
    try:
        sentences = load_sentences(state.facts["sentences"])
    except TrunkError:
        return None
    chosen = np.random.default_rng(SEED).permutation(len(written))[:QUERIES]
    tower = Tower.from_bytes(part.store.file(state, TOWER))
    return tower.apply(sentences.encode([written[place] for place in chosen]))


def _known(part: Partition) -> Known:
    from pinflow.learning.text.known import Known

    if part.previous is None or SENTENCES_READ not in part.previous.files:
        return Known()
    try:
        return Known.from_bytes(part.store.file(part.previous, SENTENCES_READ))
    except CorruptError:
        return Known()


def contenders(trunk: str, head: Head, width: int, known: Known) -> list[Contender]:
    """Every tower that can be tried here, for pictures of that trunk, with vectors of `width` numbers before
    the head: with the packaged sentence encoder, and with the words that came with an open_clip trunk."""
    from pinflow.learning import clip
    from pinflow.learning.text.contenders import of_clip, of_minilm
    from pinflow.learning.text.minilm import load_minilm

    found = of_minilm(known.encoder(SENTENCES, load_minilm)) if available() else []
    if clip.named(trunk) and head.reads == "last":
        encode = known.encoder(trunk, lambda: clip.load_clip_text(trunk))
        found += of_clip(trunk, encode, head, width)
    return found


def _chosen(part: Partition, known: Known) -> Choice:
    from pinflow.learning.dataset import join
    from pinflow.learning.splits import resolve
    from pinflow.learning.text.choose import WRITTEN_ALONE, Choice, choose
    from pinflow.retrieval.captions import Captions

    splits, features, images = (part.read_all(stage) for stage in ("splits", "features", "images"))
    labels = sorted(set(splits) & set(features) & set(images))
    encoder = part.read("encoder")
    trained = part.table(encoder, "trained_on.parquet")["key"].to_pylist()
    rows = resolve([part.table(splits[label]) for label in labels], trained_on=trained)
    head = read_head(part, encoder, "served")
    tuned = tuned_features(part, encoder, head)
    table = together(part, {label: features[label] for label in labels})
    data = join(table, seen_by_all(rows, tuned), tuned=tuned)
    tried = contenders(part.collection.encoder.trunk, head, data.vectors.shape[1], known)
    if not tried:
        reason = f"the sentence encoder {SENTENCES} is not installed: {ADVICE}"
        return Choice(None, WRITTEN_ALONE, None, None, reason)
    names = {slug: label.query for slug, label in part.snapshot.labels.items()}
    beside = _beside([part.table(images[label], "pictures.parquet") for label in labels])
    titles, captions = ([beside.get(one, ("", ""))[side] for one in data.sha256.tolist()] for side in (0, 1))
    slugs = [[data.label_names[code] for code in codes if code >= 0] for codes in data.labels.tolist()]

    def search(hidden: frozenset[int]) -> Relevance:
        said = ([None if i in hidden else text for i, text in enumerate(side)] for side in (titles, captions))
        columns = dict(zip(("title", "caption"), (pa.array(side, pa.string()) for side in said), strict=True))
        index = Captions(pa.table({**columns, "labels": pa.array(slugs, pa.list_(pa.string()))}), names)

        def relevance(text: str) -> tuple[Floats, bool]:
            found = np.zeros(len(titles), np.float32)
            scores, at, whole = index.find(text)
            found[at] = scores
            return found, whole

        return relevance

    return choose(
        _words(data, data.space(head), titles, captions, slugs, names),
        tried,
        search(frozenset()),
        lambda asked: search(frozenset(asked.tolist())),
        seed=SEED,
    )


def _words(
    data: Dataset,
    vectors: Floats,
    titles: Sequence[str],
    captions: Sequence[str],
    slugs: Sequence[Sequence[str]],
    names: dict[str, str],
) -> Words:
    from pinflow.learning.text.choose import Words

    return Words(
        vectors=vectors,
        split=data.split,
        fold=data.fold,
        own=[_apart(title, caption) for title, caption in zip(titles, captions, strict=True)],
        prompts=[[names.get(slug, slug) for slug in each] for each in slugs],
    )


def _apart(title: str, caption: str) -> list[str]:
    """The texts that say something: a title that its caption repeats is not computed twice."""
    return [text for text in (title if title not in caption else "", caption) if text.strip()]


def _beside(pictures: list[pa.Table]) -> dict[str, tuple[str, str]]:
    """sha256 -> title and caption, of the first pin that shows the picture."""
    found: dict[str, tuple[str, str]] = {}
    for table in pictures:
        columns = (table[name].to_pylist() for name in ("sha256", "title", "caption"))
        for sha256, title, caption in zip(*columns, strict=True):
            found.setdefault(sha256, (title or "", caption or ""))
    return found
