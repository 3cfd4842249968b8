"""`outshine push` with the hub's real client: what arrives, what never does, and what is refused."""

from __future__ import annotations

import io
import json
import os
import platform
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from outshine.w2s.study_file import parse_study

pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # of the hub's own client
    pytest.mark.slow,  # a study of its own
]

MARK = b"Quetzalcoatlus"
OF_A_MODEL = {
    *("README.md", "adapter_config.json", "adapter_model.safetensors", "classifier.json", "curve.parquet"),
    *("head.safetensors", "outshine.json", "predictions.parquet", "study.yaml", "summary.json"),
    *("tables/diagnostics.csv", "tables/pgr.csv", "tables/scores.csv", "tables/summary.csv"),
}
ALWAYS = {".gitattributes"}


def test_a_model_arrives_whole(ran, hub, push):
    key = ran.key("mine", "student", "vanilla")
    done = push(key[:12], "me/student", "--private")
    assert done.code == 0, done.err
    repository = hub.repositories["me/student"]
    assert repository.private
    assert repository.messages == ["outshine push: a model of study small"]
    assert set(repository.files) == OF_A_MODEL | ALWAYS
    artefact = ran.store.path(key)
    for name, stored in (
        ("adapter_model.safetensors", "adapter/adapter_model.safetensors"),
        ("head.safetensors", "head.safetensors"),
        ("predictions.parquet", "predictions.parquet"),
        ("curve.parquet", "curve.parquet"),
    ):
        assert repository.files[name] == (artefact / stored).read_bytes()
    assert any(oid in request for request in hub.requests for oid in hub.large), "nothing went over large-file storage"
    assert f"{hub.endpoint}/me/student, commit" in done.out
    described = json.loads(repository.files["outshine.json"])
    assert [model["key"] for model in described["models"]] == [key]
    assert described["models"][0]["fields"]["classifier"]["tuning"]["rank"] == 8


def test_no_text_place_host_or_secret_arrives(ran, hub, push, monkeypatch):
    monkeypatch.setenv("SOME_SECRET", "marker-9b74c9897bac")
    for number, what in enumerate((ran.key("mine", "student", "vanilla"), "small")):
        assert push(what, f"me/repo{number}", "--private").code == 0
    everything = hub.received + b"".join(
        content for repository in hub.repositories.values() for content in repository.files.values()
    )
    tables = [
        pd.read_parquet(io.BytesIO(content)).to_csv().encode()
        for repository in hub.repositories.values()
        for name, content in repository.files.items()
        if name.endswith(".parquet")
    ]
    assert len(tables) > 10
    everything += b"".join(tables)
    assert b"mine.jsonl" in everything  # the name of the file is told, and no more
    words = [MARK, str(ran.folder).encode(), b"marker-9b74c9897bac", os.environ["HF_TOKEN"].encode()]
    for word in [*words, f'"{platform.node()}"'.encode(), b"checkpoint_seconds", b"peak_memory"]:
        assert word not in everything, word
    ids = pd.read_parquet(io.BytesIO(hub.repositories["me/repo0"].files["predictions.parquet"]))["id"]
    assert ids.str.fullmatch("[0-9a-f]{16}").all()


def test_a_study_arrives_with_each_model_in_its_folder(ran, hub, push):
    done = push("small", "me/study", "--license", "mit")
    assert done.code == 0, done.err
    repository = hub.repositories["me/study"]
    assert not repository.private
    files = repository.files
    described = json.loads(files["outshine.json"])["models"]
    assert len({model["folder"] for model in described}) == len(described) == 10  # 5 of each dataset, no sweep
    assert {model["key"] for model in described} == {
        key for _, key in ran.results.scores[ran.results.scores["purpose"] != "sweep"]["key"].items()
    }
    for model in described:
        assert f"{model['folder']}/predictions.parquet" in files
        tuned = model["stage"] in ("supervised", "student", "control")
        assert (f"{model['folder']}/adapter_model.safetensors" in files) == tuned
    study = parse_study(yaml.safe_load(files["study.yaml"]))
    assert [dataset.name for dataset in study.datasets] == ["tiny-home", "mine"]
    scores = pd.read_csv(io.BytesIO(files["tables/scores.csv"]))
    np.testing.assert_allclose(scores["auroc"], ran.results.scores["auroc"])
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "mit"
    for model in described:
        assert model["folder"].removeprefix("models/") in card


@pytest.mark.parametrize(
    "what", ["folder", "digest", "key of a supervisor", "key of a ceiling", "key of a control", "key of a probe"]
)
def test_what_can_be_pushed(what, ran, hub, push):
    name = {
        "folder": str(ran.folder / "out"),
        "digest": next(iter(ran.store.documents("studies").names()))[:12],
        "key of a supervisor": ran.key("tiny-home", "weak"),
        "key of a ceiling": ran.key("tiny-home", "ceiling"),
        "key of a control": ran.key("tiny-home", "student", "control", "control"),
        "key of a probe": ran.key("tiny-home", "student", "probe"),
    }[what]
    done = push(name, "me/thing")
    assert done.code == 0, done.err
    files = set(hub.repositories["me/thing"].files)
    assert {"README.md", "outshine.json", "study.yaml"} <= files
    assert ("head.safetensors" in files) == (what in ("key of a supervisor", "key of a ceiling", "key of a control"))


