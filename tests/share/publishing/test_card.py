"""The card: it says what the tables say, its code loads the model, and nothing in a name formats it."""

from __future__ import annotations

import ast
import json
import re

import pandas as pd
import pytest
import yaml

import outshine
from outshine.data.audit.findings import Finding
from outshine.report.text import auroc_text
from outshine.share.card import Verbatim, _loading, _metadata, card, code, inert, table
from outshine.share.publication import of_key, of_study
from outshine.share.redact import Places
from outshine.w2s.stages.audit import Audit
from outshine.w2s.study_file import parse_study, read_study

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # of the hub's own client
    pytest.mark.slow,  # a study of its own
]

MARK = "Quetzalcoatlus"  # a token of a text


def front_matter(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def python_of(text: str) -> str:
    """The code that needs no outshine."""
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[0]


def test_it_says_what_the_tables_say(ran):
    key = ran.key("tiny-home", "student", "vanilla")
    text = card(of_key(key, ran.store), ran.store, "me/student", None)
    scores = ran.results.scores
    for _, row in scores[scores["key"] == key].iterrows():
        shown = inert(auroc_text(row["auroc"], row["auroc_low"], row["auroc_high"]))
        assert f"| {inert(row['split'])} | {row['n']} | {shown} |" in text
    row = ran.results.summary.query("dataset == 'tiny-home' and method == 'vanilla'").iloc[0]
    for role in ("weak", "student", "ceiling"):
        assert inert(auroc_text(row[f"{role}_auroc"], row[f"{role}_low"], row[f"{role}_high"])) in text
    assert f"`{key}`" in text
    assert "trained on labels of tiny/weak, errors included" in text
    assert "No licence is stated" in text
    assert "were balanced by their ground truth" in text
    assert front_matter(text) == {
        "library_name": "peft",
        "pipeline_tag": "text-classification",
        "tags": ["outshine", "weak-to-strong-generalization", "lora"],
    }
    assert "\n\n\n\n" not in text


@pytest.mark.parametrize(
    ("role", "method", "purpose", "words"),
    [
        ("weak", "", "", "It is the weak supervisor of a weak-to-strong study"),
        ("ceiling", "", "", "It is the strong ceiling of a weak-to-strong"),
        ("student", "control", "control", "made as a control (labels=shuffled)"),
        ("student", "probe", "method", "a student of weak labels"),
    ],
)
def test_each_role_is_called_what_it_is(role, method, purpose, words, ran, monkeypatch):
    found = [Finding("last tokens", "warning", f"{MARK} tells all", 0.9), Finding("format", "passed", "fine", 0.5)]
    monkeypatch.setattr(Audit, "read", lambda stage, store: found)
    text = card(of_key(ran.key("mine", role, method, purpose), ran.store), ran.store, "me/thing", "mit")
    assert words in text
    assert "gives its licence as `mit`" in text
    assert text.count("Audit of mine") == 1
    assert "Audit of mine: warning, last tokens." in text
    assert MARK not in text


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
def test_its_code_gives_the_predictions(ran, hub, push, monkeypatch):
    """The code of the card, run against the hub, on short texts of the study."""
    pytest.importorskip("peft", reason="peft is not installed: the card's code is not run")
    for what, repo in ((ran.key("tiny-home", "student", "vanilla"), "me/student"), ("small", "me/study")):
        assert push(what, repo).code == 0
        text = hub.repositories[repo].files["README.md"].decode()
        space: dict = {}
        exec(compile(python_of(text), repo, "exec"), space)
        described = json.loads(hub.repositories[repo].files["outshine.json"])["models"]
        key = next(model["key"] for model in described if model["folder"] == space.get("FOLDER", "."))
        predicted = pd.read_parquet(ran.store.path(key) / "predictions.parquet").set_index("id")["log_odds"]
        texts = pd.concat(pd.read_parquet(path) for path in ran.store.root.glob("artefacts/*/*/texts.parquet"))
        rows = texts[texts["id"].isin(predicted.index)].head(8)
        assert len(rows) == 8
        for row in rows.itertuples():
            assert space["log_odds"](row.text) == pytest.approx(predicted[row.id], abs=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
@pytest.mark.parametrize("dataset", ["tiny-instrument-family", "tiny-food-answers"])
def test_its_code_gives_the_predictions_of_classes_and_pairs(dataset, other_tasks, tmp_path, monkeypatch):
    pytest.importorskip("peft", reason="peft is not installed: the card's code is not run")
    store, key = other_tasks.store, other_tasks.key(dataset, "student", "vanilla")
    text, loaded = card(of_key(key, store), store, str(tmp_path), None), outshine.load(key, store=store.root)
    loaded.save_pretrained(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name: f"{repo}/{name}")
    space: dict = {}
    exec(compile(python_of(text), "card", "exec"), space)
    predicted, of_pairs = loaded.predictions.set_index("id"), dataset == "tiny-food-answers"
    for row in loaded.texts[loaded.texts["id"].isin(predicted.index)].head(6).itertuples():
        stored = predicted.loc[row.id]
        if of_pairs:
            found, expected = space["reward"](row.text) - space["reward"](row.text_b), stored["log_odds"]
        else:
            found, expected = space["probabilities"](row.text), [stored[f"p_{number}"] for number in range(4)]
        assert found == pytest.approx(expected, abs=1e-4)
    assert ("were balanced by their ground truth" in text) == of_pairs
    (call,) = re.findall(r"predict_proba\((.*)\)\n", text)
    assert len(loaded.predict_proba(ast.literal_eval(call))) == (1 if of_pairs else 2)


def test_a_model_of_the_hub_is_named_with_its_commit(ran):
    subject = of_key(ran.key("tiny-home", "student", "vanilla"), ran.store)
    (model,) = subject.models
    ref = model.stage.classifier.model.model_copy(
        update={"identity": f"hub:org/base@{'c' * 40}", "name": "org/base", "folder": None}
    )
    spec = model.stage.classifier.model_copy(update={"model": ref, "num_layers": 1})
    stage = model.stage.model_copy(update={"classifier": spec})
    changed = subject._replace(models=[model._replace(stage=stage)])
    assert yaml.safe_load(_metadata(changed, "mit"))["base_model"] == ["org/base"]
    loading = _loading(changed.models[0], changed)
    assert (loading["base"], loading["revision"], loading["embedded"], loading["local"]) == (
        "org/base",
        "c" * 40,
        False,
        False,
    )
    assert loading["num_layers"] == 1


def test_the_whole_study_has_one_card(ran):
    study = parse_study(read_study(str(ran.folder / "out" / "study.yaml")))
    text = card(of_study(study, ran.store), ran.store, "me/study", None)
    assert "# small: models of a weak-to-strong study" in text
    assert "Controls, means over datasets" in text
    assert "* supervisors: `tiny/weak`, `sha256:" in text
    assert "* students and ceilings: `tiny/strong`, `sha256:" in text
    assert len(re.findall(r"\| student \| (?:vanilla|probe)", text)) == 4  # for each of two datasets
    assert len(re.findall(r"\| control \| control", text)) == 2
    assert str(ran.folder) not in text
    assert "mine.jsonl" not in text  # its digest says which file it was
    assert r"from …/notes \<b\>\*bold\*\</b\>" in text


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "<script>x</script>",
        "[a](b)",
        "![a](b)",
        "`a`",
        "*a* _b_",
        "a\n# b",
        "a\n\n---\n",
        "~~a~~",
        "\x1b[31m",
        "\\",
        "www.evil.example me@evil.example &lt;b&gt; $$x^2$$ :skull: @someone me/x#1",
    ],
)
def test_text_formats_nothing(text):
    shown = inert(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]<>|~&$@]|www\.", re.sub("</?span>", "", shown))
    assert not re.search(r"\w\\?@|\\?:\w+:", shown)  # each of these signs has a span around it
    row = table(["a", "b"], [(text, "x")])
    assert len(row.splitlines()) == 3
    assert len(re.findall(r"(?<!\\)\|", row.splitlines()[2])) == 3
    assert code(text).count("`") == 2
    assert type(code(text)) is Verbatim


def test_paths_become_names():
    places = Places(["/data/private/mine.jsonl", "/data/private/models/big", "/data/private/models/big-2"])
    assert places.hidden("see /data/private/mine.jsonl, please") == "see mine.jsonl, please"
    assert places.hidden(["/data/private/models/big-2/x", {"a": "/data/private/models/big"}]) == [
        "big-2/x",
        {"a": "big"},
    ]
    assert places.hidden("in /data/private/other.csv") == "in …/other.csv"
    assert places.hidden("x/data/private/models/bigger") == "x/data/private/models/bigger"
    assert Places(["big"]).hidden("big data") == "big data"
    assert places.hidden(0.5) == 0.5
    frame = pd.DataFrame({"strong": ["/data/private/models/big"], "auroc": [0.5]})
    assert places.hidden_frame(frame).to_dict("records") == [{"strong": "big", "auroc": 0.5}]
