"""What runs a network: the same vectors whoever does, files that can be lost or damaged without harm."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from pinflow.learning import engine as engines
from pinflow.learning import trunk as trunks
from pinflow.learning.devices import Plan
from pinflow.learning.weights import Preprocess
from pinflow_tests.learning.conftest import jpeg

SMALL = Preprocess(32, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


class Network(torch.nn.Module):
    """Something small with what networks have: convolution, normalisation, pooling."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2), torch.nn.BatchNorm2d(8), torch.nn.ReLU6()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).mean((2, 3))


class Unwritable(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.onnx.is_in_onnx_export():
            raise RuntimeError("no ONNX for this")
        return super().forward(x)


class TwoFaced(Network):
    """Written out, it computes something else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = super().forward(x)
        return found.flip(1) if torch.onnx.is_in_onnx_export() else found


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunks, "ENOUGH", 8)


def trunk(folder: Path | None, network: type[Network] = Network) -> trunks.Trunk:
    return trunks.Trunk("small", network(), SMALL, "cpu", engines=folder)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))


def test_a_few_pictures_never_wait_for_a_faster_engine(tmp_path: Path) -> None:
    made = trunk(tmp_path)
    made.encode([jpeg(seed) for seed in range(7)])
    assert made.engine == "torch"
    assert list(tmp_path.iterdir()) == []


def test_many_pictures_change_the_engine_but_not_the_vectors(tmp_path: Path) -> None:
    made, pictures = trunk(tmp_path), [jpeg(seed) for seed in range(7)]
    before = made.encode(pictures)
    after = made.encode(pictures)
    assert made.engine == "onnxruntime"
    assert cosines(before, after).min() > engines.TOLERANCE


def test_the_engine_is_kept_for_the_next_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [jpeg(seed) for seed in range(9)]
    vectors = trunk(tmp_path).encode(pictures)
    monkeypatch.setattr(engines, "to_onnx", None)
    second = trunk(tmp_path)
    assert second.engine == "onnxruntime"
    np.testing.assert_array_equal(second.encode(pictures), vectors)


def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    trunk(tmp_path).encode([jpeg(0)] * 8)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    made = trunk(tmp_path)
    assert made.engine == "torch"
    assert not file.exists()
    made.encode([jpeg(0)] * 8)
    assert made.engine == "onnxruntime"
    assert file.stat().st_size > 100


def test_other_weights_have_another_file(tmp_path: Path) -> None:
    trunk(tmp_path).encode([jpeg(0)] * 8)
    other = Network()
    with torch.no_grad():
        other.layers[0].weight += 1  # type: ignore[operator]
    assert trunks.Trunk("small", other, SMALL, "cpu", engines=tmp_path).engine == "torch"


def test_no_room_for_the_file_is_said_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "a file"
    place.write_text("where the folder should be")
    made = trunk(place / "engines")
    with caplog.at_level(logging.WARNING):
        assert np.isfinite(made.encode([jpeg(0)] * 9)).all()
    assert made.engine == "onnxruntime"
    assert "no room to keep" in caplog.text


@pytest.mark.parametrize(
    ("network", "said"), [(Unwritable, "no ONNX for this"), (TwoFaced, "disagrees with torch")]
)
def test_torch_goes_on_where_the_other_engine_cannot_be_trusted(
    network: type[Network], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = trunk(tmp_path, network)
    expected = torch.nn.functional.normalize(torch.tensor(made.encode([jpeg(0)])))
    with caplog.at_level(logging.WARNING):
        found = made.encode([jpeg(0)] * 9)
    assert made.engine == "torch"
    assert said in caplog.text
    assert cosines(found[:1], expected.numpy()).min() > engines.TOLERANCE
    assert list(tmp_path.iterdir()) == []


def test_half_precision_recomputes_what_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU the network runs in float16; here the same code runs it on the CPU."""

    class Loud(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 1e5 if not torch.is_autocast_enabled("cpu") else self.half_way(x)

        def half_way(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x).half() * 1e5

    run = engines._on_device(Loud().eval(), SMALL, Plan("cpu", "float16"))
    pixels = np.full((2, 32, 32, 3), 200, np.uint8)
    np.testing.assert_allclose(run(pixels), engines.torch_engine(Loud(), SMALL, "cpu").run(pixels), rtol=1e-3)


def test_half_precision_is_within_the_tolerance() -> None:
    half = engines._on_device(Network().eval(), SMALL, Plan("cpu", "float16"))
    whole = engines.torch_engine(Network(), SMALL, "cpu").run
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    assert not np.array_equal(half(pixels), whole(pixels))
    assert cosines(half(pixels), whole(pixels)).min() > engines.TOLERANCE
