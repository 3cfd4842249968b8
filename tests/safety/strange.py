"""Strange inputs: study files and data files as no careful person writes them, from hypothesis."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hostile import MARKUP, PATHS
from hypothesis import strategies as st

from outshine.data.schema import recipes
from outshine.engine.settings import setting_paths
from outshine.learn.filters import filters
from outshine.learn.losses import losses
from outshine.learn.probes import probes
from outshine.results.read.scores import SCORE_COLUMNS
from outshine.w2s.methods import methods
from outshine.w2s.study import Study

REGISTRIES = (recipes, losses, probes, filters, methods)
KINDS = sorted(
    {name for registry in REGISTRIES for name in registry.names()} | {"lora", "full", "head", "file", "supervisor"}
)
FIELDS = sorted(
    {path.rpartition(".")[2] for path in setting_paths(Study)}
    | {field for registry in REGISTRIES for _, plugin in registry for field in plugin.model_fields}
    | {"kind", "grid", "lora", "<<", "datasets.0", "__class__", "model_config", "self", "cls", "raw"}
)
VALID: dict[str, Any] = {
    "name": "fuzzed",
    "datasets": ["tiny-home", {"kind": "tiny-pet"}],
    "weak": "tiny/weak",
    "strong": {"model": "tiny/strong", "num_layers": 2, "tuning": {"kind": "lora", "rank": 4}},
    "methods": [{"kind": "probe", "probe": {"kind": "knn", "k": 5}, "layer": "1/2"}, "vanilla"],
    "sweeps": [{"kind": "probe", "probe": "knn", "grid": {"probe.k": [1, 2], "layer": ["1/2", "last"]}}],
    "controls": True,
    "loss": {"kind": "logconf", "alpha": 0.3},
    "seeds": [0, 1],
    "splits": {"n_train": 64},
    "training": {"epochs": 1},
    "runtime": {"threads": 1},
    "notes": ["a note"],
    "sources": {"tiny-home": "x"},
    "labels": "supervisor",
}

TEXT = st.one_of(st.text(max_size=20), st.sampled_from([*PATHS, *MARKUP]), st.sampled_from([*KINDS, *FIELDS]))
NUMBER = st.one_of(
    st.integers(-3, 300),
    st.integers(),
    st.sampled_from([2**31, 2**63 - 1, 2**63, 10**30, 10**400, -(10**20)]),
    st.floats(allow_nan=True, allow_infinity=True),
)
LEAF = st.one_of(st.none(), st.booleans(), NUMBER, TEXT)
TREE = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), TEXT), inner, max_size=4),
    ),
    max_leaves=12,
)


@st.composite
def _altered_studies(draw: st.DrawFn) -> dict[str, Any]:
    """A good study with some of its settings, at any depth, replaced by something else."""
    study = json.loads(json.dumps(VALID))
    for _ in range(draw(st.integers(0, 3))):
        place: Any = study
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            action = draw(st.sampled_from(["replace", "adjust", "drop", "add"]))
            if action == "replace":
                place[key] = draw(TREE)
            elif action == "adjust":
                place[key] = draw(
                    st.one_of(st.integers(0, 9), st.floats(0, 1), st.booleans(), st.sampled_from(KINDS), st.none())
                )
            elif action == "drop":
                del place[key]
            elif isinstance(place, dict):
                place[draw(st.sampled_from(FIELDS))] = draw(TREE)
            break
    return study


def _dumped(tree: Any, style: str) -> str:
    if style == "json":
        return json.dumps(tree)
    return yaml.dump(tree, allow_unicode=style == "block", default_flow_style=style == "flow", sort_keys=False)


_TREES = st.one_of(
    _altered_studies(), _altered_studies(), TREE, st.dictionaries(st.sampled_from(FIELDS), TREE, max_size=5)
)
_STYLES = st.sampled_from(["json", "block", "flow"])
_PRINTED = st.builds(_dumped, _TREES, _STYLES)
_ALTERED = st.builds(_dumped, _altered_studies(), _STYLES)
_PIECES = [
    *(
        "&a",
        "*a",
        "<<: *a",
        "<<",
        "? ",
        "- ",
        ": ",
        "!!",
        "!!python/object/apply:os.system [echo]",
        "!!python/name:os.system",
    ),
    *(
        "!!binary aGk=",
        "!!set {a}",
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        "!!omap [a: 1]",
        "!<tag:x>",
        "%YAML 9.9\n",
    ),
    *(
        "---\n",
        "...\n",
        "#",
        "'",
        '"',
        "|\n",
        ">\n",
        "{",
        "}",
        "[",
        "]",
        "\t",
        "\0",
        "\r",
        "\ufeff",
        "\x85",
        "\u2028",
        "\ud7ff",
    ),
    *(
        "2020-99-99",
        "0x_",
        "0b",
        "1:99:99",
        "1e999",
        ".nan",
        "=",
        "~",
        '"\\ud800"',
        '"\\0"',
        '"\\e[31m"',
        "datasets: tiny-pet\n",
    ),
]


@st.composite
def _spoilt(draw: st.DrawFn) -> str:
    """A printed study with pieces of YAML thrown in, cut out or doubled."""
    text = draw(_PRINTED)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        length = draw(st.sampled_from([0, 0, 1, 3, 10]))
        text = text[:place] + draw(st.sampled_from(_PIECES)) + text[place + length :]
    return text


def _bomb(levels: int, width: int, top: str) -> str:
    """Aliases of aliases: a few lines that stand for width^levels values."""
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join([*lines, f"{top}: *a{levels - 1}"])


def _deep(depth: int, opening: str, top: str) -> str:
    closing = {"[": "]", "{a: ": "}", "- ": ""}[opening]
    return f"{top}: {opening * depth}x{closing * depth}"


_HUGE = st.one_of(
    st.builds(_bomb, st.integers(2, 40), st.integers(1, 12), st.sampled_from(FIELDS)),
    st.builds(
        _deep, st.sampled_from([5, 49, 60, 300, 5000]), st.sampled_from(["[", "{a: ", "- "]), st.sampled_from(FIELDS)
    ),
    st.builds(lambda n, top: f"{top}: {'9' * n}", st.sampled_from([30, 5000, 50_000]), st.sampled_from(FIELDS)),
    st.builds(lambda top: f"{top}: &a [*a, {{a: *a}}]", st.sampled_from(FIELDS)),
)

STUDY_FILES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
    _ALTERED.map(str.encode),
    _ALTERED.map(lambda text: f"# a comment\n{text}".encode()),
    _ALTERED.map(lambda text: text.encode("utf-8-sig")),
    _PRINTED.map(str.encode),
    _spoilt().map(str.encode),
    _HUGE.map(str.encode),
    _PRINTED.map(lambda text: text.encode("utf-16")),
)
_GOOD = ["loss.alpha=.3", "strong.learning_rate=1e-3", "strong.lora=none", "weak.lora.rank=2", "methods.1.probe.k=3"]
_GOOD += [
    "seeds=[0, 1]",
    "datasets.0.kind=tiny-pet",
    "training={epochs: 1}",
    "runtime.device=cpu",
    "methods.0.loss=xent",
]
ASSIGNMENTS = st.lists(
    st.sampled_from(_GOOD)
    | st.builds(
        lambda path, value: f"{'.'.join(path)}={value}",
        st.lists(
            st.one_of(st.sampled_from([*FIELDS, "0", "1", "-1", "²", "99999999999", ""]), TEXT), min_size=1, max_size=4
        ),
        st.one_of(TEXT, TREE.map(json.dumps), st.sampled_from(_PIECES)),
    ),
    max_size=3,
)

COLUMNS = st.one_of(st.sampled_from(["text", "label", "id", "group", "p_weak"]), st.text(max_size=5))
CELL = st.one_of(
    LEAF,
    st.sampled_from([0, 1, "0", "1", True, 0.5, "true", "TRUE ", " 1", float("nan"), 10**400]),
    TREE,
    st.just("x" * 5000),
)


@st.composite
def _rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Good rows with some cells, columns or whole rows that are not."""
    number = draw(st.sampled_from([0, 1, 3, 60, 60, 60]))
    rows: list[Any] = [
        {"text": f"row {n}", "label": n % 2, "id": n, "group": f"g{n // 2}", "p_weak": 0.5} for n in range(number)
    ]
    for column in draw(st.lists(st.sampled_from(["text", "label", "id", "group", "p_weak"]), max_size=2)):
        for row in rows:
            row.pop(column, None)
    for _ in range(draw(st.integers(0, 4)) if rows else 0):
        row = draw(st.sampled_from(rows))
        row[draw(COLUMNS)] = draw(CELL)
    return rows


