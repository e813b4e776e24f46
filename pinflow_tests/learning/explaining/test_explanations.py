"""Grad-CAM, occlusion and LIME: true of the network, repeatable, and shown as pictures and JSON."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pinflow.errors import PictureError, TrunkError
from pinflow.learning.explaining.ask import why_tag
from pinflow.learning.explaining.draw import draw
from pinflow.learning.explaining.explanation import Explanation
from pinflow.learning.explaining.faithful import SIDE, deletion, without
from pinflow.learning.explaining.gradcam import grad_cam
from pinflow.learning.explaining.lens import Lens
from pinflow.learning.explaining.lime import lime, superpixels
from pinflow.learning.explaining.occlusion import occlusion
from pinflow.learning.explaining.score import tag_score
from pinflow.learning.trunk import load_trunk
from pinflow.learning.weights import Preprocess
from pinflow_tests.learning.conftest import jpeg
from pinflow_tests.learning.explaining.conftest import PHOTOS, first_tag, photo

METHODS = {
    "grad-cam": grad_cam,
    "occlusion": lambda *given: occlusion(*given, patches=4),
    "lime": lambda *given: lime(*given, samples=60, segments=20),
}


@pytest.mark.parametrize("reads", ["last", "stages"])
def test_the_lens_sees_what_the_trunk_sees(lens, reads) -> None:
    picture, lens = photo("coffee.png"), lens.reading(reads)
    with torch.inference_mode():
        vector = lens.pool(lens.cells(lens.input(lens.square(picture)[None]))).numpy()[0]
    expected = load_trunk(device="cpu").encode([picture], reads)[0]
    cosine = vector @ expected / np.linalg.norm(vector) / np.linalg.norm(expected)
    assert cosine > 0.9999


def test_the_score_of_a_tag_is_its_log_odds(lens, tagger) -> None:
    vectors = np.random.default_rng(0).random((3, 1280)).astype(np.float32)
    odds = tag_score(tagger, "967")(torch.from_numpy(vectors)).numpy()
    probability = tagger.probabilities(vectors)[:, 967]
    np.testing.assert_allclose(odds, np.log(probability / (1 - probability)), rtol=1e-3)
    with pytest.raises(ValueError, match="no tag 'espresso'"):
        tag_score(tagger, "espresso")


@pytest.mark.parametrize("method", METHODS)
def test_deleting_the_top_cells_of_a_photograph_costs_more_than_random_ones(lens, tagger, method) -> None:
    ahead = []
    for name in PHOTOS[:2]:
        picture = photo(name)
        score = first_tag(lens, tagger, picture)
        found = deletion(lens, picture, score, METHODS[method](lens, picture, score), draws=8)
        ahead.append(found.top - found.random)
    assert np.mean(ahead) > 0.5  # of log-odds


@pytest.mark.system
@pytest.mark.parametrize("method", [grad_cam, occlusion, lime])
def test_every_method_is_faithful_over_all_photographs_at_its_full_budget(lens, tagger, method) -> None:
    drops = []
    for name in PHOTOS:
        picture = photo(name)
        score = first_tag(lens, tagger, picture)
        drops.append(deletion(lens, picture, score, method(lens, picture, score)))
    assert np.mean([one.top - one.random for one in drops]) > 1.0
    assert sum(one.top > one.random for one in drops) >= 4


def test_heat_at_random_is_not_faithful(lens, tagger) -> None:
    picture = photo("coffee.png")
    score = first_tag(lens, tagger, picture)
    noise = np.random.default_rng(3)
    ahead = []
    for _ in range(6):
        heat = np.kron(noise.normal(size=(SIDE, SIDE)), np.ones((32, 32))).astype(np.float32)
        found = deletion(lens, picture, score, Explanation("noise", 0.0, heat), draws=8)
        ahead.append(found.top - found.random)
    assert abs(np.mean(ahead)) < 2 * np.std(ahead)


@pytest.mark.parametrize("method", METHODS)
def test_an_explanation_is_repeatable_json_and_a_picture(lens, tagger, method) -> None:
    picture = jpeg(3, (120, 80))
    score = tag_score(tagger, "1")
    found, again = (METHODS[method](lens, picture, score) for _ in range(2))
    np.testing.assert_array_equal(found.heat, again.heat)
    assert found.heat.shape == (224, 224)
    assert np.abs(found.heat).max() > 0
    told = json.loads(json.dumps(found.to_json()))
    assert told["method"] == method
    assert np.array(told["heat"]).shape == (14, 14)
    with Image.open(io.BytesIO(draw(lens, picture, found))) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width / drawn.height == pytest.approx(120 / 80, rel=0.02)


def test_lime_says_how_far_it_can_be_believed(lens, tagger) -> None:
    picture = photo("coffee.png")
    score = first_tag(lens, tagger, picture)
    facts = [lime(lens, picture, score, samples=n, segments=20, seed=1).facts for n in (30, 90)]
    for fact, samples in zip(facts, (30, 90), strict=True):
        assert (fact["seed"], fact["samples"]) == (1, samples)
        assert 0.3 < fact["local_r2"] <= 1
        assert 5 < fact["superpixels"] <= 30


def test_lime_and_occlusion_find_what_a_plain_score_depends_on() -> None:
    """The score is the contrast in the left half; the network is the picture itself."""

    class Half(torch.nn.Module):
        def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
            return inputs

        def forward_head(self, cells: torch.Tensor, *, pre_logits: bool) -> torch.Tensor:
            return cells[..., : cells.shape[3] // 2].square().mean(dim=(1, 2, 3))[:, None]

    plain = Lens("half", Half(), Preprocess(64, (0.5,) * 3, (0.5,) * 3))
    checks = np.indices((16, 16)).sum(axis=0) % 2 * 255
    pixels = np.kron(checks, np.ones((4, 4), int)).astype(np.uint8)[..., None].repeat(3, axis=2)
    grey = np.where(np.arange(64)[None, :, None] % 8 < 4, pixels, 128).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    for found in (
        occlusion(plain, out.getvalue(), lambda vectors: vectors[:, 0], patches=8),
        lime(plain, out.getvalue(), lambda vectors: vectors[:, 0], samples=200, segments=64),
    ):
        assert np.abs(found.heat[:, :24]).mean() > 5 * np.abs(found.heat[:, 40:]).mean()
    assert found.facts["local_r2"] > 0.8


def test_a_question_is_answered_by_the_method_asked_for(lens, tagger) -> None:
    picture = jpeg(3)
    found = why_tag(lens, tagger, picture, "7", method="lime", samples=24, segments=8, seed=2)
    assert (found.method, found.facts["samples"], found.facts["seed"]) == ("lime", 24, 2)
    assert why_tag(lens, tagger, picture, "7").method == "grad-cam"
    assert why_tag(lens, tagger, picture, "7").score == pytest.approx(found.score, abs=1e-4)
    with pytest.raises(ValueError, match="choose one of grad-cam, occlusion, lime"):
        why_tag(lens, tagger, picture, "7", method="guess")


def test_superpixels_are_counted_without_gaps(lens) -> None:
    parts = superpixels(lens.square(photo("chelsea.png")), 30)
    assert parts.shape == (224, 224)
    assert set(np.unique(parts)) == set(range(parts.max() + 1))


def test_deletion_blurs_the_chosen_cells_and_no_others(lens) -> None:
    pixels = lens.square(photo("coffee.png"))
    gone = np.zeros((SIDE, SIDE), bool)
    gone[3, 3] = True
    changed = (without(pixels, gone) != pixels).any(axis=2)
    assert changed[96:128, 96:128].mean() > 0.9
    changed[96:128, 96:128] = False
    assert not changed.any()


def test_heat_in_cells_is_the_mean_of_its_pixels() -> None:
    heat = np.arange(36, dtype=np.float32).reshape(6, 6)
    cells = Explanation("x", 0.0, heat).cells(3)
    assert cells[0, 0] == np.mean([0, 1, 6, 7])
    assert cells.mean() == heat.mean()
    assert Explanation("x", 0.0, heat).cells(4).shape == (4, 4)


def test_what_is_no_picture_and_what_has_no_cells_is_refused(lens) -> None:
    import timm

    with pytest.raises(PictureError):
        lens.square(b"not a picture")
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0).eval()
    tokens = Lens("vit", model, Preprocess(224, (0.5,) * 3, (0.5,) * 3))
    with pytest.raises(TrunkError, match="no map of cells"):
        tokens.cells(torch.zeros(1, 3, 224, 224))
