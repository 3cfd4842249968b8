"""Weights and tokenizers from disk into memory, through transformers; safetensors only."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from outshine.engine.errors import ModelError, OutshineError, SettingsError
from outshine.engine.hub import offline
from outshine.engine.process_group import ProcessGroup
from outshine.learn.arrays import RowNumbers, feature_table, read_array
from outshine.learn.attention import use_plain_attention
from outshine.learn.blocks import every_block, find_blocks, place
from outshine.learn.distributed import SHARED_BY, local_rank, local_size
from outshine.learn.model_checks import adaptable
from outshine.learn.model_files import config_folder, read_config, weights_folder
from outshine.learn.nf4 import NF4Linear, check_nf4
from outshine.learn.norms import fuse_norms
from outshine.learn.rotary import fuse_rotary
from outshine.learn.spec import ClassifierSpec, Full, ModelRef, in_four_bits, is_array_name

_NO_LAYERS = ("token_id", "architectures")  # lists of a config that are none of values for each block
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
FULL = (
    "tuning: full trains every weight, and several processes share only a frozen base; "
    "use tuning: lora or head, or start outshine in one process, without torchrun"
)
FOUR_BITS = (
    "tuning.base: nf4 keeps its constants beside the weights, where several processes cannot share them; "
    "use base: dense, or start outshine in one process, without torchrun"
)


def load_backbone(
    spec: ClassifierSpec, device: torch.device, move: Callable[[nn.Module], nn.Module] | None = None
) -> nn.Module:
    """Return the pretrained base model (no language-model or classification head), cut to `num_layers` blocks.

    transformers maps the weights' files into memory: those that are stored in the number format asked for are read when
    they go to the device, and host memory never holds a copy of its own; others are converted on the CPU first. (Its
    `device_map` needs the package accelerate, and reads in the same way.)

    Full fine-tuning loads float32 master weights whatever the compute dtype. A base kept in four bits goes to the
    device layer by layer and is never dense there as a whole. `move` brings any other model from CPU memory to the
    device; None: whole. Raises ModelError where the checkpoint lacks weights that the model needs (they would be
    random), SettingsError where four bits cannot be had.
    """
    from transformers import AutoModel

    if is_array_name(spec.model.name):
        return feature_table(spec, device)
    folder = weights_folder(spec.model)
    dtype = DTYPES[spec.compute_dtype]
    if in_four_bits(spec):
        check_nf4(device, dtype)
    if isinstance(spec.tuning, Full):
        dtype = torch.promote_types(dtype, torch.float32)
    # what is not in the checkpoint is drawn before it is refused or dropped: not from the caller's stream
    with alone(), refusals(spec.model.name), torch.random.fork_rng(devices=[]):
        config, text_config = read_configs(folder, spec.model.name, spec.model.trust_remote_code)
        text_config.use_cache = False
        _keep_layers(text_config, spec)
        backbone, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=spec.model.trust_remote_code,
        )
    _check_loaded(backbone, report, spec)
    if text_config is not config:  # a multimodal model: its language model alone
        backbone = backbone.get_decoder()
    find_blocks(backbone, spec.num_layers)
    if device.type == "cpu" and spec.compute_dtype == "bfloat16":
        with quiet():
            use_plain_attention(backbone)
    if in_four_bits(spec):
        for path, module in adaptable(backbone, spec.num_layers):
            place(backbone, path, NF4Linear(module, device))
    fuse_norms(backbone)
    fuse_rotary(backbone)
    return move(backbone) if move else backbone.to(device)


def load_structure(spec: ClassifierSpec) -> nn.Module:
    """Return the base model without its weights (on torch's meta device), from its config alone: for counting.

    Raises ModelError where transformers cannot build it.
    """
    from transformers import AutoModel

    if is_array_name(spec.model.name):
        return feature_table(spec, torch.device("cpu")).to("meta")
    trusted = spec.model.trust_remote_code
    config, text_config = read_configs(config_folder(spec.model), spec.model.name, trusted)
    _keep_layers(text_config, spec)
    with alone(), refusals(spec.model.name), torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=trusted)
        return model if text_config is config else model.get_decoder()


class TokenizerInfo(NamedTuple):
    """A tokenizer, the id that fills the padding (its value is masked out everywhere), the model's vocabulary."""

    tokenizer: Any  # a transformers tokenizer: its classes differ by model and carry no common type
    pad_id: int
    vocab_size: int | None = None  # ids that the model has embeddings for; None: unknown


def load_tokenizer(ref: ModelRef) -> TokenizerInfo:
    """Return the model's own tokenizer. A model without padding token gets any id: padding is masked out.

    Raises ModelError where there is none, or only one that transformers made up of special tokens.
    """
    from transformers import AutoTokenizer

    if is_array_name(ref.name):
        num_rows = len(read_array(ref.folder or ref.name))
        return TokenizerInfo(RowNumbers(ref, num_rows), 0, num_rows)
    folder = config_folder(ref)
    with alone():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=ref.trust_remote_code)
        except Exception as error:  # a stranger's files make a stranger's library raise anything
            raise ModelError(
                f"model '{ref.name}' has no tokenizer that can be loaded ({first_line(error)}); "
                "save one beside the weights with tokenizer.save_pretrained"
            ) from error
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelError(
            f"model '{ref.name}' has no tokenizer: no vocabulary was found; "
            "save one beside the weights with tokenizer.save_pretrained"
        )
    vocab_size = read_config(folder, ref.name).get("vocab_size")
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    # a padding token that was added to the tokenizer alone has no embedding
    usable = (
        token_id for token_id in candidates if token_id is not None and (vocab_size is None or token_id < vocab_size)
    )
    return TokenizerInfo(tokenizer, next(usable), vocab_size)


