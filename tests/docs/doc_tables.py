"""Parts of the documentation that are made from the code. Run this file as a script to write them anew.

Each stands between `<!-- generated: NAME -->` and `<!-- /generated -->`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from doc_blocks import counted
from doc_pages import ROOT
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from outshine.data.recipes.file import FileDataset
from outshine.data.recipes.hub import HubDataset
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.data.splits import SplitSettings
from outshine.engine.registry import Registry
from outshine.engine.run.executors import LocalWorkers, RayWorkers
from outshine.engine.runtime import Runtime
from outshine.learn.losses import losses
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import LoRA, ModelSettings
from outshine.testing.recipes import sample_rows
from outshine.w2s.methods import methods
from outshine.w2s.study import FileLabelSettings, Study

SECTIONS: dict[str, tuple[type[BaseModel], ...]] = {
    "": (Study,),
    "weak": (ModelSettings,),
    "weak.tuning": (LoRA,),
    "labels": (FileLabelSettings,),
    "splits": (SplitSettings,),
    "training": (TrainingSettings,),
    "runtime": (Runtime,),
    "executor": (LocalWorkers, RayWorkers),
}
"""Where in a study the fields of each model of settings stand (`strong` has those of `weak`)."""

WORDS = {  # for fields that carry no description of their own
    "splits": "sizes of the splits and how they are drawn",
    "training": "hyper-parameters of fine-tuning",
    "runtime": "where and how it is computed; never part of a key",
    "runtime.device": "where to compute; auto: the first there is of cuda, mps, cpu",
    "weak.tuning.kind": "lora, full (every weight, in float32) or head (a linear probe); rank, alpha and base are lora's",
    "executor.kind": "local: processes on this machine; ray: actors of a Ray cluster",
    "labels.kind": "supervisor: the weak model's predictions; file: weak labels from a file",
    "file.path": "the file",
    "file.test_path": "a file that test rows are taken from; None: they are held out of `path` by group",
    "file.text_column": "the column with the text that the model reads",
    "file.label_column": "the column with the ground truth",
    "file.id_column": "the column with a row's identity, where there is one; else the text is",
    "file.group_column": "the column with what rows share, where there is one; rows of a group stay in one split",
}

DEFAULTS = {"labels.kind": "supervisor"}  # the default of a study, not of the model of settings shown


def default_text(field: FieldInfo) -> str:
    """A default as one writes it in YAML; `required` where there is none."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return getattr(value, "model", None) or getattr(value, "kind", None) or "see below"
    if isinstance(value, tuple):
        return json.dumps([getattr(item, "kind", item) for item in value])
    if isinstance(value, bool) or value is None or isinstance(value, dict):
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def rows_of(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    """(path, default, what it is) of each field."""
    for name, field in model.model_fields.items():
        path = f"{prefix}.{name}" if prefix else name
        words = field.description or WORDS.get(path, "")
        assert words, f"{path} of {model.__name__} has no description"
        yield path, DEFAULTS.get(path, default_text(field)), words


def settings() -> str:
    """All settings of a study."""
    found = [row for prefix, models in SECTIONS.items() for model in models for row in rows_of(model, prefix)]
    return table(
        ["setting", "default", "what it is"], [(f"`{path}`", f"`{value}`", words) for path, value, words in found]
    )


def plugins(registry: Registry[Any], prefix: str) -> str:
    """The plugins of a registry and their settings."""
    rows = []
    for name, plugin in registry:
        rows.append((f"**`{name}`**", "", plugin.title))
        rows += [(f"`{path}`", f"`{value}`", words) for path, value, words in rows_of(plugin, prefix)]
    return table(["name, setting", "default", "what it is"], rows)


def file_settings() -> str:
    """The settings of a file of one's own."""
    return table(
        ["setting", "default", "what it is"],
        [
            (f"`{path.removeprefix('file.')}`", f"`{value}`", words)
            for path, value, words in rows_of(FileDataset, "file")
        ],
    )


def hub_settings() -> str:
    """The settings of a hub dataset under columns that the user names."""
    rows = rows_of(HubDataset, "hub")
    return table(
        ["setting", "default", "what it is"],
        [(f"`{path.removeprefix('hub.')}`", f"`{value}`", words) for path, value, words in rows],
    )


def datasets() -> str:
    """The datasets of the hub: what they are, and what is read of them."""
    about, read = [], []
    for name, cls in recipes:
        if cls.hub is None:
            continue
        hub = cls.hub
        about.append((f"`{name}`", f"{hub.repo} `{hub.config}`", cls.positive_means, cls.license, cls.source))
        splits = f"{' + '.join(hub.pooled)}, {hub.test_size:,} held out" if hub.pooled else f"{hub.train} / {hub.test}"
        row, example = formatted(cls())
        read.append((f"`{name}`", splits, ", ".join(row.asked), group_of(row, example), cls.note or "–"))
    tables = [
        table(["name", "hub repository, config", "positive means", "licence", "source"], about),
        table(["name", "train / test", "fields read", "group", "notes"], read),
    ]
    return "\n\n".join(tables)


def tiny_tasks() -> str:
    """The tasks of the embedded world."""
    found = [(name, cls()) for name, cls in recipes if name.startswith("tiny-")]
    return table(
        ["name", "positive means", "prompt"],
        [(f"`{name}`", recipe.positive_means, f"`{tiny_prompt(recipe)}`") for name, recipe in found],
    )


def prompts() -> str:
    """What a model reads, with the row's fields in ⟨⟩."""
    parts = []
    for name, cls in recipes:
        if cls.hub is not None:
            parts.append(f"**`{name}`**\n\n```text\n{template(cls())}\n```")
    return "\n\n".join(parts)


def block_counts() -> str:
    """How many blocks of each page are run, and how many are not, by reason."""
    rows = [
        (f"`{page}`", str(run), "; ".join(f"{reason}: {count}" for reason, count in sorted(why.items())) or "–")
        for page, run, why in counted()
    ]
    return table(["page", "blocks that are run", "that are not, and why"], rows)


GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("docs/commands.md", settings),
    "losses": ("docs/commands.md", lambda: plugins(losses, "loss")),
    "methods": ("docs/commands.md", lambda: plugins(methods, "")),
    "file": ("docs/datasets.md", file_settings),
    "hub": ("docs/datasets.md", hub_settings),
    "datasets": ("docs/datasets.md", datasets),
    "tiny": ("docs/datasets.md", tiny_tasks),
    "prompts": ("docs/datasets.md", prompts),
    "blocks": ("CONTRIBUTING.md", block_counts),
}


