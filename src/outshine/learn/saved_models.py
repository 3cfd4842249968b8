"""A trained classifier as files that other tools read: PEFT's adapter, or a folder that transformers loads."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from outshine.data.task import BINARY, Task
from outshine.engine.errors import ModelError, StoreError
from outshine.engine.files import user_path
from outshine.learn.classifier import Classifier
from outshine.learn.load import load_backbone
from outshine.learn.lora import adapters, save_peft
from outshine.learn.model_files import find, read_config
from outshine.learn.spec import ClassifierSpec, Full, LoRA, ModelRef, ModelSettings, is_array_name
from outshine.learn.tiny_models import TINY_MODELS

ADAPTER, MODEL = "adapter", "model"


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write what was trained, and `classifier.json`, the spec that says how to put it together.

    Always the head (`head.safetensors`: weight [2, d], no bias; log-odds = row 1 − row 0; of K classes [K, d]). With
    LoRA also `adapter/` in PEFT's format; after full fine-tuning `model/`, which `AutoModel.from_pretrained` loads.
    """
    spec = classifier.spec
    described = spec.model_dump_json(indent=1, exclude={"model": {"folder"}})  # a path would tie the bytes to a machine
    (folder / "classifier.json").write_text(described, encoding="utf-8")
    _write(folder / "head.safetensors", {"weight": classifier.head})
    if isinstance(spec.tuning, LoRA):
        save_peft(classifier.backbone, spec.tuning, spec.model.name, folder / ADAPTER)
    elif isinstance(spec.tuning, Full):
        (folder / MODEL).mkdir()
        _write(folder / MODEL / "model.safetensors", classifier.backbone.state_dict())
        config = getattr(classifier.backbone, "config", None)
        if config is not None and hasattr(config, "save_pretrained"):
            copy.deepcopy(config).save_pretrained(folder / MODEL)  # saving changes a config


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(whole, metadata={"format": "pt"}))


Files = Callable[[str], Path]
"""Where a file of the artefact lies, by its name in it."""

_IDENTITY = re.compile(r"hub:[^@\s]+@[\w.-]+|sha256:[0-9a-f]{64}")


def load_classifier(spec: ClassifierSpec, files: Files, device: torch.device, task: Task = BINARY) -> Classifier:
    """Return the classifier as it was when training ended. `spec` names a base that is there (`find_base`).

    Raises StoreError where the files do not fit the spec, ModelError and HubError where the base cannot be had.
    """
    if isinstance(spec.tuning, Full):
        whole = files(f"{MODEL}/model.safetensors").parent
        read_config(files(f"{MODEL}/config.json").parent, spec.model.name)  # refuses what a stranger may have put there
        own = spec.model_copy(update={"model": spec.model.model_copy(update={"folder": str(whole)})})
        backbone = load_backbone(own, device)
    else:
        backbone = load_backbone(spec, device)
    classifier = Classifier(backbone, spec, 0, task)
    _take(classifier.head, _tensors(files("head.safetensors")), "weight")
    if isinstance(spec.tuning, LoRA):
        _load_adapters(classifier.backbone, _tensors(files(f"{ADAPTER}/adapter_model.safetensors")))
    return classifier.requires_grad_(False).eval()


def find_base(ref: ModelRef, place: str | None = None, trust_remote_code: str | None = None) -> ModelRef:
    """Return the very weights that `ref` names: from the hub's cache or the hub, the package, or the folder `place`.

    `trust_remote_code` repeats the model's name where its repository's code is to be run: the artefact may be another
    person's. Raises ModelError where it is needed and missing, and where other weights lie there.
    """
    if is_array_name(ref.name):
        raise ModelError(
            f"'{ref.name}' is an array: what a student on features predicted is kept (`.predictions`), new rows "
            "are not predicted"
        )
    if not _IDENTITY.fullmatch(ref.identity):
        raise ModelError(f"'{ref.identity}' names no model: hub:REPOSITORY@COMMIT or sha256:DIGEST is expected")
    exact = ref.identity.rpartition("@")[2]
    hub = ref.identity.startswith("hub:")
    name = ref.identity.removeprefix("hub:").rpartition("@")[0] if hub else ref.name
    if ref.trust_remote_code and trust_remote_code != name:
        raise ModelError(
            f"model '{name}' runs code from its own repository; if you trust that, say trust_remote_code='{name}'"
        )
    place = place or name
    if not hub and place not in TINY_MODELS and not user_path(place).is_dir():
        raise ModelError(
            f"the base model was the folder '{place}', which is not there; say where it is now with model=FOLDER"
        )
    trusted = place if ref.trust_remote_code else None
    base, _ = find(ModelSettings(model=place, revision=exact, trust_remote_code=trusted))
    if base.identity != ref.identity:
        raise ModelError(f"model '{place}' is {base.identity}; the base of this model is {ref.identity}")
    return base.model_copy(update={"name": ref.name, "num_layers": ref.num_layers})


def _load_adapters(backbone: nn.Module, tensors: dict[str, Tensor]) -> None:
    wrapped = dict(adapters(backbone))
    named = {f"base_model.model.{path}.lora_{part}.weight" for path in wrapped for part in "AB"}
    if named != set(tensors):
        raise StoreError(
            f"the adapter has {len(tensors)} tensors, {len(named & set(tensors))} of the {len(named)} that its base "
            "needs; it belongs to another model"
        )
    for path, layer in wrapped.items():
        _take(layer.lora_A, tensors, f"base_model.model.{path}.lora_A.weight")
        _take(layer.lora_B, tensors, f"base_model.model.{path}.lora_B.weight")


def _take(parameter: nn.Parameter, tensors: dict[str, Tensor], name: str) -> None:
    tensor = tensors.get(name)
    if tensor is None or tensor.shape != parameter.shape:
        shape = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
        raise StoreError(f"tensor {name} is {shape}; {list(parameter.shape)} is expected")
    with torch.no_grad():
        parameter.copy_(tensor)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise StoreError(f"{path.name} is damaged ({error}); `outshine verify` tells what else is") from None
