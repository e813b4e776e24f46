"""Tuning the trunk: it learns, it can be killed, and it never leaves a broken network behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from pinflow import whole
from pinflow.errors import PinflowError
from pinflow.learning import full, views, weights
from pinflow.learning.dataset import Dataset
from pinflow.learning.evaluate import per_query
from pinflow.learning.head import Head
from pinflow.learning.trunk import Trunk
from pinflow.learning.tune import Recipe

NAME = "mobilenetv3_small_050"
PREPROCESS = weights.Preprocess(32, (0.5,) * 3, (0.25,) * 3, "bilinear")
QUICK = full.Course(epochs=3, batch=16, trunk_rate=1e-3, save_every=1)


def pictures(kinds: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Stripes that run another way for each kind, in any colour: uint8 (n, 32, 32, 3), and their kinds."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(kinds), each)
    across, down = np.meshgrid(np.arange(32), np.arange(32))
    waves = [
        np.sin(0.8 * (across * np.cos(turn) + down * np.sin(turn)) + rng.uniform(0, 6))
        for turn in np.pi * of / kinds
    ]
    colour = rng.uniform(0.3, 1, (len(of), 1, 1, 3))
    return (255 * (np.stack(waves)[..., None] / 2 + 0.5) * colour).astype(np.uint8), of


def trunk() -> Trunk:
    torch.manual_seed(0)
    return Trunk("small", weights.create_model(NAME), PREPROCESS, "cpu")


def dataset(of: np.ndarray, pixels: np.ndarray) -> Dataset:
    out = trunk()._engine.run(pixels)
    ids = np.arange(len(of)).astype(str)
    width = trunk().width
    names = tuple(f"kind {one}" for one in range(of.max() + 1))
    split = np.where(np.arange(len(of)) % 4 == 3, "val", "train")
    nothing = np.zeros((0, 2), np.int64)
    return Dataset(
        out[:, :width], ids, ids, split, of * 0, names, of[:, None], nothing, stages=out[:, width:]
    )


PIXELS, OF = pictures(4, 16)


def tuned(course: full.Course = QUICK, state: Path | None = None, seed: int = 0) -> full.TunedTrunk:
    data = dataset(OF, PIXELS)
    train, val = (np.flatnonzero(data.in_splits(one)) for one in ("train", "val"))
    return full.tune_fully(trunk(), PIXELS, data, train, Recipe(), course, watch=val, state=state, seed=seed)


def digest(found: full.TunedTrunk) -> tuple[str, str]:
    return Trunk("small", found.model, found.preprocess, "cpu").digest, found.head.digest


def test_a_tuned_trunk_tells_apart_what_it_could_not() -> None:
    data = dataset(OF, PIXELS)
    val = np.flatnonzero(data.in_splits("val"))
    found = tuned(full.Course(epochs=12, batch=16, trunk_rate=2e-3, patience=12))
    own = Trunk("small", found.model, found.preprocess, "cpu")

    def score(vectors: np.ndarray) -> float:
        rows = np.arange(len(val))
        same = per_query(vectors, rows, rows, lambda a, b: data.same_label(val[a], val[b]))
        return float(same.values["map@r"].mean())

    before = score(data.space(Head(), val))
    after = score(found.head.apply(own._engine.run(PIXELS[val])[:, : own.width]))
    assert after > before + 0.1
    assert own.digest != trunk().digest


def test_the_same_seed_gives_the_same_network() -> None:
    assert digest(tuned(seed=3)) == digest(tuned(seed=3))
    assert digest(tuned(seed=3)) != digest(tuned(seed=4))


def test_killed_it_goes_on_to_the_same_result(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from pinflow.learning import full
        from pinflow_tests.learning.test_full import tuned
        save = full._Run.save
        def dying(run, path, begun):
            save(run, path, begun)
            if run.step == 4:
                os.kill(os.getpid(), signal.SIGKILL)
        full._Run.save = dying
        tuned(state=Path(sys.argv[1]))
        """
    )
    state = tmp_path / "run.safetensors"
    died = subprocess.run([sys.executable, "-c", code, str(state)], check=False, env=dict(os.environ))
    assert died.returncode == -signal.SIGKILL
    assert state.is_file()
    steps = []
    advance = full._Run.advance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full._Run, "advance", lambda run, loss: steps.append(run.step) or advance(run, loss))
        again = tuned(state=state)
    assert steps[0] == 4
    assert digest(again) == digest(tuned())
    assert not state.exists()


def test_a_state_of_another_run_or_a_damaged_one_is_not_gone_on_from(tmp_path: Path) -> None:
    state = tmp_path / "run.safetensors"
    state.write_bytes(b"not a state")
    assert digest(tuned(state=state)) == digest(tuned())


def test_a_loss_that_is_not_finite_stops_it_and_the_last_good_state_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    class Broken:
        def __call__(self, vectors, positive, classes):  # type: ignore[no-untyped-def]
            calls.append(1)
            return vectors[:, 0].sum() * (np.nan if len(calls) > 2 else 1e-3)

    monkeypatch.setattr(full, "_loss", lambda *_: Broken())
    found = tuned(full.Course(epochs=3, batch=48))
    assert found.note == "the loss was nan at step 3: the last good state is kept"
    assert all(bool(torch.isfinite(one).all()) for one in found.model.state_dict().values())


def test_it_stops_when_val_no_longer_gains() -> None:
    found = tuned(full.Course(epochs=6, batch=48, trunk_rate=0.0, head_rate=0.0, patience=1))
    assert found.note == "stopped after epoch 2 of 6: val stopped gaining"
    assert found.steps == 1


def test_without_colours_it_is_shown_none_in_training_and_in_use() -> None:
    grey = full.Course(epochs=1, batch=16, grayscale=True)
    shown = full.augmented(
        torch.from_numpy(PIXELS[:4]), tuned(grey).preprocess, grey, torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(shown[:, 0], shown[:, 1])
    found = tuned(grey)
    assert found.preprocess.grayscale
    own = Trunk("small", found.model, found.preprocess, "cpu")
    import io

    from PIL import Image

    Image.fromarray(PIXELS[0]).save(out := io.BytesIO(), "PNG")
    seen = own.pixels([out.getvalue()])[0]
    assert (seen[..., 0] == seen[..., 2]).all()


def test_one_kind_alone_leaves_the_trunk_as_it_was() -> None:
    data = dataset(OF * 0, PIXELS)
    found = full.tune_fully(trunk(), PIXELS, data, np.arange(len(OF)), Recipe(), QUICK)
    assert found.note == "no two sets of pictures to tell apart"
    assert Trunk("small", found.model, found.preprocess, "cpu").digest == trunk().digest


def test_no_room_for_the_pixels_is_said_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = views.pixel_cache(tmp_path, 3, 32)
    cache[:] = PIXELS[:3]
    assert (np.asarray(cache) == PIXELS[:3]).all()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(views.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 300 * 2**20}))
    with pytest.raises(PinflowError, match=r"no room for the pixels of 1000 pictures.*tune: head"):
        views.pixel_cache(tmp_path, 1000, 224)


def test_no_room_for_the_state_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole.os, "replace", refuse)
    with pytest.raises(PinflowError, match="no room for the state of the tuning"):
        tuned(state=tmp_path / "run.safetensors")
    assert list(tmp_path.iterdir()) == []
