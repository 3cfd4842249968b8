"""From a name to an exact classifier: identity, limits, learning rates and the choices people are told about."""

import json
import shutil

import pytest
import torch

from outshine.engine.errors import ModelError, SettingsError
from outshine.learn.known_models import GUESS_FULL, GUESS_HEAD, learning_rate
from outshine.learn.load import load_backbone
from outshine.learn.model_files import read_config
from outshine.learn.resolve import estimate_parameters, resolve
from outshine.learn.spec import ModelSettings
from tiny_checkpoints import ARCHITECTURES, CPU, change_config, spec_of


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of a checkpoint that a test may change."""
    return shutil.copytree(checkpoint("llama"), tmp_path / "model")


def test_the_identity_of_a_folder_is_that_of_its_files(folder, tmp_path):
    spec = spec_of(folder)
    assert spec.model.identity.startswith("sha256:")
    moved = shutil.copytree(folder, tmp_path / "moved")
    (moved / "README.md").write_text("nothing that the model computes with")
    assert spec_of(moved).model.identity == spec.model.identity
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        changed = shutil.copytree(folder, tmp_path / name)
        (changed / name).write_bytes((changed / name).read_bytes() + b" ")
        assert spec_of(changed).model.identity != spec.model.identity


@pytest.mark.parametrize(("kept", "name"), [(None, "{}"), (3, "{}"), (1, "{} (1 of 3 blocks)")])
def test_tables_say_how_much_of_a_model_is_used(kept, name, folder):
    assert spec_of(folder, num_layers=kept).name == name.format(folder)


def test_more_blocks_than_there_are_is_refused(folder):
    with pytest.raises(SettingsError, match="has 3 blocks; num_layers = 4 is too many"):
        spec_of(folder, num_layers=4)


def test_the_text_length_is_the_models_own_at_most_1024_unless_told(folder):
    assert spec_of(folder).max_length == 32
    assert spec_of(folder, max_length=7).max_length == 7
    with pytest.raises(SettingsError, match="takes 32 tokens; max_length = 33 is too long"):
        spec_of(folder, max_length=33)
    change_config(folder, max_position_embeddings=131072)
    assert spec_of(folder).max_length == 1024
    assert spec_of(folder, max_length=4096).max_length == 4096


@pytest.mark.parametrize(
    ("name", "message"),
    [("tiny/weka", "unknown embedded model 'tiny/weka'; known: tiny/weak"), ("./nowhere", "there is no folder")],
)
def test_a_name_that_means_nothing_is_refused(name, message):
    with pytest.raises(ModelError, match=message):
        resolve(ModelSettings(model=name), "float32")


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        spec_of(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_the_estimate_of_parameters_is_near_the_truth(kind, checkpoint):
    config = read_config(checkpoint(kind), kind)
    estimates = [estimate_parameters(config, n) for n in (1, 2)]
    true = [
        sum(p.numel() for p in load_backbone(spec_of(checkpoint(kind), num_layers=n), CPU).parameters()) for n in (1, 2)
    ]
    assert estimates[1] - estimates[0] == pytest.approx(true[1] - true[0], rel=0.5)
    assert estimates[1] == pytest.approx(true[1], rel=0.5)


@pytest.mark.parametrize(
    ("settings", "parameters", "rate", "guessed"),
    [
        ({"model": "Qwen/Qwen1.5-0.5B"}, 0.5e9, 5e-4, False),  # the post's
        ({"model": "meta-llama/Meta-Llama-3-8B"}, 8e9, 8e-5, False),  # the post's
        ({"model": "meta-llama/Meta-Llama-3-8B", "learning_rate": 1e-5}, 8e9, 1e-5, False),
        ({"model": "Qwen/Qwen1.5-0.5B", "tuning": "full"}, 0.5e9, GUESS_FULL, True),
        ({"model": "Qwen/Qwen1.5-0.5B", "tuning": "head"}, 0.5e9, GUESS_HEAD, True),
        ({"model": "some/other"}, 0.5e9, 5e-4, True),
        ({"model": "some/other"}, 2e9, 2e-4, True),
        ({"model": "some/other"}, 8e9, 8e-5, True),
    ],
)
def test_a_guessed_learning_rate_says_so(settings, parameters, rate, guessed):
    chosen = learning_rate(ModelSettings(**settings), int(parameters))
    assert chosen.value == rate
    assert (chosen.note is not None) == guessed
    if guessed:
        assert "is a guess" in chosen.note


def test_resolving_tells_of_the_guess(folder):
    resolved = resolve(ModelSettings(model=str(folder)), "float32")
    assert resolved.learning_rate == 5e-4
    assert "learning rate 0.0005 is a guess" in resolved.notes[0]
    assert resolve(ModelSettings(model=str(folder), learning_rate=1e-3), "float32").notes == ()


def test_equal_specs_in_other_places_have_equal_keys(folder, tmp_path):
    from outshine.engine.key import digest

    moved = shutil.copytree(folder, tmp_path / "moved")
    assert digest(spec_of(moved)) == digest(spec_of(folder))
    different = [
        spec_of(folder, num_layers=2),
        spec_of(folder, pooling="mean"),
        spec_of(folder, max_length=8),
        spec_of(folder, tuning="full"),
        spec_of(folder, tuning={"kind": "lora", "rank": 4}),
        spec_of(folder, "bfloat16"),
    ]
    assert len({digest(spec) for spec in [spec_of(folder), *different]}) == 7


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"lora": "none"}, {"kind": "full"}),
        ({"lora": None}, {"kind": "full"}),
        ({"lora": {"rank": 4}}, {"kind": "lora", "rank": 4, "alpha": 8.0, "base": "dense"}),
        ({"tuning": "head"}, {"kind": "head"}),
        ({"lora": {"base": "nf4"}}, {"kind": "lora", "rank": 8, "alpha": 8.0, "base": "nf4"}),
        ({}, {"kind": "lora", "rank": 8, "alpha": 8.0, "base": "dense"}),
    ],
)
def test_short_forms_of_tuning(written, meant):
    assert ModelSettings(model="m", **written).tuning.model_dump() == meant


def test_device_and_dtype_are_what_was_asked_for():
    from outshine.engine.runtime import Runtime
    from outshine.learn.device import pick_device, resolve_dtype

    assert pick_device(Runtime(device="cpu")) == CPU
    assert pick_device(Runtime()).type in ("cuda", "mps", "cpu")
    assert resolve_dtype("float64", CPU) == "float64"
    assert resolve_dtype("auto", CPU) in ("float32", "bfloat16")
    assert resolve_dtype("auto", torch.device("mps")) == "float32"
    if not torch.cuda.is_available():
        with pytest.raises(SettingsError, match="device 'cuda' is not available here; use one of: "):
            pick_device(Runtime(device="cuda"))


QUANTISED = [
    {"quant_method": "gptq", "bits": 4, "group_size": -1},
    {"quant_method": "awq", "bits": 4},
    {"quant_method": "compressed-tensors", "format": "pack-quantized"},
    {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    {"load_in_8bit": True},
    *(
        {"quant_method": method}
        for method in ("fp8", "fbgemm_fp8", "mxfp4", "bitnet", "hqq", "quanto", "torchao", "eetq")
    ),
    *(
        {"quant_method": method}
        for method in ("aqlm", "vptq", "higgs", "spqr", "auto-round", "fp_quant", "of-tomorrow")
    ),
    {},
    "gptq",
]


@pytest.mark.parametrize("told", QUANTISED, ids=str)
@pytest.mark.parametrize("setting", ["quantization_config", "compression_config", "quantization"])
def test_quantised_weights_are_refused_when_the_study_is_resolved(setting, told, folder):
    change_config(folder, **{setting: told})
    kind = told.get("quant_method", "") if isinstance(told, dict) else ""
    with pytest.raises(
        ModelError, match=rf"is quantised \({setting} in config\.json.*{kind}\), which outshine cannot train"
    ):
        spec_of(folder)


def test_quantised_weights_of_a_part_are_refused(folder):
    change_config(folder, text_config={"num_hidden_layers": 3, "quantization_config": {"quant_method": "awq"}})
    with pytest.raises(ModelError, match="is quantised"):
        spec_of(folder)


@pytest.mark.parametrize("name", ["quantize_config.json", "quant_config.json", "hf_quant_config.json"])
def test_weights_that_a_tool_quantised_beside_the_config_are_refused(name, folder):
    (folder / name).write_text("{}")
    with pytest.raises(ModelError, match=rf"is quantised \({name}\)"):
        spec_of(folder)


@pytest.mark.parametrize("role", ["weak", "strong"])
def test_nothing_is_trained_of_a_study_with_a_quantised_model(role, folder, tmp_path):
    import outshine

    change_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    models = {"weak": "tiny/weak", "strong": "tiny/weak", role: str(folder)}
    study = outshine.Study(datasets=["tiny-home"], splits={"n_train": 32, "n_val": 16, "n_test": 16}, **models)
    with pytest.raises(ModelError, match="is quantised"):
        outshine.run(study, store=tmp_path / "store")
    assert not list((tmp_path / "store").rglob("predictions.parquet"))


def test_a_config_that_leaves_its_vocabulary_open_is_told_in_one_line(folder):
    change_config(folder, vocab_size=None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": None}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        spec_of(folder)


def test_a_setting_of_no_quantisation_is_none(folder):
    change_config(folder, quant_mode=False, quantization=None)
    spec_of(folder)


@pytest.mark.parametrize("number", [1001, 10**6, 2**41])
def test_more_blocks_than_any_model_has_are_not_built(number, folder):
    change_config(folder, num_hidden_layers=number)
    with pytest.raises(ModelError, match="a positive number up to 1,000 is expected"):
        spec_of(folder)
