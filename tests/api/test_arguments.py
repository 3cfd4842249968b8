"""Wrong arguments from Python: told in one line, with the name that was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import outshine


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: outshine.run(weak="tiny/weak"), r"outshine.run: unknown argument 'weak': .*Study\(weak=…\)"),
        (lambda: outshine.run(None, progres=1), "unknown argument 'progres'; did you mean 'progress'"),
        (lambda: outshine.run(None, colour=1), "unknown argument 'colour'; known: study, store, out"),
        (lambda: outshine.run(), "missing a required argument: 'study'"),
        (lambda: outshine.load("abc", stor="x"), "did you mean 'store'"),
        (lambda: outshine.select(None, draws=5), "outshine.select: .*'draws'"),
        (lambda: outshine.label("x.csv", weak_labels="a", strong="s"), "did you mean 'weak_label'"),
        (lambda: outshine.label("x.csv", strong="s"), "missing a required (keyword-only )?argument: 'weak_label'"),
    ],
)
def test_arguments_of_functions(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(TypeError, match=told) as caught:
        call()
    assert isinstance(caught.value, outshine.OutshineError)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: outshine.Study(dataset=["sciq"]), "unknown setting 'dataset'; did you mean 'datasets'"),
        (lambda: outshine.Study(datasets=["sciq"], strnog="x"), "did you mean 'strong'"),
        (lambda: outshine.Study(datasets=["sciq"], training={"epoch": 1}), "'training.epoch'; did you mean 'epochs'"),
        (lambda: outshine.Study(datasets=["sciq"], seeds=["one"]), "'seeds.0'"),
        (lambda: outshine.Study(self=1), "unknown setting 'self'"),  # as a study file may have it
        (lambda: outshine.label("x.csv", weak_label="a", strong="s", fold=3), "did you mean 'folds'"),
        (
            lambda: outshine.label("x.csv", weak_label="a", strong="s", columns={"positve": 1}),
            "did you mean 'positive'",
        ),
    ],
)
def test_settings(call: Callable[[], Any], told: str) -> None:
    with pytest.raises(outshine.OutshineError, match=told) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_functions_keep_their_names_and_signatures() -> None:
    import inspect

    assert outshine.run.__name__ == "run"
    assert list(inspect.signature(outshine.run).parameters)[:3] == ["study", "store", "out"]