def _jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _csv(rows: list[dict[str, Any]], quote: str, separator: str, end: str) -> str:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, *([row.get(name, "") for name in columns] for row in rows)]
    return end.join(separator.join(f"{quote}{cell}{quote}" for cell in line) for line in lines)


_CSV = st.builds(
    _csv,
    _rows(),
    st.sampled_from(["", '"', "'"]),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
_BREAKS = [
    '"',
    ",",
    "\n",
    "\r",
    "\0",
    "\ufeff",
    "\\",
    "{",
    "}",
    "[",
    "NaN",
    "[" * 5000,
    '{"text":' * 2000,
    "9" * 5000,
    "\ud7ff",
    "'",
    ";",
]


@st.composite
def _broken(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    text = draw(texts)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + draw(st.sampled_from(_BREAKS)) + text[place + draw(st.sampled_from([0, 1, 7])) :]
    return text


def _encoded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    codecs = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
    return st.builds(lambda text, codec: text.encode(codec, errors="replace"), texts, codecs)


_ARROW_TYPES = [
    *(
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.int8(),
        pa.int64(),
        pa.uint64(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
        pa.null(),
    ),
    *(
        pa.date32(),
        pa.timestamp("ns"),
        pa.timestamp("us", tz="Nowhere/None"),
        pa.duration("us"),
        pa.time64("ns"),
        pa.decimal128(30, 5),
    ),
    *(pa.list_(pa.int64()), pa.struct([("a", pa.string())]), pa.dictionary(pa.int32(), pa.string())),
]


@st.composite
def _parquet(draw: st.DrawFn) -> bytes:
    """Columns of random types and extreme values under the names that are looked for; then perhaps spoilt bytes."""
    number = draw(st.sampled_from([0, 1, 60]))
    arrays, names = [], []
    for name in draw(st.lists(st.sampled_from(["text", "label", "id", "group", "p_weak", "other", ""]), max_size=6)):
        good = {
            "text": pa.array([f"row {n}" for n in range(number)]),
            "label": pa.array([n % 2 for n in range(number)]),
        }.get(name)
        arrays.append(good if good is not None and draw(st.booleans()) else draw(_columns(number)))
        names.append(name)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, names), buffer)
    content = bytearray(buffer.getvalue())
    for _ in range(draw(st.sampled_from([0, 0, 1, 5]))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 4)) == 0 else content)


