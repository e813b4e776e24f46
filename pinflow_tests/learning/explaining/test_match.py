"""Why two pictures match: parts that add up to the cosine, exactly, in every space pinflow serves."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pinflow.errors import TrunkError
from pinflow.learning.explaining.draw import draw_match
from pinflow.learning.explaining.faithful import deletion
from pinflow.learning.explaining.lens import Lens
from pinflow.learning.explaining.match import why_match
from pinflow.learning.explaining.score import affine_map, match_score
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.weights import Preprocess
from pinflow_tests.learning.explaining.conftest import PHOTOS, photo

RNG = np.random.default_rng(0)
RESIDUAL = Head(
    "residual",
    {"directions": np.linalg.qr(RNG.normal(size=(1280, 6)))[0].T, "gains": RNG.random(6).astype(np.float32)},
)
LINEAR = Head("linear", {"weight": RNG.normal(size=(64, 1280)).astype(np.float32)})
AFFINE = Head("affine", {**LINEAR.weights, "bias": RNG.normal(size=64).astype(np.float32)})
WIDE = Head("affine", {"weight": RNG.normal(size=(64, 1984)), "bias": RNG.normal(size=64)}, "stages")
HEADS = {
    "frozen": IDENTITY,
    "residual": RESIDUAL,
    "linear": LINEAR,
    "affine": AFFINE,
    "frozen with the stages": Head(reads="stages"),
    "affine on the stages": WIDE,
}


def mirrored_part(data: bytes) -> bytes:
    """Another view of the same thing."""
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
        part = picture.crop((0, 0, int(0.8 * width), int(0.8 * height)))
    out = io.BytesIO()
    part.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(out, "PNG")
    return out.getvalue()


def vectors(lens: Lens, *pictures: bytes) -> np.ndarray:
    with torch.inference_mode():
        return lens.pool(lens.cells(lens.input(np.stack([lens.square(one) for one in pictures])))).numpy()


@pytest.mark.parametrize("head", HEADS)
def test_the_parts_add_up_to_the_cosine(lens, head) -> None:
    first, second = photo("coffee.png"), photo("chelsea.png")
    match = why_match(lens, first, second, HEADS[head])
    ours, theirs = HEADS[head].apply(vectors(lens.reading(HEADS[head].reads), first, second))
    assert match.parts.shape == (7, 7, 7, 7)
    assert match.parts.sum() == pytest.approx(float(ours.astype(np.float64) @ theirs), abs=1e-5)
    assert match.cosine == pytest.approx(float(ours.astype(np.float64) @ theirs), abs=1e-5)


def test_a_picture_matches_itself_entirely(lens) -> None:
    match = why_match(lens, photo("coffee.png"), photo("coffee.png"), RESIDUAL)
    assert match.cosine == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(match.parts, match.parts.transpose(2, 3, 0, 1), atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_a_head_as_a_matrix_does_what_the_head_does(head) -> None:
    width = 1280 if HEADS[head].reads == "last" else 1984
    some = RNG.normal(size=(4, width)).astype(np.float32)
    matrix, shift = affine_map(HEADS[head], width)
    mapped = some / np.linalg.norm(some, axis=1, keepdims=True) @ matrix.T + shift
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    np.testing.assert_allclose(mapped, HEADS[head].apply(some), atol=1e-5)
    score = match_score(HEADS[head], some[0])(torch.from_numpy(some)).numpy()
    np.testing.assert_allclose(score, mapped @ mapped[0], atol=1e-5)


def test_deleting_what_matches_costs_more_of_the_match_than_random_cells(lens) -> None:
    ahead = []
    for first in map(photo, PHOTOS):
        second = mirrored_part(first)
        heat = why_match(lens, first, second).heats[0]
        score = match_score(IDENTITY, vectors(lens, second)[0])
        found = deletion(lens, first, score, heat, draws=8)
        ahead.append(found.top - found.random)
    assert np.mean(ahead) > 0
    assert sum(one > 0 for one in ahead) >= 4


def test_a_copied_patch_is_what_joins_two_pictures(lens) -> None:
    with Image.open(io.BytesIO(photo("coffee.png"))) as picture:
        patch = picture.crop((60, 0, 160, 100)).resize((64, 64))
    boards = []
    for corner in ((0, 0), (160, 160)):
        board = Image.new("RGB", (224, 224), "white")
        board.paste(patch, corner)
        out = io.BytesIO()
        board.save(out, "PNG")
        boards.append(out.getvalue())
    first, second = (heat.heat for heat in why_match(lens, *boards).heats)
    assert first[:112, :112].mean() > first[112:, 112:].mean()
    assert second[112:, 112:].mean() > second[:112, :112].mean()


def test_the_strongest_pairs_are_named_once_and_in_order(lens) -> None:
    match = why_match(lens, photo("coffee.png"), photo("chelsea.png"))
    pairs = match.pairs(6)
    values = [value for _, _, value in pairs]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(match.parts.max())
    assert all(match.parts[(*one, *other)] == value for one, other, value in pairs)
    assert len({one for one, _, _ in pairs}) == len({other for _, other, _ in pairs}) == 6


def test_a_match_is_json_and_a_picture(lens) -> None:
    first, second = photo("coffee.png"), photo("chelsea.png")
    match = why_match(lens, first, second, LINEAR)
    told = json.loads(json.dumps(match.to_json()))
    assert np.sum(told["first"]) == pytest.approx(match.cosine, abs=1e-4)
    assert np.sum(told["second"]) == pytest.approx(match.cosine, abs=1e-4)
    with Image.open(io.BytesIO(draw_match(lens, first, second, match))) as drawn:
        assert (drawn.format, drawn.size) == ("PNG", (652, 320))


def test_a_trunk_whose_vector_is_not_the_mean_of_its_cells_does_not_come_apart() -> None:
    class Largest(torch.nn.Module):
        def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool2d(inputs + 2, 8)

        def forward_head(self, cells: torch.Tensor, *, pre_logits: bool) -> torch.Tensor:
            return cells.amax(dim=(2, 3))

    largest = Lens("largest", Largest(), Preprocess(32, (0.5,) * 3, (0.5,) * 3))
    with pytest.raises(TrunkError, match="not the mean of its cells"):
        why_match(largest, photo("coffee.png"), photo("chelsea.png"))
