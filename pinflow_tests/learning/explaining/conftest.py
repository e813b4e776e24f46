"""Photographs that scikit-image carries, and ImageNet's classes as tags: real questions to a real network."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from pinflow.learning.explaining.lens import Lens, Score, load_lens
from pinflow.learning.explaining.score import tag_score
from pinflow.learning.tagging.probe import Probe
from pinflow.learning.tagging.tagger import Tagger
from pinflow.learning.weights import load_model

PHOTOS = ("coffee.png", "chelsea.png", "rocket.jpg", "motorcycle_left.png", "astronaut.png")


@pytest.fixture(autouse=True)
def one_thread():
    """More are slower as soon as anything else runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def lens() -> Lens:
    return load_lens()


@pytest.fixture(scope="session")
def tagger() -> Tagger:
    """The classifier that comes with the weights; a trunk vector of a photograph is some 10 long."""
    model, _ = load_model(classes=True)
    layer = model.get_submodule("classifier")
    weight, bias = (one.detach().numpy() for one in layer.parameters())
    nobody = np.zeros_like(weight), np.full(len(bias), np.inf, np.float32)
    return Tagger(tuple(map(str, range(len(bias)))), Probe(10 * weight, bias), *nobody, 1.0, -1.0, 0.9, "")


def photo(name: str) -> bytes:
    """Longest side 256 px, as a shard holds it."""
    import skimage
    from PIL import Image

    with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
        small = picture.convert("RGB")
    small.thumbnail((256, 256))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=92)
    return out.getvalue()


def first_tag(lens: Lens, tagger: Tagger, picture: bytes) -> Score:
    """The score of what the network takes the picture for."""
    with torch.inference_mode():
        vector = lens.pool(lens.cells(lens.input(lens.square(picture)[None]))).numpy()
    return tag_score(tagger, tagger.tag(vector)[0].tags[0].tag)