@st.composite
def _columns(draw: st.DrawFn, number: int) -> pa.Array:
    kind = draw(st.sampled_from(_ARROW_TYPES))
    raw = draw(st.sampled_from([0, 1, -1, 2**62, 2**31 - 1]))
    try:
        if pa.types.is_temporal(kind):
            width = pa.int32() if kind == pa.date32() else pa.int64()
            return pa.array([raw] * number, width).view(kind)
        return pa.array([draw(LEAF)] * number, kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return pa.nulls(number, kind)


DATA_FILES: dict[str, st.SearchStrategy[bytes]] = {
    ".jsonl": st.one_of(
        st.binary(max_size=200),
        _encoded(_rows().map(_jsonl)),
        _encoded(_broken(_rows().map(_jsonl))),
        _encoded(st.lists(TREE).map(_jsonl)),
    ),
    ".csv": st.one_of(
        st.binary(max_size=200),
        _encoded(_CSV),
        _encoded(_broken(_CSV)),
        _encoded(st.text(alphabet='a1,"\n\r\\\0 ', max_size=60)),
    ),
    ".csv.gz": st.one_of(st.binary(max_size=200), _encoded(_CSV).map(gzip.compress)),
    ".json": st.one_of(_encoded(_rows().map(json.dumps)), _encoded(_broken(_rows().map(json.dumps))), _encoded(_CSV)),
    ".parquet": st.one_of(
        st.binary(max_size=100).map(lambda middle: b"PAR1" + middle + b"PAR1"), _parquet(), _parquet()
    ),
}


@st.composite
def _score_tables(draw: st.DrawFn) -> tuple[str, bytes]:
    """The columns of a table of scores with cells of any kind, written as text."""
    cells = st.one_of(NUMBER, LEAF).map(lambda value: str(value).encode(errors="replace").decode())
    rows = draw(st.lists(st.fixed_dictionaries(dict.fromkeys(SCORE_COLUMNS, cells)), min_size=1, max_size=3))
    frame, buffer = pd.DataFrame(rows), io.BytesIO()
    if draw(st.booleans()):
        return ".csv", frame.to_csv(index=False).encode()
    frame.to_parquet(buffer, index=False)
    return ".parquet", buffer.getvalue()


NAMED_FILES = st.sampled_from(sorted(DATA_FILES)).flatmap(lambda end: st.tuples(st.just(end), DATA_FILES[end]))
SCORE_TABLES = _score_tables() | NAMED_FILES

RECORDS = st.one_of(
    TREE.map(lambda tree: json.dumps(tree).encode()),
    st.fixed_dictionaries(
        {
            "files": st.one_of(
                TREE,
                st.dictionaries(
                    TEXT, st.one_of(TREE, st.fixed_dictionaries({"bytes": LEAF, "sha256": LEAF})), max_size=3
                ),
            )
        },
        optional={"made": TREE, "label": TREE, "format": TREE, "key": TREE},
    ).map(lambda record: json.dumps(record).encode()),
    st.binary(max_size=100),
    st.just(b"[" * 50_000),
)

CONFIGS: dict[
    str, dict[str, Any]
] = {  # of model types that differ in where they keep sizes, positions and kinds of layers
    "llama": {  # as the tests' checkpoint
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "intermediate_size": 24,
    },
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "roberta": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
    "gemma3_text": {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16},
}
_COMMON = {"vocab_size": 48, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_MORE = [
    "text_config",
    "quantization_config",
    "backbone",
    "auto_map",
    "architectures",
    "is_decoder",
    "is_encoder_decoder",
]
_MORE += [
    "layer_types",
    "num_layers",
    "n_layers",
    "dtype",
    "torch_dtype",
    "rope_parameters",
    "rope_scaling",
    "hidden_act",
]
_MORE += [
    "attn_implementation",
    "transformers_weights",
    "tie_word_embeddings",
    "id2label",
    "num_labels",
    "problem_type",
]
_MORE += ["head_dim", "num_key_value_heads", "sliding_window", "transformers_version", "pruned_heads", "_name_or_path"]
_SIZES = st.one_of(st.integers(-2, 40), st.sampled_from([0, 1, 2, 3, 16, 10**6, 2**40, 10**30, 2.5, 1e300]), LEAF, TREE)


@st.composite
def _model_configs(draw: st.DrawFn) -> dict[str, Any]:
    """A good config of some type with a few settings replaced, dropped or added."""
    kind = draw(st.sampled_from([*CONFIGS, "llama", "llama"]))
    config: dict[str, Any] = {"model_type": kind, **_COMMON, **CONFIGS[kind]}
    for _ in range(draw(st.integers(0, 2))):
        setting = draw(st.sampled_from([*config, *_MORE]) | TEXT)
        if draw(st.integers(0, 4)) == 0:
            config.pop(setting, None)
        else:
            config[setting] = draw(_SIZES)
    return config


_JSON = st.one_of(TREE.map(json.dumps), st.sampled_from(["", "{", "[" * 50_000, "null", "[5]", "{}"]), TEXT)
_POOLINGS = st.dictionaries(
    st.sampled_from(["pooling_mode", "pooling_mode_cls_token", "pooling_mode_mean_tokens", "pooling_mode_max_tokens"])
    | TEXT,
    st.one_of(st.booleans(), st.sampled_from(["cls", "mean", "max", ["cls", "mean"]]), TREE),
    max_size=3,
)
_MODULES = st.lists(
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["a.Transformer", "a.Pooling", "a.Dense", "Normalize", "LSTM"]),
            "path": st.sampled_from(["", "1_Pooling", "other"]) | TEXT,
        },
        optional={"idx": TREE},
    ),
    max_size=3,
).map(lambda modules: [{"type": "a.Transformer", "path": ""}, *modules])
_FILES = [
    "config.json",
    "modules.json",
    "1_Pooling/config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "adapter_config.json",
]
_FILES += ["model.safetensors.index.json", "quantize_config.json", "special_tokens_map.json", "generation_config.json"]


