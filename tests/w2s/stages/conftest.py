"""Fixtures of the stages tests: a prepared tiny dataset and an executor."""

from __future__ import annotations

from pathlib import Path

import pytest

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.w2s.stages.prepare import Prepare, Texts


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Texts]:
    """A store's folder and the texts prepared in it. Not to be changed by a test."""
    store = Store(tmp_path_factory.mktemp("prepared"))
    prepare = Prepare.of(recipes.parse("tiny-pet"), SplitSettings(n_train=160, n_val=50, n_test=40))
    LocalExecutor(store, Runtime(threads=1), Silent()).run([prepare])
    return store.root, Texts.of(prepare, store)


@pytest.fixture
def executor(prepared: tuple[Path, Texts], tmp_path: Path) -> LocalExecutor:
    """An executor with a store of its own in which the texts are prepared."""
    import shutil

    shutil.copytree(prepared[0], tmp_path / "store")
    return LocalExecutor(Store(tmp_path / "store"), Runtime(threads=1), Silent())


@pytest.fixture
def texts(prepared: tuple[Path, Texts]) -> Texts:
    return prepared[1]
