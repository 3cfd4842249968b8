"""What TAB offers: the names that there are, had without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import outshine
from outshine.cli import completion
from outshine.data.schema import recipes
from outshine.data.user_datasets import OWN_KINDS
from outshine.engine.run.workers import LocalWorkers, RayWorkers
from outshine.learn.losses import losses
from outshine.share.trackers import TRACKERS
from outshine.w2s.study_file import presets

COMPLETE = """
import sys
from outshine.cli.main import main
try:
    main()
finally:
    heavy = {"torch", "transformers", "pandas", "sklearn"} & set(sys.modules)
    assert not heavy, heavy
"""


def completed(folder: Path, line: str, **given: str) -> list[str]:
    """What bash is told when TAB is pressed at the end of the line."""
    words = line.split(" ")
    asked = {"_OUTSHINE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    own = {"PYTHONPATH": str(Path(outshine.__file__).parents[1]), "OUTSHINE_STORE": str(folder / "store")}
    script = folder / "outshine"  # completion goes by the name of the command
    script.write_text(COMPLETE)
    ended = subprocess.run(
        [sys.executable, str(script)], env={**os.environ, **own, **asked, **given}, capture_output=True, timeout=60
    )
    assert ended.stderr == b"", ended.stderr.decode()
    return ended.stdout.decode().split()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("outshine st", ["studies"]),
        ("outshine run post-", ["post-small"]),
        ("outshine run --dataset sciq,tiny-p", ["sciq,tiny-pet"]),
        ("outshine run --strong tiny/s", ["tiny/strong"]),
        ("outshine run --loss xent,w", ["xent,window"]),
        ("outshine run --log wandb,t", ["wandb,tensorboard", "wandb,trackio"]),
        ("outshine run --executor ", ["local", "ray"]),
        ("outshine audit quar", ["quartz"]),
    ],
)
def test_bash_is_offered(line: str, offered: list[str], tmp_path: Path) -> None:
    assert completed(tmp_path, line) == offered


def test_the_names_are_those_of_the_registries() -> None:
    assert completion.losses("") == losses.names()
    assert completion.datasets("") == sorted(set(recipes.names()) - set(OWN_KINDS))
    assert completion.trackers("") == sorted(TRACKERS)
    assert completion.executors("") == [LocalWorkers().kind, RayWorkers().kind]


def test_what_is_in_a_list_is_not_offered_again() -> None:
    assert completion.losses("xent,") == [f"xent,{name}" for name in losses.names() if name != "xent"]


def test_studies_that_ran_are_offered_from_a_folder_and_not_from_a_url(tmp_path, monkeypatch) -> None:
    from outshine.engine.store.store import Store

    store = Store(tmp_path / "store")
    store.documents("studies").write("a" * 64, {"name": "mine"})
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path / "store"))
    assert completion.recorded("m") == ["mine"]
    assert completion.studies("") == sorted(["mine", *presets()])
    monkeypatch.setenv("OUTSHINE_STORE", "s3://nowhere/store")
    assert completion.recorded("") == []


def test_a_store_that_cannot_be_read_offers_nothing(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("no store")
    monkeypatch.setenv("OUTSHINE_STORE", str(tmp_path / "file"))
    assert completion.recorded("") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_the_shell_can_be_had(shell: str, outshine, monkeypatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    outcome = outshine("--show-completion", shell)
    assert outcome.code == 0, outcome.err
    assert f"COMPLETE=complete_{shell}" in outcome.out