MODEL_FOLDERS = st.fixed_dictionaries(
    {"config.json": _model_configs().map(json.dumps)},
    optional={
        "1_Pooling/config.json": _POOLINGS.map(json.dumps),
        "modules.json": _MODULES.map(json.dumps),
    },
).flatmap(
    lambda files: st.one_of(
        st.just(files),
        st.builds(lambda name, text: {**files, name: text}, st.sampled_from(_FILES), _JSON),
    )
)
"""Name -> text of the files of a model's folder."""

_FILE = st.one_of(
    TREE,
    st.fixed_dictionaries(
        {"path": TEXT | st.sampled_from(["config.json", "main/train/0.parquet"]), "rfilename": TEXT | TREE},
        optional={"type": st.sampled_from(["file", "directory"]) | TREE, "size": NUMBER, "oid": TEXT, "lfs": TREE},
    ),
)
_REPOSITORY = st.fixed_dictionaries(
    {
        "id": st.just("org/model") | TREE,
        "sha": st.sampled_from(["a" * 40, "b" * 40, "a" * 7, "A" * 40, "../../escaped"]) | st.just("a" * 40) | TREE,
    },
    optional={"siblings": st.lists(_FILE, max_size=3) | TREE, "lastModified": TREE, "private": TREE, "cardData": TREE},
)
HUB_ANSWERS = st.tuples(
    st.sampled_from(["model", "files", "dataset", "shards"]),
    st.sampled_from([200, 200, 200, 404, 403, 418]),
    st.one_of(
        _REPOSITORY.map(lambda answer: json.dumps(answer).encode()),
        st.lists(_FILE, max_size=3).map(lambda answer: json.dumps(answer).encode()),
        TREE.map(lambda answer: json.dumps(answer).encode()),
        st.binary(max_size=60),
        st.just(b"[" * 50_000),
    ),
)
"""What is asked for, and status and body of what a hub says to everything."""


