"""Studies from YAML and from the command line: overlays, short forms, errors in one line."""

from __future__ import annotations

import contextlib
import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from outshine.engine.errors import OutshineError, SettingsError, UnknownNameError
from outshine.w2s.study import Study
from outshine.w2s.study_file import parse_study, presets, read_study, study_yaml, with_settings

BASE = {"datasets": ["cola"], "weak": "org/small", "strong": "org/big"}


def test_defaults_are_the_posts():
    study = parse_study({"datasets": "sciq"})
    assert study.weak.model == "Qwen/Qwen1.5-0.5B"
    assert study.strong.model == "meta-llama/Meta-Llama-3-8B"
    assert (study.splits.n_train, study.splits.n_val, study.splits.n_test) == (10_000, 1_000, 5_000)
    training = study.training
    assert (training.epochs, training.batch_size, training.eval_every) == (3, 32, 25)
    assert (training.beta1, training.beta2, training.weight_decay, training.max_grad_norm) == (0.9, 0.95, 0.1, 1.0)
    assert study.loss.model_dump() == {"kind": "logconf", "alpha": 0.5, "warmup_updates": 100, "window": 32}
    assert study.strong.tuning.model_dump() == {"kind": "lora", "rank": 8, "alpha": 8.0, "base": "dense"}


def test_settings_reach_nested_values_and_keep_the_rest():
    raw = with_settings(BASE, ["strong.learning_rate=1e-3", "weak.num_layers=2", "loss.alpha=.3", "runtime.threads=1"])
    study = parse_study(raw)
    assert (study.strong.model, study.strong.learning_rate) == ("org/big", 1e-3)
    assert (study.weak.model, study.weak.num_layers) == ("org/small", 2)
    assert (study.loss.kind, study.loss.alpha, study.loss.window) == ("logconf", 0.3, 32)
    assert study.runtime.threads == 1


def test_settings_of_unnamed_models_change_the_defaults():
    study = parse_study(with_settings({"datasets": ["cola"]}, ["weak.num_layers=2", "strong.pooling=mean"]))
    assert (study.weak.model, study.weak.num_layers) == ("Qwen/Qwen1.5-0.5B", 2)
    assert (study.strong.model, study.strong.pooling) == ("meta-llama/Meta-Llama-3-8B", "mean")


def test_a_changed_kind_drops_the_settings_of_the_old_one():
    raw = with_settings({**BASE, "loss": {"kind": "logconf", "alpha": 0.3}}, ["loss.kind=xent"])
    assert parse_study(raw).loss.model_dump() == {"kind": "xent"}
    assert parse_study(with_settings(BASE, ["loss=xent"])).loss.kind == "xent"


def test_settings_do_not_change_the_given_mapping():
    raw = {**BASE, "loss": {"kind": "logconf"}}
    with_settings(raw, ["loss.alpha=.3"])
    assert raw["loss"] == {"kind": "logconf"}


@pytest.mark.parametrize("text", ["none", "null", "false"])
def test_lora_none_is_full_fine_tuning(text):
    study = parse_study(with_settings(BASE, [f"weak.lora={text}"]))
    assert study.weak.tuning.kind == "full"
    assert study.strong.tuning.kind == "lora"


def test_tuning_by_name_and_lora_settings():
    assert parse_study(with_settings(BASE, ["weak.tuning=head"])).weak.tuning.kind == "head"
    assert parse_study({**BASE, "strong": {"model": "m/m", "lora": {"rank": 4}}}).strong.tuning.rank == 4
    with pytest.raises(SettingsError, match="not both"):
        parse_study({**BASE, "strong": {"model": "m/m", "lora": None, "tuning": "head"}})


def test_settings_imply_the_kind_that_has_them():
    assert parse_study(with_settings(BASE, ["weak.tuning.rank=4"])).weak.tuning.rank == 4
    assert parse_study(with_settings(BASE, ["labels.path=weak.csv"])).labels.kind == "file"
    study = parse_study(with_settings({**BASE, "datasets": ["mine.csv"]}, ["datasets.0.text_column=body"]))
    assert study.datasets[0].text_column == "body"
    assert parse_study(with_settings(BASE, ["methods.0.loss=xent"])).methods[0].loss.kind == "xent"


