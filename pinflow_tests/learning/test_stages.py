"""Inner stages beside a trunk's last vector."""

from __future__ import annotations

import numpy as np
import pytest

from pinflow.errors import TrunkError
from pinflow.learning.stages import LAST, STAGES, beside, reading, staged


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("tf_efficientnet_lite0", [1280, 80, 112, 192, 320]),
        ("resnet18", [512, 64, 128, 256, 512]),
        ("convnext_atto", [320, 40, 80, 160, 320]),
        ("vit_tiny_patch16_224", [192] * 5),
    ],
)
def test_every_part_has_its_weight_in_length(name: str, widths: list[int]) -> None:
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval()
    size = 224 if "vit" in name else 64
    pictures = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        shown = staged(model)
        out, last, view = shown(pictures), model(pictures), reading(model, "stages")(pictures)
    assert shown.width == widths[0]
    torch.testing.assert_close(out[:, : widths[0]], last)
    given = beside(out[:, : widths[0]].numpy(), out[:, widths[0] :].numpy())
    np.testing.assert_allclose(given, view.numpy(), rtol=1e-4, atol=1e-6)
    parts = np.split(given, np.cumsum(widths)[:-1], axis=1)
    assert [part.shape[1] for part in parts] == widths
    lengths = np.array([np.linalg.norm(part, axis=1) for part in parts])
    np.testing.assert_allclose(lengths, np.array([[LAST] * 2] + [[1] * 2] * STAGES), rtol=1e-4)


def test_a_network_without_stages_is_refused() -> None:
    import torch

    with pytest.raises(TrunkError, match="Linear has no stages"):
        staged(torch.nn.Linear(2, 2))