_ROLES = ("weak", "student", "ceiling")
_NAMES = ("id", "test", "split", "seed", "dataset", "method", "label", "group", "role", "score", "p", *_ROLES)
_LABELS = (
    ("0", "1"),
    ("no", "yes"),
    ("joy", "anger"),
    ("joy", "Joy", "anger"),
    ("1",),
    ("a", "b", "tie"),
    ("0", "1", "2"),
)


@st.composite
def _predictions(draw: st.DrawFn) -> tuple[dict[str, tuple[str, bytes]], dict[str, Any]]:
    """Predictions as `outshine score` takes them, by the option that names each file, with faults; and settings."""
    shape = draw(st.sampled_from(["wide", "wide", "long", "models", "lm-eval", "inspect", "other"]))
    if shape == "other":
        return {"": draw(NAMED_FILES)}, {}
    width = draw(st.sampled_from([1, 1, 1, 2, 3]))
    rows = _wide_rows(draw, width)
    if shape == "wide":
        files = {"": _file(draw, _damaged(draw, rows))}
    elif shape == "long":
        long = [
            {**{name: value for name, value in row.items() if name.split("_")[0] not in _ROLES}, "role": role}
            | {name.replace(role, "score"): value for name, value in row.items() if name.split("_")[0] == role}
            for row in rows
            for role in _ROLES
        ]
        files = {"": _file(draw, _damaged(draw, long))}
    else:
        make = {"models": lambda own, _: own, "lm-eval": _lm_eval, "inspect": _inspect}[shape]
        files = {}
        for role in draw(st.sampled_from([_ROLES, _ROLES, _ROLES[:2], _ROLES[1:]])):
            own = [row for row in rows if row["seed"] == 0]
            if shape == "models":
                own = [
                    {name: row[name] for name in row if name.split("_")[0] not in _ROLES or name.startswith(role)}
                    for row in own
                ]
            made = make(own, role)
            if isinstance(made, dict):
                made["samples"] = _damaged(draw, made["samples"])
                files[role] = ".json", json.dumps(made).encode()
            else:
                files[role] = ".jsonl", _jsonl(_damaged(draw, made)).encode(errors="replace")
    metrics = st.lists(st.sampled_from(["auroc", "accuracy", "macro_auroc", "log_loss", "pair_accuracy"]), max_size=2)
    if draw(st.booleans()):
        return files, {}
    settings = {
        "metrics": draw(metrics),
        "values": draw(st.sampled_from(["auto", "auto", "log-odds", "probability", "weak=probability", "p"])),
        "pairs": draw(st.sampled_from([False, False, True])),
        "classes": draw(st.sampled_from([(), (), ("joy", "anger"), ("joy", "anger", "fear"), ("a", "a")])),
    }
    return files, settings


