"""The sentence encoder: a tiny BERT against torch's own layers, and the packaged one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from pinflow.errors import TrunkError
from pinflow.learning import text
from pinflow.learning.text import minilm
from pinflow.learning.text.minilm import MiniLM

WORDS = {word: i for i, word in enumerate(["[UNK]", "red", "shoe", "a", "chair"])}
WIDTH, INNER, HEADS = 8, 16, 2


def tokenizer():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = Tokenizer(WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    return made


def weights(layers: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) * 0.5

    made = {
        f"embeddings.{kind}_embeddings.weight": drawn(n, WIDTH)
        for kind, n in (("word", 5), ("position", 128), ("token_type", 2))
    }
    shapes = {
        "attention.self.query": (WIDTH, WIDTH),
        "attention.self.key": (WIDTH, WIDTH),
        "attention.self.value": (WIDTH, WIDTH),
        "attention.output.dense": (WIDTH, WIDTH),
        "intermediate.dense": (INNER, WIDTH),
        "output.dense": (WIDTH, INNER),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(layers):
        at = f"encoder.layer.{layer}."
        for name, shape in shapes.items():
            made |= {f"{at}{name}.weight": drawn(*shape), f"{at}{name}.bias": drawn(shape[0])}
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for name in norms:
        made |= {f"{name}.weight": drawn(WIDTH), f"{name}.bias": drawn(WIDTH)}
    return made


def by_torch(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The same sentence through torch's own encoder layers."""
    t = {name: torch.from_numpy(array) for name, array in w.items()}
    x = t["embeddings.word_embeddings.weight"][ids] + t["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + t["embeddings.token_type_embeddings.weight"][0]
    x = torch.nn.functional.layer_norm(
        x, (WIDTH,), t["embeddings.LayerNorm.weight"], t["embeddings.LayerNorm.bias"], 1e-12
    )[None]
    for layer in range(2):
        at = f"encoder.layer.{layer}."
        own = torch.nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, 0.0, "gelu", 1e-12, batch_first=True
        ).eval()
        attention = f"{at}attention.self."
        state = {
            "self_attn.in_proj_weight": torch.cat(
                [t[f"{attention}{k}.weight"] for k in ("query", "key", "value")]
            ),
            "self_attn.in_proj_bias": torch.cat(
                [t[f"{attention}{k}.bias"] for k in ("query", "key", "value")]
            ),
        }
        names = {
            "self_attn.out_proj": "attention.output.dense",
            "linear1": "intermediate.dense",
            "linear2": "output.dense",
            "norm1": "attention.output.LayerNorm",
            "norm2": "output.LayerNorm",
        }
        for theirs, ours in names.items():
            state |= {f"{theirs}.{part}": t[f"{at}{ours}.{part}"] for part in ("weight", "bias")}
        own.load_state_dict(state)
        x = own(x)
    mean = x[0].mean(dim=0)
    return (mean / mean.norm()).detach().numpy()


def test_it_computes_what_bert_computes() -> None:
    w = weights()
    encoder = MiniLM(tokenizer(), w, heads=HEADS)
    texts = ["a red shoe", "chair", "a a a red chair shoe"]
    expected = [by_torch(w, [WORDS[word] for word in text.split()]) for text in texts]
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=2e-3)


needs_package = pytest.mark.skipif(not text.available(), reason="the sentence encoder is an extra")


@pytest.fixture(scope="module")
def packaged() -> MiniLM:
    return minilm.load_minilm()


@needs_package
def test_it_knows_what_words_mean(packaged: MiniLM) -> None:
    shoe, trainers, banana = packaged.encode(["a running shoe", "trainers for jogging", "a ripe banana"])
    assert shoe @ trainers > shoe @ banana + 0.2


@needs_package
def test_company_changes_nothing(packaged: MiniLM) -> None:
    texts = ["a chair", "a very long description " * 40, "x"]
    alone = np.concatenate([packaged.encode([one]) for one in texts])
    np.testing.assert_allclose(packaged.encode(texts), alone, atol=1e-5)


@needs_package
@pytest.mark.parametrize(
    "strange", ["", " ", "красный стул", "赤い椅子", "كرسي أحمر", "🪑", "\ud800", "\x00", "e\u0301"]
)
def test_any_string_has_a_vector(packaged: MiniLM, strange: str) -> None:
    found = packaged.encode([strange])
    np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-5)


@needs_package
def test_words_wait_for_no_torch() -> None:
    code = (
        "import sys; from pinflow.learning.text.minilm import load_minilm; "
        "load_minilm().encode(['a']); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "find_spec", lambda name: None)
    with pytest.raises(TrunkError, match=r"pinflow\[text\]"):
        minilm.load_minilm()
