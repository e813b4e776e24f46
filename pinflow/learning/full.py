"""Tuning the trunk itself: head first, then all of it (LP-FT, Kumar et al. 2022, arXiv 2202.10054).

The head comes from `tune`, on cached vectors; here the network behind it follows, on augmented pixels, with
the same positives and loss. Normalisation layers keep ImageNet's statistics: batches of a few labels would
spoil them. Interrupted at any moment, it goes on from its last state to the same result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinflow.errors import PinflowError
from pinflow.learning.dataset import Dataset, Ints
from pinflow.learning.devices import plan
from pinflow.learning.evaluate import per_query
from pinflow.learning.head import Head
from pinflow.learning.positives import Alike
from pinflow.learning.sampler import batches
from pinflow.learning.tune import Recipe, fit
from pinflow.learning.views import Pixels, augmented
from pinflow.learning.weights import Preprocess
from pinflow.whole import write_whole

if TYPE_CHECKING:
    import torch

    from pinflow.learning.trunk import Trunk

CPU_SIDE = 128  # px: a third of the work of 224


@dataclass(frozen=True)
class Course:
    """How a trunk is tuned. Chosen on folds of the emoji's 957."""

    epochs: int = 3
    batch: int = 128
    trunk_rate: float = 3e-4
    head_rate: float = 3e-4
    weight_decay: float = 1e-4
    warm_up: float = 0.1  # share of the steps
    clip: float = 1.0
    ema: float = 0.98  # of the weights, by step
    temperature: float = 0.1
    grayscale: bool = False  # pictures without colours, in training as in use
    gray: float = 0.2  # share of the pictures without colours otherwise
    least: float = 0.5  # area of a crop at least
    patience: int = 2  # epochs without a better MAP@R on val before it stops
    save_every: int = 25  # steps between two states on the disk


@dataclass(frozen=True)
class TunedTrunk:
    """A tuned network, what it is shown, its head, and how it came about."""

    model: torch.nn.Module
    preprocess: Preprocess
    head: Head
    steps: int
    note: str = ""


