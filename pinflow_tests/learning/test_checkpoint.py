"""A tuned trunk on disk: plain timm reads it, and nothing else passes for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from pinflow.errors import CorruptError
from pinflow.learning import checkpoint, weights
from pinflow.learning.trunk import Trunk
from pinflow_tests.learning.conftest import jpeg

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def tuned() -> checkpoint.Checkpoint:
    torch.manual_seed(1)
    model = weights.create_model(NAME).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    preprocess = weights.Preprocess(96, (0.5,) * 3, (0.25,) * 3, "bilinear")
    return checkpoint.Checkpoint(NAME, model.eval(), preprocess, {"epochs": 3})


def test_plain_timm_loads_it(tuned: checkpoint.Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "trunk.safetensors"
    file.write_bytes(checkpoint.to_bytes(tuned))
    by_state = timm.create_model(NAME, num_classes=0)
    by_state.load_state_dict(safetensors.torch.load_file(file))
    by_path = timm.create_model(NAME, num_classes=0, checkpoint_path=str(file))
    pictures = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        expected = tuned.model(pictures)
        torch.testing.assert_close(by_state.eval()(pictures), expected)
        torch.testing.assert_close(by_path.eval()(pictures), expected)


def test_everything_comes_back(tuned: checkpoint.Checkpoint) -> None:
    back = checkpoint.from_bytes(checkpoint.to_bytes(tuned))
    assert (back.name, back.preprocess, back.about) == (NAME, tuned.preprocess, {"epochs": 3})
    one, other = (Trunk(NAME, made.model, made.preprocess, "cpu") for made in (tuned, back))
    assert one.digest == other.digest
    np.testing.assert_allclose(one.encode([jpeg(0)]), other.encode([jpeg(0)]), atol=1e-5)


def test_the_same_weights_are_the_same_bytes(tuned: checkpoint.Checkpoint) -> None:
    assert checkpoint.to_bytes(tuned) == checkpoint.to_bytes(
        checkpoint.from_bytes(checkpoint.to_bytes(tuned))
    )


def test_what_is_no_checkpoint_is_refused(tuned: checkpoint.Checkpoint) -> None:
    data = checkpoint.to_bytes(tuned)
    missing = {k: v.contiguous() for k, v in list(tuned.model.state_dict().items())[1:]}
    for bad in (
        b"",
        b"not safetensors at all",
        data[: len(data) // 2],
        safetensors.torch.save({"x": torch.zeros(1)}),
        safetensors.torch.save(missing),
    ):
        with pytest.raises(CorruptError, match="tune the trunk again"):
            checkpoint.from_bytes(bad)
