"""Losses by name: each pulls together what belongs together."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.errors import PinflowError
from pinflow.learning.loss import LOSSES, PAIRS, Loss, canonical


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("auto", "supcon"),
        ("NT-Xent", "ntxent"),
        ("ProxyAnchorLoss", "proxyanchor"),
        ("SubCenterArcFace",) * 2,
    ],
)
def test_names_are_spelled_freely(name: str, found: str) -> None:
    assert canonical(name) == found.lower()


@pytest.mark.parametrize(("name", "says"), [("suppcon", "did you mean supcon"), ("qqq", "one of supcon")])
def test_an_unknown_name_gets_the_nearest(name: str, says: str) -> None:
    with pytest.raises(PinflowError, match=says):
        canonical(name)


@pytest.mark.parametrize(("name", "memory"), [*((n, 0) for n in LOSSES), *((n, 64) for n in PAIRS)])
def test_a_step_brings_what_belongs_together_closer(name: str, memory: int) -> None:
    import torch

    torch.manual_seed(0)
    classes = torch.arange(24) % 6
    together = classes[:, None] == classes[None, :]
    loss_of = Loss(name, classes=6, width=16, memory=memory)
    points = torch.nn.Parameter(torch.randn(24, 16))
    optimiser = torch.optim.Adam([points, *loss_of.parameters()], lr=0.05)

    def gap() -> float:
        unit = torch.nn.functional.normalize(points.detach(), dim=1)
        similar = unit @ unit.T
        return float(similar[together].mean() - similar[~together].mean())

    before = gap()
    for _ in range(60):
        loss = loss_of(torch.nn.functional.normalize(points, dim=1), together, classes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert gap() > before + 0.1


@pytest.mark.parametrize("name", PAIRS)
def test_rows_without_a_positive_do_no_harm(name: str) -> None:
    import torch

    points = torch.nn.functional.normalize(torch.eye(3, requires_grad=True), dim=1)
    loss = Loss(name)(points, torch.zeros(3, 3, dtype=torch.bool))
    assert np.isfinite(float(loss.detach()))


def test_proxies_need_classes() -> None:
    with pytest.raises(PinflowError, match="needs two classes"):
        Loss("proxyanchor", classes=1, width=4)