def _keep_layers(config: Any, spec: ClassifierSpec) -> None:
    """Tell the architecture to build only the first blocks; nothing is told where all are kept.

    Settings of a value for each block are cut along. Raises ModelError where the config lets the number not be set.
    """
    all_layers = spec.model.num_layers or config.num_hidden_layers
    if spec.num_layers == all_layers:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == all_layers and not name.endswith(_NO_LAYERS):
            setattr(config, name, value[: spec.num_layers])
    try:
        if config.num_hidden_layers != spec.num_layers:
            config.num_hidden_layers = spec.num_layers
    except AttributeError:  # a property of the config's class
        raise cannot_be_cut(spec, "its config counts them itself") from None


def cannot_be_cut(spec: ClassifierSpec, why: str) -> ModelError:
    """Return the refusal of `num_layers` for a model whose first blocks alone are no part of it."""
    return ModelError(
        f"model '{spec.model.name}' cannot be cut to {spec.num_layers} of its {spec.model.num_layers} blocks ({why}); "
        "leave num_layers out"
    )


def _check_loaded(backbone: nn.Module, report: dict[str, Any], spec: ClassifierSpec) -> None:
    missing = sorted(report.get("missing_keys", ()))
    lost = [name for name in missing if not name.startswith("pooler.")]
    if lost:
        raise ModelError(
            f"model '{spec.model.name}': its checkpoint lacks {len(lost)} weights of {type(backbone).__name__} "
            f"(such as {lost[0]}); they would be random"
        )
    if missing and hasattr(backbone, "pooler"):  # a pooler that was never trained is no pooler
        backbone.register_module("pooler", None)


def load_shared(spec: ClassifierSpec, device: torch.device, processes: ProcessGroup) -> nn.Module:
    """Load the frozen base, of whose every weight each process keeps 1 / `processes.size`; adapters come later.

    The processes of a machine load it one after the other: its memory holds one whole model at a time, and no GPU
    ever more than its part and one block. Raises SettingsError for full tuning and for devices without partners.
    """
    if isinstance(spec.tuning, Full):
        raise SettingsError(FULL)
    if in_four_bits(spec):
        raise SettingsError(FOUR_BITS)
    _check_device(device)
    mesh = init_device_mesh(device.type, (processes.size,))
    shared: nn.Module | None = None
    for turn in range(processes.size):  # machines may have different numbers of processes, but all wait as often
        if turn == local_rank():
            shared = load_backbone(spec, device, lambda whole: _shard(whole, spec.num_layers, mesh))
        processes.broadcast(None)
    assert shared is not None
    setattr(shared, SHARED_BY, processes)
    return shared


def _shard(backbone: nn.Module, num_layers: int, mesh: DeviceMesh) -> nn.Module:
    from torch.distributed.fsdp import fully_shard  # most of a second to import: for those who need it

    backbone.requires_grad_(False)
    for block in every_block(backbone, num_layers):
        fully_shard(block, mesh=mesh, reshard_after_forward=True)
    fully_shard(backbone, mesh=mesh, reshard_after_forward=True)
    return backbone


def _check_device(device: torch.device) -> None:
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(f"several processes cannot share a model on device '{device}'; use runtime.device: cpu")
    if device.type == "cuda" and local_rank() >= torch.cuda.device_count():
        raise SettingsError(
            f"{local_size()} processes on a machine with {torch.cuda.device_count()} GPUs; "
            "start as many as it has (torchrun --nproc-per-node), or use runtime.device: cpu"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence bars, notices and warnings of transformers while the block runs."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            hf_logging.set_verbosity(level)
            if bars:
                hf_logging.enable_progress_bar()


@contextmanager
def alone() -> Iterator[None]:
    """Do as `quiet`, with the hub switched off: all that a model needs lies in its folder, whatever its files name."""
    with quiet(), offline():
        yield


@contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turn what transformers refuses of the model called `name` into a ModelError in one line."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, OutshineError):
        raise
    except Exception as error:  # a stranger's files make a stranger's library raise anything
        raise ModelError(f"model '{name}' cannot be loaded: {_reason(error, name)}") from error


def read_configs(folder: Path, name: str, trusted: bool) -> tuple[Any, Any]:
    """Return the model's config as transformers reads it, defaults filled in, and its text model's (often the same).

    Raises ModelError where transformers refuses it.
    """
    from transformers import AutoConfig

    with alone(), refusals(name):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted)
        return config, config.get_text_config(decoder=True)


def first_line(error: BaseException) -> str:
    """Return the message in one line: its first, and the next where the first only announces it."""
    if _asked_hub(error):
        return "it names another repository of the hub, which is not asked for it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:200]


def _reason(error: BaseException, name: str) -> str:
    if "trust_remote_code" in str(error):
        return f"it needs code from its own repository; if you trust that, set trust_remote_code: {name}"
    if "ignore_mismatched_sizes" in str(error):
        return "the shapes of its weights are not those that its config.json describes"
    if isinstance(error, SafetensorError):
        return f"a safetensors file is damaged ({first_line(error)}); fetch or save it again"
    return first_line(error)


def _asked_hub(error: BaseException | None) -> bool:
    """Whether an error came of a request to the hub that `alone` did not let through."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    while error is not None:
        if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
            return True
        error = error.__cause__ or error.__context__
    return False
