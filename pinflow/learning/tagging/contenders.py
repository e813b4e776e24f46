"""What is compared: each contender turns pictures into inputs once, and then fits any part of them."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pinflow.learning.dataset import Ints
from pinflow.learning.explaining.lens import Lens
from pinflow.learning.tagging.calibrate import softmax
from pinflow.learning.tagging.nets import Epoch, basic_ann, basic_cnn, net_logits, train_net
from pinflow.learning.tagging.probe import Doubles, fit_probe
from pinflow.learning.weights import Preprocess, load_model, packaged

if TYPE_CHECKING:
    import torch

Predict = Callable[[Sequence[bytes]], Doubles]  # encoded pictures -> probabilities (n, k)
FROZEN_STAGES = 5  # of the seven of an EfficientNet: the last two learn
START_STRENGTH = 10.0  # of the probe that the classifier starts as
FINE_TUNE_SIDE = 128  # px: a third of the cost of 224, at some loss


class Contender(ABC):
    """Made for one set of pictures and `count` tags. `settings`: what may be tried, as many for each."""

    name: str
    settings: tuple[float, ...]

    def __init__(self, count: int) -> None:
        self.count = count
        self.curve: list[Epoch] = []  # of the last fit, where there are epochs
        self.temperature = 1.0

    @abstractmethod
    def prepare(self, pictures: Sequence[bytes]) -> None:
        """Turn all pictures into inputs."""

    @abstractmethod
    def fit(self, tags: Ints, train: Ints, val: Ints, setting: float, /) -> None:
        """Learn from the rows `train`; `val` may only say when to stop."""

    @abstractmethod
    def logits(self, rows: Ints) -> Doubles:
        """Of prepared pictures."""

    @abstractmethod
    def raw(self, pictures: Sequence[bytes]) -> Doubles:
        """Logits of pictures that were not prepared: what a request costs."""

    @abstractmethod
    def state(self) -> dict[str, torch.Tensor]:
        """Every number that a prediction needs."""

    def predict(self, pictures: Sequence[bytes]) -> Doubles:
        return softmax(self.raw(pictures), self.temperature)


class _Net(Contender):
    """A network on inputs that are made once."""

    epochs: int
    lens: Lens
    model: torch.nn.Module

    @abstractmethod
    def fresh(self, tags: Ints, train: Ints) -> torch.nn.Module:
        """The network before training."""

    def inputs(self, pictures: Sequence[bytes]) -> torch.Tensor:
        return self.lens.input(np.stack([self.lens.square(one) for one in pictures]))

    def prepare(self, pictures: Sequence[bytes]) -> None:
        import torch

        plain = self.inputs(pictures)
        self.views = torch.stack([plain, plain.flip(3)])

    def fit(self, tags: Ints, train: Ints, val: Ints, setting: float, /) -> None:
        import torch

        torch.manual_seed(0)
        self.model = self.fresh(tags, train)
        self.curve = train_net(
            self.model, self.views, tags, train, val, learning_rate=setting, epochs=self.epochs
        )

    def logits(self, rows: Ints) -> Doubles:
        return net_logits(self.model, self.views[0], rows)

    def raw(self, pictures: Sequence[bytes]) -> Doubles:
        return net_logits(self.model, self.inputs(pictures), np.arange(len(pictures)))

    def state(self) -> dict[str, torch.Tensor]:
        return dict(self.model.state_dict())


def _pixels(side: int) -> Lens:
    """Only the preprocessing of a lens: there is no network behind it."""
    import torch

    return Lens("pixels", torch.nn.Identity(), Preprocess(side, (0.5,) * 3, (0.5,) * 3))


class Ann(_Net):
    """The basic ANN: a perceptron on 32 x 32 pixels."""

    name, settings, epochs = "basic ANN", (3e-4, 1e-3, 3e-3), 25
    side = 32

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.lens = _pixels(self.side)

    def fresh(self, *_: Ints) -> torch.nn.Module:
        return basic_ann(self.side, self.count)


class Cnn(_Net):
    """The basic CNN: four convolutions on 64 x 64 pixels."""

    name, settings, epochs = "basic CNN", (3e-4, 1e-3, 3e-3), 25

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.lens = _pixels(64)

    def fresh(self, *_: Ints) -> torch.nn.Module:
        return basic_cnn(self.count)


def probe_of(trunk: str) -> str:
    """What the probe on that trunk is called in the table."""
    return f"{trunk.removeprefix('tf_efficientnet_').title()} linear probe"


class LinearProbe(Contender):
    """The probe that the tagger serves, on one trunk's vectors."""

    settings = (3.0, 10.0, 30.0)

    def __init__(self, count: int, trunk: str) -> None:
        super().__init__(count)
        self.name = probe_of(trunk)
        self.lens = Lens(trunk, *load_model(trunk))
        self.lens.model.eval()

    def vectors(self, pictures: Sequence[bytes]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            found = [
                self.lens.pool(
                    self.lens.cells(self.lens.input(np.stack([self.lens.square(p) for p in part])))
                )
                for part in (pictures[start : start + 32] for start in range(0, len(pictures), 32))
            ]
        return torch.cat(found).numpy()

    def prepare(self, pictures: Sequence[bytes]) -> None:
        self.features = self.vectors(pictures)

    def fit(self, tags: Ints, train: Ints, _: Ints, setting: float, /) -> None:
        self.probe = fit_probe(self.features[train], tags[train, None], self.count, setting)

    def logits(self, rows: Ints) -> Doubles:
        return self.probe.logits(self.features[rows])

    def raw(self, pictures: Sequence[bytes]) -> Doubles:
        return self.probe.logits(self.vectors(pictures))

    def state(self) -> dict[str, torch.Tensor]:
        import torch

        probe = {"probe.weight": self.probe.weight, "probe.bias": self.probe.bias}
        return {**self.lens.model.state_dict(), **{k: torch.from_numpy(v) for k, v in probe.items()}}


class FineTuned(_Net):
    """Lite0 whose last stages learn, its classifier started as a linear probe (LP-FT, Kumar et al. 2022,
    arXiv 2202.10054). What the frozen stages make of a picture is computed once."""

    name, settings, epochs = "Lite0 fine-tuned", (1e-4, 3e-4, 1e-3), 4

    def __init__(self, count: int, trunk: str = "tf_efficientnet_lite0") -> None:
        super().__init__(count)
        model, own = load_model(trunk)
        self.lens = Lens(
            trunk, model.eval(), Preprocess(FINE_TUNE_SIDE, own.mean, own.std, own.interpolation)
        )
        self.frozen = _first_stages(model)

    def inputs(self, pictures: Sequence[bytes]) -> torch.Tensor:
        import torch

        with torch.inference_mode():
            parts = torch.split(super().inputs(pictures), 32)
            return torch.cat([self.frozen(part) for part in parts])

    def prepare(self, pictures: Sequence[bytes]) -> None:
        import torch

        plain = super().inputs(pictures)
        with torch.inference_mode():
            both = [torch.cat([self.frozen(p) for p in torch.split(v, 32)]) for v in (plain, plain.flip(3))]
        self.views = torch.stack(both).clone()
        trunk = _last_stages(self.lens.model).eval()
        with torch.inference_mode():
            self.pooled = torch.cat([trunk(part) for part in torch.split(self.views[0], 64)]).numpy()

    def fresh(self, tags: Ints, train: Ints) -> torch.nn.Module:
        import torch

        from pinflow.learning.tagging.layers import FixedNorms, UnitLinear

        probe = fit_probe(self.pooled[train], tags[train, None], self.count, START_STRENGTH)
        return torch.nn.Sequential(FixedNorms(_last_stages(self.lens.model)), UnitLinear(probe))

    def state(self) -> dict[str, torch.Tensor]:
        frozen = {f"frozen.{name}": value for name, value in self.frozen.state_dict().items()}
        return {**frozen, **self.model.state_dict()}


def _first_stages(model: torch.nn.Module) -> torch.nn.Module:
    import torch

    blocks = list(model.get_submodule("blocks").children())[:FROZEN_STAGES]
    return torch.nn.Sequential(*_named(model, "conv_stem", "bn1"), *blocks)


def _last_stages(model: torch.nn.Module) -> torch.nn.Module:
    import torch

    blocks = list(model.get_submodule("blocks").children())[FROZEN_STAGES:]
    parts = [*blocks, *_named(model, "conv_head", "bn2", "global_pool")]
    return copy.deepcopy(torch.nn.Sequential(*parts))


def _named(model: torch.nn.Module, *names: str) -> list[torch.nn.Module]:
    return [model.get_submodule(name) for name in names]


def contenders(count: int) -> list[Callable[[], Contender]]:
    """All whose weights are installed, in the order of the table."""
    return [
        lambda: Ann(count),
        lambda: Cnn(count),
        *[lambda trunk=trunk: LinearProbe(count, trunk) for trunk in packaged()],
        lambda: FineTuned(count),
    ]