class AskedRow(dict):  # type: ignore[type-arg]
    """A row that remembers which of its fields were read."""

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(row)
        self._asked: dict[str, None] = {}

    @property
    def asked(self) -> list[str]:
        return list(self._asked)

    def get(self, name: str, default: Any = None) -> Any:
        self._asked[name] = None
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self._asked[name] = None
        return super().__getitem__(name)


def formatted(recipe: Recipe) -> tuple[AskedRow, Example]:
    """The first made-up row that the recipe can use, and what becomes of it."""
    for number, row in enumerate(sample_rows(recipe, 8)):
        asked = AskedRow(row)
        example = recipe.format(asked, Draw(0, number))
        if example is not None:
            return asked, example
    raise AssertionError(f"{recipe.kind} uses none of its made-up rows")


def group_of(row: AskedRow, example: Example) -> str:
    """The fields that rows can have in common, or of which they can have a part; a dash where rows stand alone."""
    whole = [name for name, text in leaves(row) if text in (example.group, *example.shared)]
    parts = [f"part of {name}" for name, text in leaves(row) if any(part in text for part in example.shared)]
    return ", ".join(whole or parts) or "–"


def template(recipe: Recipe) -> str:
    """The prompt with field names in place of a row's contents."""
    row, example = formatted(recipe)
    candidates = " or ".join(recipe.candidate_fields)
    text = example.text
    if recipe.kind == "anthropic_hh":
        text = text.replace(example.shorten, "⟨the turns that both share⟩")
    for name, value in sorted(leaves(row), key=lambda leaf: -len(leaf[1])):
        field = candidates if name in recipe.candidate_fields else name
        text = text.replace(value, f"⟨{field}⟩")
    return text


def leaves(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(field, text) for all texts in a row, and for the parts of texts that are made of parts."""
    for name, value in dict(row).items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from leaves(value, f"{path}.")
        elif isinstance(value, list):
            yield path, "\n".join(map(str, value))
            yield from ((path, str(item)) for item in value if len(str(item)) > 1)
        elif isinstance(value, str) and len(value.strip()) > 1:
            yield path, value.strip()
            if " [SEP] " in value:
                before, after = value.split(" [SEP] ")
                yield f"{path}, before [SEP]", before
                yield f"{path}, after [SEP]", after
            if "Assistant: " in value:
                yield path, value.rpartition("Assistant: ")[2]


def tiny_prompt(recipe: Recipe) -> str:
    """The question about the first person, the name replaced."""
    row = recipe.open(recipe.identify()).train.take([0])[0]
    return row["text"].replace(row["person"], "NAME")


def table(titles: list[str], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def with_generated(text: str, name: str, content: str) -> str:
    """The page's text with the content of one generated part exchanged."""
    pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- /generated -->)"
    assert len(re.findall(pattern, text, flags=re.DOTALL)) == 1, f"one place for the generated part '{name}' is needed"
    return re.sub(pattern, lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text, flags=re.DOTALL)


if __name__ == "__main__":
    for part, (page, make) in GENERATED.items():
        path = ROOT / page
        path.write_text(with_generated(path.read_text(encoding="utf-8"), part, make()), encoding="utf-8")
