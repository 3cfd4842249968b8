"""What tells two methods apart: every setting, to the last bit; words are for people only."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pandas as pd
import pytest
from pydantic import Field

from outshine.engine.settings import Plugin
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.losses.base import Loss, losses
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent
from outshine.learn.probes.base import probes
from outshine.learn.probes.knn import KNN
from outshine.results.names import Contender, labels
from outshine.w2s.method_identity import described, identify
from outshine.w2s.methods.base import Method, methods
from outshine.w2s.methods.filtered import FilteredMethod
from outshine.w2s.methods.probe import ProbeMethod
from outshine.w2s.methods.vanilla import Vanilla


class _ThirdParty(Method):
    alpha: float = Field(default=0.5)
    note: str = ""

    def wire(self, lab):
        return lab.wiring(lab.student(lab.weak_labels, self.loss))


class Mix(_ThirdParty):
    """A method with a setting that has the name of a loss's."""

    kind = "mix"


class Blend(_ThirdParty):
    """Another with the same fields."""

    kind = "blend"


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (Xent(), ""),
        (LogConf(), ""),
        (LogConf(alpha=0.3), "loss.alpha=.3"),
        (LogConf(alpha=0.25, window=16), "loss.alpha=.25, loss.window=16"),
        (LogConf(alpha=1.0), "loss.alpha=1"),
        (LogConf(alpha=0.5000001), "loss.alpha=.5000001"),
    ],
)
def test_words_tell_what_differs_from_the_defaults_and_whose_it_is(loss, words):
    assert identify(Vanilla(), loss).words == words
    assert identify(Vanilla(loss=loss), loss).words == words


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (ProbeMethod(), "probe=logistic"),
        (ProbeMethod(probe=KNN(k=5), layer="3/4"), "layer=3/4, probe=knn(k=5)"),
        (FilteredMethod(), "filter=topofilter"),
        (FilteredMethod(filter=ProbeDisagreement(), drop=0.2), "filter=probe_disagreement(probe=knn), drop=.2"),
        (Mix(note="a, loss.alpha=.3"), 'note="a, loss.alpha=.3"'),
    ],
)
def test_probes_and_filters_are_always_named(method, words):
    assert identify(method, None).words == words


def test_the_id_is_the_sha256_of_the_settings_and_these_are_what_a_study_may_hold():
    method = FilteredMethod(filter=TopoFilter(k=20), drop=0.2)
    found = identify(method, LogConf(alpha=0.3))
    assert found.method_id == hashlib.sha256(found.settings.encode()).hexdigest()[:16]
    settings = json.loads(found.settings)
    assert settings["drop"] == 0.2
    assert settings["filter"]["k"] == 20
    assert settings["loss"]["alpha"] == 0.3
    again = methods.parse(settings)
    assert again == method.model_copy(update={"loss": LogConf(alpha=0.3)})
    assert identify(again, again.loss) == found
    assert described(found.settings).method == method
    assert described(found.settings).loss == LogConf(alpha=0.3)


def test_a_loss_that_is_named_and_the_studys_own_make_one_method():
    assert identify(Vanilla(loss=Xent()), Xent()) == identify(Vanilla(), Xent())
    assert identify(Vanilla(loss=Xent()), LogConf()) != identify(Vanilla(), LogConf())


def _other(value: Any) -> Any:
    """A value of the same type that differs by as little as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * (1 - 1e-9) if value else 1e-9
    return None


def _neighbours(plugin: Any) -> list[Any]:
    """The plugin with each of its settings changed, one at a time, those of plugins within it too."""
    found = []
    for name in type(plugin).model_fields:
        value = getattr(plugin, name)
        nested = _neighbours(value) if isinstance(value, Plugin) else []
        for other in [*nested, *([_other(value)] if _other(value) is not None else [])]:
            try:
                found.append(
                    type(plugin)(**{**{each: getattr(plugin, each) for each in type(plugin).model_fields}, name: other})
                )
            except ValueError:
                continue  # a setting that may not have this value
    return found


def test_no_two_settings_share_an_identity():
    """Over all methods, probes, losses, each with every setting changed, and third parties with fields of one name."""
    all_losses = [one for _, cls in losses for plain in [cls()] for one in (plain, *_neighbours(plain))]
    plain_methods = [cls() for name, cls in methods if name != "control"]
    plain_methods += [methods.parse({"kind": "control", "labels": one}) for one in ("shuffled", "random")]
    plain_methods += [ProbeMethod(probe=cls()) for _, cls in probes] + [Mix(), Blend(), Mix(note="x"), Mix(note="x, y")]
    all_methods = [one for plain in plain_methods for one in (plain, *_neighbours(plain))]
    assert len(all_methods) > 30
    assert len(all_losses) > 8
    pairs = {(repr(method), repr(loss)): (method, loss) for method in all_methods for loss in (None, *all_losses)}
    found = [identify(*pair) for pair in pairs.values()]
    assert len({one.method_id for one in found}) == len(pairs)
    assert len({one.settings for one in found}) == len(pairs)
    assert len({(pair[0].kind, getattr(pair[1], "kind", ""), one.words) for pair, one in zip(pairs.values(), found, strict=True)}) == len(pairs)  # fmt: skip


def test_a_table_read_back_from_csv_names_the_same_methods(tmp_path):
    several = [(Mix(alpha=0.3), LogConf()), (Mix(), LogConf(alpha=0.3)), (Vanilla(), LogConf(alpha=0.5 + 1e-9))]
    rows = []
    for method, loss in several:
        one = identify(method, loss)
        own = {"method": method.kind, "variant": one.words, "round": 0, "loss": loss.kind}
        rows.append({**own, "method_id": one.method_id, "settings": one.settings})
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    again = [Contender.of(row) for row in pd.read_csv(tmp_path / "table.csv").to_dict("records")]
    assert again == [Contender.of(row) for row in rows]
    assert len(set(labels(again).values())) == 3


def test_of_tables_without_ids_the_words_stand_for_them():
    row = {"method": "vanilla", "variant": "", "round": 0, "loss": "xent"}
    assert Contender.of(row) == Contender.of({**row, "method_id": float("nan"), "settings": None})
    assert Contender.of(row) != Contender.of({**row, "loss": "logconf"})


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "3", '{"kind": "vanilla", "loss": {"kind": "gone"}}', '{"kind": 7}']
)
def test_settings_of_strangers_describe_what_is_known_and_raise_nothing(text):
    found = described(text)
    assert found.loss is None
    assert isinstance(found.raw, dict)


def test_a_loss_without_a_name_has_no_identity():
    class Nameless(Loss):
        def start(self, labels, num_updates):
            raise NotImplementedError

    with pytest.raises(TypeError, match="no name"):
        identify(Vanilla(), Nameless())
