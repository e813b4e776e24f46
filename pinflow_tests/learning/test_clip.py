"""open_clip's networks as trunks and as text models, with random weights from a file: no hub is asked."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from pinflow.errors import TrunkError
from pinflow.learning import checkpoint, clip, weights
from pinflow.learning.explaining.lens import load_lens
from pinflow.learning.head import Head
from pinflow.learning.style.statistics import load_style
from pinflow.learning.text.contenders import of_clip
from pinflow.learning.text.tower import Shares
from pinflow.learning.text.tune import fit_tower
from pinflow.learning.trunk import Trunk, load_trunk
from pinflow.retrieval.words import Meaning, load_sentences
from pinflow_tests.learning.conftest import jpeg

open_clip = pytest.importorskip("open_clip")

TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small CLIP whose random weights lie in a file."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "tiny-clip.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny-clip.json")
    torch.manual_seed(0)
    torch.save(open_clip.create_model("tiny-clip").state_dict(), folder / "weights.pt")
    return f"open_clip:tiny-clip/{folder / 'weights.pt'}"


def test_its_pictures_are_a_trunk_as_any_other(tiny: str) -> None:
    trunk = load_trunk(tiny, device="cpu")
    assert (trunk.width, trunk.preprocess.size) == (24, 32)
    assert trunk.preprocess.mean == pytest.approx(open_clip.OPENAI_DATASET_MEAN)
    found = trunk.encode([jpeg(0), jpeg(1)])
    assert found.shape == (2, 24)
    assert trunk.digest == load_trunk(tiny, device="cpu").digest
    whole = clip.create_clip(tiny, pretrained=True).eval()
    pixels = torch.from_numpy(trunk.pixels([jpeg(0)])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (trunk.preprocess.mean, trunk.preprocess.std))
    with torch.inference_mode():
        expected = whole.encode_image((pixels - mean) / std)[0].numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_its_words_lie_in_the_same_space(tiny: str) -> None:
    texts = ["a fish", "two fish on a table", "", "рыба", "\ud800 broken", "word " * 200]
    model = clip.load_clip_text(tiny)
    found = model.encode(texts)
    assert found.shape == (len(texts), model.width) == (6, 24)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    whole = clip.create_clip(tiny, pretrained=True).eval()
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("tiny-clip")(texts[:1])
        expected = whole.encode_text(tokens, normalize=True)[0].numpy()
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_a_release_that_was_made_with_them_loads_them_again_by_name(tiny: str) -> None:
    pictures = np.random.default_rng(0).normal(size=(40, 24)).astype(np.float32)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    untuned, tuned = of_clip(tiny, clip.load_clip_text(tiny).encode, Head(), 24)
    texts = [f"picture number {i}" for i in range(40)]
    towers = [
        fit_tower(pictures, one.encode(texts), np.arange(40), one.recipe, start=one.start)
        for one in (untuned, tuned)
    ]
    said = clip.load_clip_text(tiny).encode(["a fish"])
    np.testing.assert_allclose(towers[0].apply(said), said, atol=1e-5)
    assert np.abs(towers[1].apply(said) - said).max() > 1e-3
    meaning = Meaning(towers[0].to_bytes(), Shares(1.0, 0.0), partial(load_sentences, tiny))
    np.testing.assert_allclose(meaning.vector("a fish"), said[0], atol=1e-5)


def test_a_tuned_one_is_kept_and_read_as_any_trunk(tiny: str) -> None:
    model, preprocess = weights.load_model(tiny)
    read = checkpoint.from_bytes(checkpoint.to_bytes(checkpoint.Checkpoint(tiny, model.eval(), preprocess)))
    assert Trunk(tiny, read.model, read.preprocess, "cpu").digest == load_trunk(tiny, device="cpu").digest


def test_what_needs_a_map_of_cells_says_so_and_style_falls_back(tiny: str) -> None:
    lens = load_lens(tiny)
    with pytest.raises(TrunkError, match="no map of cells"):
        lens.cells(torch.zeros(1, 3, 32, 32))
    assert "tf_efficientnet_lite0" in load_style(tiny, device="cpu").name
    with pytest.raises(TrunkError, match="has no classes"):
        weights.load_model(tiny, classes=True)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("open_clip:ViT-B-23/laion2b_s34b_b79k", "did you mean .*open_clip:ViT-B-32"),
        ("open_clip:vit-b-32/openai", "did you mean .*open_clip:ViT-B-32"),
        ("open_clip:ViT-B-32/laion2b_s34b", "did you mean .*open_clip:ViT-B-32/laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32", "needs weights behind a slash; did you mean open_clip:ViT-B-32/openai"),
        ("open_clip:qqqqqqqqqqqqqqq/x", "see open_clip.list_models"),
        ("ViT-B-32/laion2b_s34b_b79k", "did you mean open_clip:ViT-B-32/laion2b_s34b_b79k"),
    ],
)
def test_a_typo_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(TrunkError, match=near):
        weights.check_name(name)


def test_a_name_that_is_known_needs_no_weights_to_be_checked() -> None:
    weights.check_name("open_clip:ViT-B-32/laion2b_s34b_b79k")


def test_unreachable_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrunkError, match=r"hub cannot be reached.*open_clip:RN50//path/to/file"):
        load_trunk("open_clip:RN50/yfcc15m", device="cpu")


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save(torch.nn.Linear(2, 2).state_dict(), file)
    (tmp_path / "text.pt").write_text("nothing")
    for one in (file, tmp_path / "text.pt"):
        with pytest.raises(TrunkError, match=rf"{one.name} does not hold the weights of RN50"):
            load_trunk(f"open_clip:RN50/{one}", device="cpu")


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(TrunkError, match=r"pinflow\[clip\]"):
        load_trunk("open_clip:ViT-B-32/openai", device="cpu")
