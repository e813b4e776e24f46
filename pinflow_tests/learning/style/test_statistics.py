"""Style statistics of a small network with random weights: what they see and what they do not."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from pinflow.learning.style.statistics import SIDE, early, load_style, statistics
from pinflow.learning.trunk import Trunk
from pinflow.learning.weights import Preprocess

PLAIN = Preprocess(64, (0.5,) * 3, (0.5,) * 3)


class Shows(torch.nn.Module):
    """Two convolutions that show their stages as timm's networks do; `only`: the one side it takes."""

    def __init__(self, only: int | None = None) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernels = torch.nn.ParameterList(
            [torch.randn(shape, generator=generator) * 0.3 for shape in ((8, 3, 3, 3), (16, 8, 3, 3))]
        )
        self.only = only

    def forward_intermediates(self, x, indices, output_fmt, intermediates_only, stop_early):
        assert self.only in (None, x.shape[-1])
        seen = []
        for kernel in self.kernels:
            x = torch.nn.functional.conv2d(x, kernel, stride=2).relu()
            seen.append(x)
        return seen


def picture(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def stripes(colour: tuple[int, int, int], shift: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    rows = (np.arange(size[0]) + shift) // 8 % 2
    return picture(
        np.where(rows[:, None, None] > 0, np.uint8(colour), np.uint8(255))
        * np.ones((1, size[1], 1), np.uint8)
    )


@pytest.fixture(scope="module")
def style() -> Trunk:
    return early("shows", Shows(), PLAIN, "cpu")


def test_a_stage_gives_means_deviations_and_directions_that_fire_together() -> None:
    stage = torch.rand((5, 30, 4, 4), generator=torch.Generator().manual_seed(1))
    found = statistics(stage)
    assert found.shape == (5, 2 * 30 + 24 * 25 // 2)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


def test_it_does_not_matter_where_things_are() -> None:
    stage = torch.rand((1, 8, 4, 6), generator=torch.Generator().manual_seed(1))
    moved = stage.flatten(2)[:, :, torch.randperm(24)].reshape(stage.shape)
    torch.testing.assert_close(statistics(stage), statistics(moved))


def test_pictures_of_one_hand_are_alike(style: Trunk) -> None:
    found = style.encode([stripes((200, 30, 30)), stripes((200, 30, 30), shift=8), stripes((30, 30, 200))])
    assert found.shape == (3, style.width)
    same, other = np.linalg.norm(found[0] - found[1]), np.linalg.norm(found[0] - found[2])
    assert same < other / 5


def test_only_the_middle_square_is_looked_at(style: Trunk) -> None:
    long = np.full((SIDE, 3 * SIDE, 3), 255, np.uint8)
    square = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    long[:, SIDE : 2 * SIDE] = square
    one, other = style.encode([picture(long), picture(square)])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_network_of_one_size_is_shown_pictures_of_its_size() -> None:
    assert early("small", Shows(only=64), PLAIN, "cpu").preprocess.size == 64
    assert early("any", Shows(), PLAIN, "cpu").preprocess.size == SIDE


def test_a_network_that_hides_its_stages_is_refused() -> None:
    with pytest.raises(ValueError, match="does not show its stages"):
        early("closed", torch.nn.Flatten(), PLAIN, "cpu")


def test_the_digest_names_the_weights() -> None:
    other = Shows()
    with torch.no_grad():
        other.kernels[0].add_(1)
    assert early("shows", other, PLAIN, "cpu").digest != early("shows", Shows(), PLAIN, "cpu").digest


def test_the_packaged_trunk_shows_its_style() -> None:
    style = load_style(device="cpu")
    assert np.isfinite(style.encode([stripes((9, 9, 9))])).all()


def test_a_vision_transformer_fits_too() -> None:
    import timm

    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0)
    style = early("vit", model, Preprocess(224, (0.5,) * 3, (0.5,) * 3), "cpu")
    assert np.isfinite(style.encode([stripes((9, 9, 9))])).all()
