"""`tune: full` through the whole graph: the tuned trunk comes with the release, and queries go through it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pinflow.collection import Collection, EncoderRecipe
from pinflow.commands.exports.content import Content
from pinflow.learning import full, promotion, tuner
from pinflow.learning.head import Head
from pinflow.pipeline.assets.encoders import trunk_file
from pinflow.releases import LocalReleases
from pinflow.retrieval.query import Query
from pinflow.retrieval.searcher import Searcher
from pinflow_tests.pipeline.houses import Tiny


class Silent:
    def say(self, _: str) -> None: ...


@pytest.fixture
def tuned_house(empty_house: Tiny, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """One quick epoch, and whatever came of it is promoted: three times four pictures decide nothing."""
    decide = promotion.decide

    def promote(*given: object) -> promotion.Promotion:
        return replace(decide(*given), promoted=True)  # type: ignore[arg-type]

    monkeypatch.setattr(tuner, "decide", promote)
    monkeypatch.setattr(full, "CPU_SIDE", 64)
    recipe = EncoderRecipe(tune="full")
    empty_house.__dict__["collection"] = Collection(
        **{**empty_house.collection.model_dump(), "encoder": recipe.model_dump()}
    )
    return empty_house


@pytest.mark.system
def test_a_tuned_trunk_is_released_searched_through_exported_and_grown_with(
    tuned_house: Tiny, tmp_path: Path
) -> None:
    from pinflow.commands.exports import network

    assert tuned_house.run().failed == {}
    encoder = tuned_house.part("release").read("encoder")
    digest = encoder.facts["tuned_trunk"]
    assert digest
    release = tuned_house.release()
    assert release["encoder"]["tuned_trunk"] == digest
    assert {"trunk.safetensors", "encoder.safetensors"} <= set(release["files"])

    local = LocalReleases(tuned_house.store, tmp_path / "cache")
    folder = local.fetch("tiny", tuned_house.current() or "")
    assert Head.from_bytes((folder / "encoder.safetensors").read_bytes()).trunk == digest
    searcher = Searcher.open(folder)
    picture = next(tuned_house.pictures.rglob("*.jpg")).read_bytes()
    first = searcher.search(Query.model_validate({"positive": [{"image": picture}]})).results[0]
    assert first.score > 0.99

    out = tmp_path / "out"
    out.mkdir()
    content = Content.of(tuned_house.settings, "tiny")
    assert "greatest difference" in network.write(content, out, Silent())  # type: ignore[arg-type]

    # A label that comes later is embedded by the same trunk, without another tuning.
    embedded = tuned_house.part("embeddings", "plain-red").read("embeddings")
    assert embedded.facts["encoders"] == [encoder.facts["served"]]
    again = tuned_house.materialize(["embeddings"], "plain-red")
    assert again.success
    assert trunk_file(Head(trunk=digest)) in encoder.files
    assert np.isfinite(searcher.release.shared.vectors).all()
