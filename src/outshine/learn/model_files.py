"""The files of a model (config, tokenizer, weights): where they lie, and what is fetched from the hub."""

from __future__ import annotations

import hashlib
from glob import escape
from pathlib import Path
from typing import Any

from outshine.engine.errors import ModelError, SettingsError
from outshine.engine.files import user_path
from outshine.engine.hub import Repo, snapshot
from outshine.learn.config_checks import (
    INDEX,
    LAYERS,
    WEIGHTS,
    check_config,
    check_counts,
    check_files,
    check_weights,
    read_json,
    shards,
)
from outshine.learn.pooling import DEFAULT_POOLING
from outshine.learn.spec import ModelRef, ModelSettings
from outshine.learn.tiny_models import TINY_MODELS

UNRESOLVED = "unresolved:"  # begins what stands for an identity that could not be found out; only plans hold such


VOCABULARIES = ("*.model", "*.codes", "*.spm", "*.tiktoken", "*.tokenizer")  # beside .json and .txt; tested to be all


CONFIG_FILES = ("*.json", "*.txt", "*.py", *VOCABULARIES, DEFAULT_POOLING)


CODE_IN_FOLDERS = "*/*.py"  # of models whose code may run


WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")


def find(settings: ModelSettings) -> tuple[ModelRef, Path]:
    """The exact weights that a name means, and a folder that holds at least their config."""
    name = settings.model
    if settings.trust_remote_code not in (None, name):
        raise SettingsError(
            "trust_remote_code must repeat the model's name to be believed: "
            f"given '{settings.trust_remote_code}', model '{name}'"
        )
    trusted = settings.trust_remote_code == name
    if name.startswith("tiny/") and name not in TINY_MODELS:
        raise ModelError(f"unknown embedded model '{name}'; known: {', '.join(TINY_MODELS)}")
    local = TINY_MODELS.get(name) or user_path(name)
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise ModelError(
                f"folder '{name}' holds no config.json; a model folder as transformers saves it is expected"
            )
        identity = f"sha256:{_digest_of(local)}"
        if settings.revision.startswith("sha256:") and settings.revision != identity:
            raise ModelError(
                f"model '{name}' has changed: its files are not those of revision {settings.revision[:19]}…"
            )
        return ModelRef(identity=identity, name=name, folder=str(local), trust_remote_code=trusted), local
    if name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"there is no folder '{name}'")
    found = snapshot(Repo("model", name, settings.revision), _config_files(trusted))
    if not (found.folder / "config.json").is_file():
        raise ModelError(f"model '{name}' has no config.json on the hub; only models for transformers can be used")
    return ModelRef(identity=f"hub:{name}@{found.commit}", name=name, trust_remote_code=trusted), found.folder


def config_folder(ref: ModelRef) -> Path:
    """A folder with config and tokenizer; downloads what is missing."""
    if ref.folder is not None:
        return Path(ref.folder)
    return snapshot(repo_of(ref), _config_files(ref.trust_remote_code)).folder


def weights_folder(ref: ModelRef) -> Path:
    """A folder with config, tokenizer and safetensors weights; downloads what is missing.

    Of a repository that holds its weights several times, those that transformers reads are fetched: model.safetensors,
    else the files of the index. Raises ModelError where there are only weights in formats that can run code when they
    are opened, or elsewhere.
    """
    folder = config_folder(ref)
    if ref.folder is None:
        snapshot(repo_of(ref), [WEIGHTS])
        if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
            snapshot(repo_of(ref), [escape(shard) for shard in shards(folder, ref.name)])
    check_weights(folder, ref.name)
    return folder


def repo_of(ref: ModelRef) -> Repo:
    """The repository at the commit that was resolved. Raises ModelError for a stand-in of a plan."""
    if ref.identity.startswith(UNRESOLVED):
        raise ModelError(f"model '{ref.name}' was planned without the hub; nothing can be run with it")
    repo, _, commit = ref.identity.removeprefix("hub:").rpartition("@")
    return Repo("model", repo, commit)


def _config_files(trusted: bool) -> tuple[str, ...]:
    return (*CONFIG_FILES, CODE_IN_FOLDERS) if trusted else CONFIG_FILES


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The model's config.json; of a multimodal model, the part that describes the text model."""
    config = read_json(folder / "config.json", name)
    check_config(config, name)
    check_files(folder, name)
    text_model = config.get("text_config", config) if first_count(config, LAYERS) is None else config
    check_counts(text_model, name)
    return text_model


def _digest_of(folder: Path) -> str:
    """sha256 over the names and contents of the files that decide what the model computes."""
    whole = hashlib.sha256()
    patterns = (*CONFIG_FILES, *WEIGHT_FILES)
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\x1f{part}\n".encode())
    return whole.hexdigest()


def first_count(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """The first of these settings that is a whole number."""
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
