"""What people would tune a head with today, on the same vectors, data and budget as pinflow's.

`linear`: a linear map to 256 numbers, SupCon, AdamW: the plain loop. `pml`: the trainer of
pytorch-metric-learning 2.9 with its sampler, miner and the loss of its own examples. `oml`:
open-metric-learning 4 with the sampler, miner and loss of its quick start, in an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
WIDTH, STEPS, CLASSES, PER_CLASS, RATE = 256, 300, 64, 4, 1e-3
# Its own requirements ask for NumPy 1, which no wheel of our torch wants, and for torch again: the parts that
# its losses, miners and samplers import, beside the torch that is here.
OML = (
    "open-metric-learning==4.0.0",
    "albumentations==1.4.24",
    "albucore==0.0.23",
    "antlr4-python3-runtime==4.9.3",
    "beautifulsoup4",
    "eval_type_backport",
    "filelock",
    "gdown",
    "omegaconf",
    "opencv-python-headless==4.14.0.94",
    "pandas",
    "python-dateutil",
    "pytz",
    "requests",
    "simsimd",
    "six",
    "soupsieve",
    "stringzilla",
    "tqdm",
    "tzdata",
    "validators",
)


def linear(vectors: Floats, classes: Ints, seed: int) -> Floats:
    """The weight (256, w) of the plain loop."""
    import torch
    from pytorch_metric_learning.losses import SupConLoss

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    head = torch.nn.Linear(vectors.shape[1], WIDTH, bias=False)
    loss_of, optimiser = SupConLoss(0.1), torch.optim.AdamW(head.parameters(), lr=RATE)
    x, y = torch.from_numpy(vectors), torch.from_numpy(classes)
    rows = [np.flatnonzero(classes == one) for one in np.unique(classes)]
    for _ in range(STEPS):
        chosen = rng.permutation(len(rows))[:CLASSES]
        batch = np.concatenate([rng.permutation(rows[c])[:PER_CLASS] for c in chosen])
        out = torch.nn.functional.normalize(head(x[batch]), dim=1)
        loss = loss_of(out, y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return head.weight.detach().numpy()


def pml(vectors: Floats, classes: Ints, seed: int) -> Floats:
    """The same by `MetricLossOnly`, with multi-similarity loss and miner, as its documentation shows."""
    import logging

    import torch
    from pytorch_metric_learning import losses, miners, samplers, trainers

    logging.getLogger("PML").setLevel(logging.CRITICAL)
    torch.manual_seed(seed)
    np.random.seed(seed)
    head = torch.nn.Linear(vectors.shape[1], WIDTH, bias=False)
    data = torch.utils.data.TensorDataset(torch.from_numpy(vectors), torch.from_numpy(classes))
    batch = CLASSES * PER_CLASS
    sampler = samplers.MPerClassSampler(classes, PER_CLASS, batch, batch * 60)
    trainer = trainers.MetricLossOnly(
        models={"trunk": head},
        optimizers={"trunk_optimizer": torch.optim.AdamW(head.parameters(), lr=RATE)},
        batch_size=batch,
        loss_funcs={"metric_loss": losses.MultiSimilarityLoss()},
        mining_funcs={"tuple_miner": miners.MultiSimilarityMiner()},
        dataset=data,
        sampler=sampler,
        data_device=torch.device("cpu"),
        dataloader_num_workers=0,
    )
    # Its progress bars would come between our figures.
    from contextlib import redirect_stderr
    from io import StringIO

    with redirect_stderr(StringIO()):
        trainer.train(num_epochs=STEPS // 60)
    return head.weight.detach().numpy()


def oml(python: Path, vectors: Floats, classes: Ints, seed: int) -> tuple[Floats, float]:
    """The weight, and the seconds of its loop without starting Python."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(given, vectors=vectors, classes=classes)
        line = [str(python), "-W", "ignore", "-c", _OML, str(given), str(made), str(seed)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"open-metric-learning failed: {done.stderr[-1500:]}")
        return np.load(made)["weight"], float(json.loads(done.stdout.splitlines()[-1])["seconds"])


_OML = f"""
import json, sys, time
import numpy as np, torch
from oml.losses import TripletLossWithMiner
from oml.miners import HardTripletsMiner
from oml.samplers import BalanceSampler
found, seed = np.load(sys.argv[1]), int(sys.argv[3])
import random
torch.manual_seed(seed); np.random.seed(seed); random.seed(seed); torch.set_num_threads(2)
x, y = torch.from_numpy(found["vectors"]), found["classes"]
head = torch.nn.Linear(x.shape[1], {WIDTH}, bias=False)
optimiser = torch.optim.AdamW(head.parameters(), lr={RATE})
loss_of = TripletLossWithMiner(0.1, HardTripletsMiner(), need_logs=False)
sampler = BalanceSampler(y.tolist(), n_labels={CLASSES}, n_instances={PER_CLASS})
step, started = 0, time.perf_counter()
while step < {STEPS}:
    for batch in sampler:
        if step == {STEPS}:
            break
        out = torch.nn.functional.normalize(head(x[batch]), dim=1)
        loss = loss_of(out, torch.from_numpy(y[batch]))
        optimiser.zero_grad(); loss.backward(); optimiser.step(); step += 1
np.savez(sys.argv[2], weight=head.weight.detach().numpy())
print(json.dumps({{"seconds": time.perf_counter() - started}}))
"""


def install_oml(folder: Path) -> Path:
    """Python of open-metric-learning's environment, made where it is not there."""
    wanted, ready = "\n".join(OML), folder / "installed.txt"
    python = folder / "bin" / "python"
    if not ready.is_file() or ready.read_text() != wanted:
        uv: Any = Path(sys.executable).with_name("uv")
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *OML], check=True)
        ours = next(p for p in sys.path if p.endswith("site-packages"))
        theirs = next(folder.glob("lib/python*/site-packages"))
        (theirs / "zz_beside.pth").write_text(ours)
        ready.write_text(wanted)
    return python