def fit_trunk(
    model: torch.nn.Module,
    preprocess: Preprocess,
    head: Head,
    pixels: Pixels,
    rows: Ints,
    alike: Alike,
    course: Course = Course(),
    *,
    loss: str = "auto",
    watch: Callable[[torch.nn.Module, Head], float] | None = None,
    device: str = "cpu",
    state: Path | None = None,
    seed: int = 0,
) -> TunedTrunk:
    """Tune `model` (changed in place) behind `head`, which was fitted to it and is tuned along.

    `pixels` uint8 (n, size, size, 3) as `preprocess` makes them; `rows`: those that `alike` is of; `watch`:
    MAP@R of a network and head on pictures put aside, by which it stops; `state`: a file in which it is kept
    how far it came. A loss that is not finite stops it: the last good weights are kept, and the note says so.
    """
    import torch

    steps_an_epoch = max(1, len(rows) // course.batch)
    total = course.epochs * steps_an_epoch
    net, fast = _Net(model, head).module.to(device), plan(device, training=True)
    run = _Run(net, course, total)
    begun = _identity(course, head, rows, loss, seed)
    if state is not None:
        run.resume(state, begun)
    feed = batches(alike.groupings, np.random.default_rng(seed), size=course.batch, partners=alike.pairs)
    loss_of = _loss(loss, alike, course, head)
    shown = replace(preprocess, grayscale=True) if course.grayscale else preprocess
    note = ""
    for step, batch in enumerate(feed):
        if step >= total:
            break
        if step < run.step:  # done before it was interrupted
            continue
        rng = torch.Generator().manual_seed((seed << 32) + step)
        views = augmented(torch.from_numpy(pixels[rows[batch]]).to(device), shown, course, rng)
        positive = torch.from_numpy(alike.mask(batch, batch) | np.eye(len(batch), dtype=bool)).to(device)
        classes = torch.from_numpy(alike.groupings[0][batch]).to(device)
        with fast.autocast():
            out = net(views)
        wrong = run.advance(loss_of(out.float(), positive, classes))
        if wrong:
            note = f"the loss was {wrong} at step {step + 1}: the last good state is kept"
            break
        if (step + 1) % steps_an_epoch == 0 and watch is not None and run.look(watch, model, head):
            note = (
                f"stopped after epoch {(step + 1) // steps_an_epoch} of {course.epochs}: val stopped gaining"
            )
            break
        if state is not None and run.step % course.save_every == 0:
            run.save(state, begun)
    run.finish()
    if state is not None:
        state.unlink(missing_ok=True)
    return TunedTrunk(model.eval().cpu(), shown, _head_of(net, head), run.kept_step, note)


def to_tune(name: str, device: str | None = None) -> Trunk:
    """A trunk to be tuned, on a CPU at a reduced size. Raises `TrunkError`."""
    from pinflow.learning.trunk import Trunk, best_device
    from pinflow.learning.weights import load_model

    model, own = load_model(name)
    device = device or best_device()
    # A vision transformer takes pictures of its own size alone.
    flexible = not hasattr(model, "pos_embed")
    size = min(own.size, CPU_SIDE) if device == "cpu" and flexible else own.size
    return Trunk(name, model, replace(own, size=size), device)


def tune_fully(
    trunk: Trunk,
    pixels: Pixels,
    data: Dataset,
    rows: Ints,
    recipe: Recipe,
    course: Course = Course(),
    *,
    watch: Ints | None = None,
    state: Path | None = None,
    seed: int = 0,
) -> TunedTrunk:
    """Head, trunk behind the head, and the head once more, all on `rows` of `data`.

    `trunk` is taken apart and must not be used any more; `pixels`: of all pictures of `data`, as it is shown
    them; `data`: of its vectors; `watch`: rows on whose MAP@R it stops. The last step is a `tune` on the new
    vectors: on folds of the emoji's 957 it gains .01 over the head that was tuned along.
    """
    model, device = trunk.take(), trunk.device
    head = fit(data, rows, recipe, seed=seed).head
    if head.kind == "identity":
        return TunedTrunk(model, trunk.preprocess, head, 0, "no two sets of pictures to tell apart")
    alike = recipe.positives.of(data, rows, seed=seed)

    shown = replace(trunk.preprocess, grayscale=True) if course.grayscale else trunk.preprocess

    def seen(net: torch.nn.Module, some: Ints) -> Dataset:
        return replace(data, **seen_by(net, pixels, some, data, shown, device))

    def found(net: torch.nn.Module, own: Head) -> float:
        assert watch is not None
        space, every = seen(net, watch).space(own, watch), np.arange(len(watch))
        relevant = recipe.positives.relevance(data)
        score = per_query(space, every, every, lambda a, b: relevant(watch[a], watch[b]))
        return float(score.values["map@r"].mean()) if len(score.rows) else 0.0

    tuned = fit_trunk(
        model,
        trunk.preprocess,
        head,
        pixels,
        rows,
        alike,
        course,
        loss=recipe.loss,
        watch=None if watch is None or len(watch) < 2 else found,
        device=device,
        state=state,
        seed=seed,
    )
    again = fit(seen(tuned.model, rows), rows, recipe, seed=seed).head
    return replace(tuned, head=again)


def seen_by(
    net: torch.nn.Module, pixels: Pixels, rows: Ints, data: Dataset, preprocess: Preprocess, device: str
) -> dict[str, Any]:
    """`vectors` and `stages` like those of `data`, of `pixels` as that network sees these rows of them; zero
    elsewhere."""
    from pinflow.learning.engine import torch_engine
    from pinflow.learning.trunk import _shown

    was = net.training
    shown = _shown(net, preprocess)
    engine = torch_engine(shown, preprocess, device)
    vectors = np.zeros((len(pixels), data.vectors.shape[1]), np.float32)
    stages = None if data.stages is None else np.zeros((len(pixels), data.stages.shape[1]), np.float32)
    for start in range(0, len(rows), engine.batch):
        part = rows[start : start + engine.batch]
        out = engine.run(_gray(pixels[part]) if preprocess.grayscale else np.ascontiguousarray(pixels[part]))
        vectors[part] = out[:, : vectors.shape[1]]
        if stages is not None:
            stages[part] = out[:, vectors.shape[1] :]
    if was:
        _training(net)
    return {"vectors": vectors, "stages": stages}


def _gray(pixels: Pixels) -> Pixels:
    light = (pixels @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(light[..., None], 3, axis=3)


class _Net:
    """Normalised pixels -> the network, as the head reads it -> unit vectors in the head's space."""

    def __init__(self, model: torch.nn.Module, head: Head) -> None:
        import torch

        from pinflow.learning.onnx import head_module
        from pinflow.learning.stages import reading

        after = head_module(head)
        for name, value in list(after.named_buffers()):
            # A residual head is what tells labels apart in the frozen space: it stays.
            if head.kind in ("affine", "linear"):
                delattr(after, name)
                after.register_parameter(name, torch.nn.Parameter(value))
        self.module = torch.nn.Sequential(reading(model, head.reads), after)
        _training(self.module)


class _Run:
    """The moving state of a run: weights, their average, the optimiser, how far it came and what was best."""

    def __init__(self, net: torch.nn.Module, course: Course, total: int) -> None:
        import torch

        self.net, self.course, self.total, self.step = net, course, total, 0
        trunk, head = list(net[0].parameters()), list(net[1].parameters())  # type: ignore[index]
        self.trained = [one for one in (*trunk, *head) if one.requires_grad]
        self.optimiser = torch.optim.AdamW(
            [
                {"params": [p for p in trunk if p.requires_grad], "rate": course.trunk_rate},
                {"params": [p for p in head if p.requires_grad], "rate": course.head_rate},
            ],
            lr=0.0,
            weight_decay=course.weight_decay,
        )
        self.average = [one.detach().clone() for one in self.trained]
        self.best: list[torch.Tensor] | None = None
        self.best_step, self.highest, self.since = 0, -math.inf, 0

    @property
    def kept_step(self) -> int:
        return self.best_step if self.best is not None else self.step

    def advance(self, loss: torch.Tensor) -> str:
        """One step of the optimiser; what was wrong with the loss, if anything."""
        import torch

        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * self._share()
        self.optimiser.zero_grad()
        if not bool(torch.isfinite(loss)):
            return str(float(loss.detach()))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.course.clip)
        if not bool(torch.isfinite(norm)):
            return f"{float(loss.detach()):.3g} with a gradient of {float(norm)}"
        self.optimiser.step()
        self.step += 1
        keep = 1 - min(self.course.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.average, self.trained, strict=True):
                mean.lerp_(now, keep)
        return ""

    def _share(self) -> float:
        """Linear warm-up, then a half cosine to zero."""
        warm = min(1.0, (self.step + 1) / max(1.0, self.course.warm_up * self.total))
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / self.total))

    def look(
        self, watch: Callable[[torch.nn.Module, Head], float], model: torch.nn.Module, head: Head
    ) -> bool:
        """Judge the average by `watch`; whether it is time to stop."""
        with self._averaged():
            score = watch(model, _head_of(self.net, head))
        self.since += 1
        if score > self.highest:
            self.best = [one.clone() for one in self.average]
            self.best_step, self.highest, self.since = self.step, score, 0
        return self.since >= self.course.patience

    def finish(self) -> None:
        """Put the weights in place that are kept."""
        import torch

        with torch.no_grad():
            for now, kept in zip(self.trained, self.best or self.average, strict=True):
                now.copy_(kept)

    def _averaged(self) -> Any:
        from contextlib import contextmanager

        import torch

        @contextmanager
        def swapped() -> Iterator[None]:
            moving = [one.detach().clone() for one in self.trained]
            was = self.net.training
            with torch.no_grad():
                for now, mean in zip(self.trained, self.average, strict=True):
                    now.copy_(mean)
            self.net.eval()
            try:
                yield
            finally:
                with torch.no_grad():
                    for now, before in zip(self.trained, moving, strict=True):
                        now.copy_(before)
                if was:
                    _training(self.net)

        return swapped()

    def save(self, path: Path, begun: str) -> None:
        """Whole or not at all. Raises `PinflowError` where there is no room for it."""
        from safetensors.torch import save

        tensors = {f"now.{i}": one.detach() for i, one in enumerate(self.trained)}
        tensors |= {f"average.{i}": one for i, one in enumerate(self.average)}
        tensors |= {f"best.{i}": one for i, one in enumerate(self.best or [])}
        for i, one in enumerate(self.trained):
            tensors |= {f"{name}.{i}": value for name, value in self.optimiser.state[one].items()}
        about = {
            "begun": begun,
            "step": self.step,
            "best_step": self.best_step,
            "highest": self.highest if self.best else None,
            "since": self.since,
        }
        data = save(
            {name: one.cpu().contiguous() for name, one in tensors.items()},
            metadata={"pinflow.run": json.dumps(about)},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_whole(path, data)
        except OSError as error:
            raise PinflowError(
                f"no room for the state of the tuning in {path.parent} ({error}): make room and run it "
                "again; it goes on from the last state that was written"
            ) from error

    def resume(self, path: Path, begun: str) -> None:
        """Go on from a file that `save` wrote for the same run; one of another run, or a damaged one, is as
        good as none."""
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            data = path.read_bytes()
            found = load(data)
            size = int.from_bytes(data[:8], "little")
            about = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["pinflow.run"])
            if about["begun"] != begun:
                return
        except (OSError, SafetensorError, ValueError, KeyError):
            return
        with torch.no_grad():
            for i, one in enumerate(self.trained):
                one.copy_(found[f"now.{i}"])
                self.average[i].copy_(found[f"average.{i}"])
                names = ("step", "exp_avg", "exp_avg_sq")
                self.optimiser.state[one] = {
                    name: found[f"{name}.{i}"].to("cpu" if name == "step" else one.device) for name in names
                }
        if about["highest"] is not None:
            self.best = [found[f"best.{i}"].to(one.device) for i, one in enumerate(self.trained)]
            self.highest = about["highest"]
        self.step, self.best_step, self.since = about["step"], about["best_step"], about["since"]


def _training(net: torch.nn.Module) -> None:
    import torch

    net.train()
    for part in net.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.eval()
            part.requires_grad_(False)


def _loss(name: str, alike: Alike, course: Course, head: Head) -> Any:
    from pinflow.learning.loss import Loss

    classes = int(alike.groupings[0].max(initial=-1)) + 1 if alike.codes else 0
    width = len(head.weights["weight"]) if "weight" in head.weights else head.weights["directions"].shape[1]
    return Loss(name, temperature=course.temperature, classes=classes, width=width)


def _head_of(net: torch.nn.Module, head: Head) -> Head:
    after = net[1]  # type: ignore[index]
    weights = {name: getattr(after, name).detach().cpu().numpy().copy() for name in head.weights}
    return replace(head, weights=weights)


def _identity(course: Course, head: Head, rows: Ints, loss: str, seed: int) -> str:
    """What makes a run the same run."""
    return json.dumps([asdict(course), head.digest, rows.tolist(), loss, seed])
