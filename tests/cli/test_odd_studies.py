"""Study files whose values are of another shape than a setting's, with each option that changes a study: one line."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml

from calling import Run
from outshine.cli.find_study import build_study
from outshine.cli.options import SizeOptions, StudyOptions
from outshine.engine.errors import OutshineError
from outshine.w2s.study import Study

ODD: list[Any] = [
    ["file", "9"], [], {}, 5, True, None, "x", "x.csv", [[]], [None], [["file", "9"]], [{"kind": ["a"]}], {"a": [1]},
    ["vanilla", ["file", "9"]], [{"kind": "vanilla", "loss": ["a"]}], {1: 2},
]  # fmt: skip
OPTIONS: list[dict[str, Any]] = [
    {},
    {"loss": "xent,logconf"},
    {"loss": "xent"},
    {"seed": "0,1"},
    {"dataset": "tiny-home", "weak": "tiny/weak", "strong": "tiny/strong"},
    {"sizes": SizeOptions(64, 16, 16)},
    {"controls": True, "trajectories": True},
    {"executor": {"kind": "ray"}},
    {"executor": {"workers": 2}},
    *({"settings": [f"FIELD{path}=1"]} for path in ("", ".a", ".0", ".0.kind", ".kind", ".a.b")),
]


@pytest.mark.slow
@pytest.mark.parametrize("field", [*Study.model_fields, "nonsense"])
def test_an_odd_value_is_taken_or_refused_whatever_the_options(field, tmp_path):
    path, refusals = tmp_path / "study.yaml", []
    for value, given in itertools.product(ODD, OPTIONS):
        raw = {"datasets": ["tiny-home"], "weak": "tiny/weak", "strong": "tiny/strong", field: value}
        path.write_text(yaml.safe_dump(raw))
        options = {name: [text.replace("FIELD", field) for text in one] if name == "settings" else one
                   for name, one in given.items()}  # fmt: skip
        executor = options.pop("executor", None)
        try:
            assert isinstance(build_study(StudyOptions(str(path), **options), executor=executor), Study)
        except OutshineError as error:
            refusals.append(str(error))
    assert refusals
    assert not [told for told in refusals if "\n" in told]


@pytest.mark.parametrize("method", ["[file, '9']", "[kind, vanilla]", "5", "[]", "[[a, b]]"])
def test_what_is_no_method_is_told_the_same_with_several_losses(method, outshine: Run, tmp_path):
    path = tmp_path / "odd.yaml"
    path.write_text(f"datasets: [tiny-home]\nweak: tiny/weak\nstrong: tiny/strong\nmethods: [vanilla, {method}]\n")
    plain, several = (outshine("plan", str(path), "--offline", *given) for given in ((), ("--loss", "xent,logconf")))
    for outcome in (plain, several):
        assert outcome.code == 2
        assert outcome.err.startswith("outshine: ")
        assert len(outcome.err.splitlines()) == 1
        assert "is no method" in outcome.err