def test_a_second_push_leaves_exactly_the_new_files(ran, hub, push):
    assert push("small", "me/thing").code == 0
    assert push(ran.key("tiny-home", "student", "vanilla"), "me/thing").code == 0
    assert set(hub.repositories["me/thing"].files) == OF_A_MODEL | ALWAYS


def test_a_dry_run_shows_files_and_card_and_asks_nobody(ran, client, push):
    from huggingface_hub import constants

    client.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    client.delenv("HF_TOKEN")
    key = ran.key("tiny-home", "student", "vanilla")
    done = push(key, "me/student", "--dry-run")
    assert (done.code, done.err) == (0, "")
    listed = set(re.findall(r"^([\w./]+)  \d+ k?B$", done.out, flags=re.MULTILINE))
    assert listed == OF_A_MODEL
    assert "# tiny/strong on tiny-home: a student of weak labels" in done.out
    document = json.loads(push(key, "me/student", "--dry-run", "--json").out)
    assert {one["path"] for one in document["files"]} == OF_A_MODEL
    assert document["url"] is None
    assert done.out.endswith(document["card"] + "\n")


def test_pushed_as_json(ran, hub, push):
    document = json.loads(push(ran.key("tiny-home", "ceiling"), "me/ceiling", "--json").out)
    assert document["url"] == f"{hub.endpoint}/me/ceiling"
    assert document["commit"] == hub.repositories["me/ceiling"].commit


def refused(outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    line = outcome.err.splitlines()[-1]
    assert line.startswith("outshine: ")
    for word in words:
        assert word in line, line


def test_a_repository_that_outshine_did_not_write_is_left_alone(ran, hub, push):
    key = ran.key("tiny-home", "student", "vanilla")
    assert push(key, "me/student").code == 0
    files = hub.repositories["me/student"].files
    files.clear()
    files["README.md"] = b"by hand"
    refused(push(key, "me/student"), "holds files that outshine did not write", "README.md")
    assert files == {"README.md": b"by hand"}


def test_nothing_private_is_pushed_into_the_open(ran, hub, push):
    key = ran.key("tiny-home", "student", "vanilla")
    assert push("small", "me/student").code == 0
    before = dict(hub.repositories["me/student"].files)
    refused(push(key, "me/student", "--private"), "exists and is public")
    assert hub.repositories["me/student"].files == before


def test_a_token_that_may_not_write_is_told(ran, hub, push, monkeypatch):
    key = ran.key("tiny-home", "student", "vanilla")
    monkeypatch.setenv("HF_TOKEN", "hf_readsonly0a1b2c3d")
    refused(push(key, "me/student"), "does not let this token write to 'me/student'", "403")
    monkeypatch.delenv("HF_TOKEN")
    refused(push(key, "me/student"), "no token", "HF_TOKEN")
    assert hub.repositories == {}


def test_a_licence_that_the_hub_does_not_know_is_told(ran, hub, push):
    refused(push("small", "me/student", "--license", "mine"), "must be one of", "--license")


def test_a_hub_that_answers_later_is_tried_again(ran, hub, push):
    hub.failures[:] = [503, 502]
    assert push(ran.key("tiny-home", "student", "vanilla"), "me/student").code == 0


def test_a_hub_that_does_not_answer_is_told(ran, client, push):
    from huggingface_hub import constants

    client.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused(push(ran.key("tiny-home", "student", "vanilla"), "me/student"), "http://127.0.0.1:9 cannot be reached")
    client.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(push(ran.key("tiny-home", "student", "vanilla"), "me/student"), "HF_HUB_OFFLINE is set")


@pytest.mark.parametrize("repo", ["student", "me/", "me/a/b", "../x", "me/--x", "me/x y", "me/" + "x" * 200])
def test_a_name_that_no_repository_can_have_is_refused(repo, hub, push):
    refused(push("small", repo), "names no repository of the hub")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("smal", ("unknown study", "did you mean 'small'")),
        ("ffffffffffff", ("no artefact has a key beginning with 'ffffffffffff'",)),
        ("prepare", ("expected is a supervisor, student, ceiling, control or probe",)),
    ],
)
def test_what_cannot_be_pushed_is_told(what, words, ran, hub, push):
    if what == "prepare":
        what = next(key for key in ran.store.keys() if ran.store.done(key)["stage"] == "prepare")  # noqa: SIM118
    refused(push(what, "me/thing"), *words)
    assert hub.requests == []


def test_a_model_without_a_study_is_told(ran, hub, push):
    records = Path(ran.store.root) / "studies"
    away = records.rename(records.with_name("away"))
    try:
        refused(push(ran.key("tiny-home", "ceiling"), "me/thing"), "no study recorded", "run its study once more")
    finally:
        away.rename(records)
