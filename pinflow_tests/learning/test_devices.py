"""Layout, precision and compilation, as they are planned for a device; carried out on the CPU."""

from __future__ import annotations

import pytest
import torch

from pinflow.learning.devices import COMPILE_FROM, Plan, plan


@pytest.mark.parametrize("device", ["cpu", "mps"])
@pytest.mark.parametrize("training", [True, False])
def test_without_cuda_nothing_is_halved_or_compiled(device: str, training: bool) -> None:
    assert plan(device, training=training, pictures=10**6) == Plan(device)


@pytest.mark.parametrize(
    ("asked", "supported", "planned"),
    [
        ({}, True, ("float16", False)),
        ({"pictures": COMPILE_FROM}, True, ("float16", True)),
        ({"training": True}, True, ("bfloat16", True)),
        ({"training": True}, False, ("float32", True)),
    ],
)
def test_on_cuda_training_has_the_range_and_embedding_the_precision(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, int], supported: bool, planned: tuple[str, bool]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert plan("cuda:1", **asked) == Plan("cuda:1", *planned)


def test_a_network_is_laid_out_for_the_device_and_computes_the_same() -> None:
    model = torch.nn.Conv2d(8, 16, 3)
    pictures = torch.rand(2, 8, 9, 9)
    before = model(pictures)
    ready = plan("cpu").prepare(model)
    assert next(ready.parameters()).is_contiguous(memory_format=torch.channels_last)
    with plan("cpu").autocast():
        torch.testing.assert_close(ready(pictures), before)


def test_half_precision_is_only_inside_and_the_parameters_keep_theirs() -> None:
    half = Plan("cpu", "bfloat16")
    model, pictures = half.prepare(torch.nn.Conv2d(8, 16, 3)), torch.rand(2, 8, 9, 9)
    with half.autocast():
        assert model(pictures).dtype == torch.bfloat16
    assert model(pictures).dtype == torch.float32
    assert model.weight.dtype == torch.float32


def test_what_is_planned_to_be_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.nn.Module] = []
    monkeypatch.setattr(torch, "compile", lambda model: seen.append(model) or model)
    model = torch.nn.Conv2d(8, 16, 3)
    Plan("cpu").prepare(model)
    assert seen == []
    Plan("cpu", compiled=True).prepare(model)
    assert seen == [model]