def _wide_rows(draw: st.DrawFn, width: int) -> list[dict[str, Any]]:
    labels = draw(st.sampled_from([_LABELS[0], _LABELS[-1] if width == 3 else _LABELS[1], *_LABELS]))
    probabilities, by_seed = draw(st.booleans()), draw(st.sampled_from([1, 2]))
    rows = []
    for seed in range(by_seed):
        for number in range(12):
            row: dict[str, Any] = {"id": f"r{number}", "seed": seed, "label": labels[number % len(labels)]}
            row["group"] = f"g{number // 2}"
            for place, role in enumerate(_ROLES):
                raw = [((number * 7 + seed + place + k * 3) % 11) / 11 + 0.01 for k in range(width)]
                values = [one / sum(raw) for one in raw] if width > 1 and probabilities else raw
                values = values if probabilities else [8 * one - 4 for one in values]
                row |= {role if width == 1 else f"{role}_{k}": value for k, value in enumerate(values)}
            rows.append(row)
    return rows


def _lm_eval(rows: list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    """Samples as lm-evaluation-harness writes them: numbers as texts."""
    found = []
    for number, row in enumerate(rows):
        values = [value for name, value in row.items() if name.split("_")[0] == role] + [0.0]
        responses = [[str(-abs(float(value))), "False"] for value in values]
        best = max(range(len(responses)), key=lambda place: float(responses[place][0]))
        row = {"doc_id": number, "target": str(number % 2), "filtered_resps": responses}
        found.append({**row, "acc": float(best == number % 2)})
    return found


def _inspect(rows: list[dict[str, Any]], role: str) -> dict[str, Any]:
    samples = [
        {"id": number, "epoch": 1, "target": "AB"[number % 2], "scores": {"choice": {"value": "CI"[number % 2]}}}
        for number, _ in enumerate(rows)
    ]
    return {"version": 2, "status": "success", "eval": {"model": role}, "samples": samples}


def _damaged(draw: st.DrawFn, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with some cells, columns or whole rows that are not as they should be; often none."""
    rows = [dict(row) for row in rows]
    names = list(rows[0])
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        fault, name = (
            draw(st.sampled_from(["cell", "cell", "gone", "renamed", "row", "twice"])),
            draw(st.sampled_from(names)),
        )
        place = draw(st.integers(0, max(len(rows) - 1, 0)))
        if fault == "cell" and rows:
            rows[place][name] = draw(st.one_of(LEAF, TREE, st.lists(NUMBER, max_size=3)))
        elif fault == "gone":
            for row in rows:
                row.pop(name, None)
        elif fault == "renamed":
            other = draw(st.one_of(st.sampled_from(_NAMES), TEXT))
            for row in rows:
                if name in row:
                    row[other] = row.pop(name)
        elif fault == "row" and rows:
            del rows[place]
        elif fault == "twice" and rows:
            rows.append(rows[place])
    return rows


def _file(draw: st.DrawFn, rows: list[dict[str, Any]]) -> tuple[str, bytes]:
    end = draw(st.sampled_from([".jsonl", ".csv", ".parquet"]))
    if end == ".jsonl":
        return end, _jsonl(rows).encode(errors="replace")
    frame, buffer = pd.DataFrame(rows), io.BytesIO()
    try:
        frame.to_csv(buffer, index=False) if end == ".csv" else frame.to_parquet(buffer, index=False)
    except (pa.ArrowException, ValueError, TypeError, OverflowError):  # cells that such a file cannot hold
        return ".jsonl", _jsonl(rows).encode(errors="replace")
    return end, buffer.getvalue()


PREDICTIONS = _predictions()