def test_methods_take_losses_of_their_own():
    study = parse_study(
        {**BASE, "methods": ["vanilla", {"kind": "vanilla", "loss": {"kind": "logconf", "alpha": 0.2}}]}
    )
    assert study.methods[0].loss is None
    assert study.methods[1].loss.alpha == 0.2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({**BASE, "datasets": ["scicq"]}, "unknown dataset 'scicq'; did you mean 'sciq'?"),
        ({**BASE, "loss": "logcnf"}, "unknown loss 'logcnf'; did you mean 'logconf'? known: confidence_weighted, entropy, logconf, window, xent"),
        ({**BASE, "methods": ["vanila"]}, "unknown method 'vanila'; did you mean 'vanilla'?"),
        ({**BASE, "sede": [1]}, "unknown setting 'sede'; did you mean 'seeds'?"),
        ({**BASE, "strong": {"model": "m/m", "learning_rat": 1}}, "unknown setting 'strong.learning_rat'; did you mean 'learning_rate'?"),
        ({**BASE, "learning_rate": 1}, "unknown setting 'learning_rate'; did you mean 'weak.learning_rate' or 'strong.learning_rate'?"),
        ({**BASE, "strong": {"model": "m/m", "epoch": 1}}, "unknown setting 'strong.epoch'; did you mean 'training.epochs'?"),
        ({**BASE, "training": {"rank": 1}}, "unknown setting 'training.rank'; did you mean 'weak.tuning.rank' or 'strong.tuning.rank'?"),
        ({**BASE, "loss": {"kind": "logconf", "alhpa": 0.3}}, "loss 'logconf': unknown setting 'alhpa'; did you mean 'alpha'?"),
        ({**BASE, "strong": {"model": "m/m", "learning_rate": "fast"}}, "'strong.learning_rate': Input should be a valid number"),
        ({**BASE, "training": {"epochs": 0}}, "'training.epochs': Input should be greater than 0 (given: 0)"),
        ({**BASE, "seeds": [0, 0]}, "seeds are named twice: 0"),
        ({**BASE, "seeds": [-1]}, "'seeds.0'"),
        ({**BASE, "datasets": ["mine.doc"]}, "data file 'mine.doc' is of an unknown format; expected: .jsonl"),
        ({**BASE, "datasets": ["data/mine.xlsx"]}, "is of an unknown format; save the sheet as CSV"),
        ({**BASE, "datasets": ["mine.zip"]}, "is of an unknown format; unpack it"),
        ({**BASE, "datasets": ["a/b/c"]}, "data file 'a/b/c' is of an unknown format"),
        ({**BASE, "datasets": ["imdb"]}, "unknown dataset 'imdb'"),
        ({**BASE, "datasets": ["imdb"]}, "a hub dataset is named as owner/name"),
        (
            {**BASE, "datasets": ["stanfordnlp/imdb"]},
            "no recipe for the hub dataset stanfordnlp/imdb; name the columns with the text and with the label: "
            "--dataset stanfordnlp/imdb --text COLUMN --label COLUMN",
        ),
        ({**BASE, "datasets": ["https://huggingface.co/datasets/a/b"]}, "is an address; a hub dataset is named by itself: --dataset a/b"),
        ({**BASE, "datasets": ["StanfordNLP/sst2"]}, "is read by the recipe 'sst2': --dataset sst2"),
        ({**BASE, "datasets": []}, "'datasets'"),
        ({**BASE, "datasets": ["cola", "cola"]}, "datasets are named twice: cola"),
        ({**BASE, "weak": None}, "needs a weak model"),
        ({**BASE, "name": "../escape"}, "'name'"),
        ({**BASE, "strong": {"model": "m/m", "tuning": "lorra"}}, "'strong.tuning'"),
        ({**BASE, "datasets": ["cola", "sst2"], "labels": "weak.csv"}, "{dataset}"),
        ({**BASE, "compute_dtype": "float8"}, "'compute_dtype"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(raw, message):
    with pytest.raises(OutshineError, match=re.escape(message)) as caught:
        parse_study(raw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("loss.alpha", "path=value is expected"),
        ("=3", "path=value is expected"),
        ("sttrong.learning_rate=1", "unknown setting 'sttrong'; did you mean 'strong'?"),
        ("methods.7.loss=xent", "no position in a list"),
    ],
)
def test_mistakes_in_set_are_told_in_one_line(assignment, message):
    with pytest.raises(OutshineError, match=re.escape(message)):
        with_settings({**BASE, "methods": ["vanilla"]}, [assignment])


def test_yaml_round_trip_gives_the_same_study(tmp_path):
    study = parse_study(
        {
            **BASE,
            "datasets": ["cola", "sst2"],
            "methods": [{"kind": "vanilla", "loss": {"kind": "logconf", "alpha": 0.25}}],
            "weak": {"model": "a/b", "lora": None},
            "seeds": [0, 3],
        }
    )
    path = tmp_path / "study.yaml"
    path.write_text(study_yaml(study), encoding="utf-8")
    assert parse_study(read_study(str(path))) == study


def test_presets_are_valid_studies():
    assert "demo" in presets()
    for name in presets():
        assert parse_study(read_study(name)).name == name


def test_unreadable_studies_are_told(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'demo'"):
        read_study("demoo")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_study(str(tmp_path / "none.yaml"))
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [1\nb: {")
    with pytest.raises(SettingsError, match="no valid YAML"):
        read_study(str(bad))
    bad.write_text("- just\n- a list\n")
    with pytest.raises(SettingsError, match="holds no settings"):
        read_study(str(bad))


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(Study.model_fields)), yaml_values, max_size=4))
def test_any_yaml_gives_a_study_or_one_clear_line(raw):
    with contextlib.suppress(OutshineError):  # anything else fails the test
        assert isinstance(parse_study({**BASE, **yaml.safe_load(yaml.safe_dump(raw))}), Study)
