"""Known models by name: their shape, and learning rates that suit them. All else is guessed, and said to be."""

from __future__ import annotations

from typing import NamedTuple

from outshine.learn.spec import Full, Head, ModelSettings, Pooling


class Shape(NamedTuple):
    """How big a model is, so that work with it can be estimated.

    `in_blocks`: parameters of all transformer blocks, that is without input and output embeddings and final norm.
    """

    num_layers: int
    hidden_size: int
    parameters: int
    in_blocks: int
    pooling: Pooling  # what `auto` means for it

    @property
    def block(self) -> float:
        """Parameters of one block."""
        return self.in_blocks / self.num_layers


class KnownModel(NamedTuple):
    """A model that was tried, with the learning rates that suited it (None: not tried).

    `shape`: of hub models, which may be out of reach when a study is planned.
    """

    lora: float | None
    full: float | None
    note: str
    shape: Shape | None = None


QWEN15_05B = Shape(24, 1024, 463_987_712, 308_404_224, "last")
QWEN25_05B = Shape(24, 896, 494_032_768, 357_897_216, "last")
LLAMA3_8B = Shape(32, 4096, 8_030_261_248, 6_979_584_000, "last")
GPT2 = Shape(12, 768, 124_439_808, 85_054_464, "last")
MINILM_L3 = Shape(3, 384, 17_389_824, 5_323_392, "mean")
MINILM_L6 = Shape(6, 384, 22_713_216, 10_646_784, "mean")
MPNET = Shape(12, 768, 109_486_464, 85_054_464, "mean")
STORIES260K = Shape(5, 64, 260_032, 227_200, "last")

KNOWN: dict[str, KnownModel] = {
    "Qwen/Qwen1.5-0.5B": KnownModel(5e-4, None, "the post's weak supervisor", QWEN15_05B),
    "meta-llama/Meta-Llama-3-8B": KnownModel(8e-5, None, "the post's strong student; gated", LLAMA3_8B),
    "meta-llama/Llama-3.1-8B": KnownModel(8e-5, None, "successor of the post's strong student; gated", LLAMA3_8B),
    "Qwen/Qwen2.5-0.5B": KnownModel(5e-4, None, "successor of the post's weak supervisor", QWEN25_05B),
    "openai-community/gpt2": KnownModel(5e-4, 5e-5, "124 M parameters, English", GPT2),
    "sentence-transformers/all-MiniLM-L6-v2": KnownModel(1e-3, 1e-4, "22.7 M parameters, sentence encoder", MINILM_L6),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": KnownModel(
        1e-3, None, "17.4 M parameters, sentence encoder", MINILM_L3
    ),
    "sentence-transformers/all-mpnet-base-v2": KnownModel(2e-4, None, "109 M parameters, sentence encoder", MPNET),
    "tinyllamas/stories260K": KnownModel(5e-3, 3e-3, "0.26 M parameters, little stories only", STORIES260K),
    "tiny/weak": KnownModel(5e-3, None, "embedded; knows little of the tiny world"),
    "tiny/middle": KnownModel(3e-3, None, "embedded; between weak and strong"),
    "tiny/strong": KnownModel(3e-3, None, "embedded; knows the tiny world well"),
}

GUESS_FULL = 2e-5
GUESS_HEAD = 1e-2


class LearningRate(NamedTuple):
    """A learning rate and, where it is only a guess, why."""

    value: float
    note: str | None


def learning_rate(settings: ModelSettings, num_parameters: int) -> LearningRate:
    """Return the user's learning rate, else the catalog's, else a guess by size with a note that says so."""
    if settings.learning_rate is not None:
        return LearningRate(settings.learning_rate, None)
    known = KNOWN.get(settings.model)
    if known is not None and isinstance(settings.tuning, Full) and known.full is not None:
        return LearningRate(known.full, None)
    if known is not None and settings.tuning.kind == "lora" and known.lora is not None:
        return LearningRate(known.lora, None)
    if isinstance(settings.tuning, Full):
        guess = GUESS_FULL
    elif isinstance(settings.tuning, Head):
        guess = GUESS_HEAD
    else:  # between the post's two models: 5e-4 at 0.5 B parameters, 8e-5 at 8 B
        guess = 5e-4 if num_parameters < 1e9 else 2e-4 if num_parameters < 4e9 else 8e-5
    kind = settings.tuning.kind
    note = (
        f"{settings.model}: learning rate {guess:g} is a guess, none is listed for it with tuning {kind}; set "
        "learning_rate"
    )
    return LearningRate(guess, note)
