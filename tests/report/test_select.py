"""Which rows go into which figure, and what their series are called."""

from __future__ import annotations

import json
from hashlib import sha256

import pandas as pd

from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.losses.base import Loss
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic
from outshine.report.figures import series
from outshine.results.names import Contender
from outshine.results.results import SUMMARY_COLUMNS
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.base import Method
from outshine.w2s.methods.filtered import FilteredMethod
from outshine.w2s.methods.probe import ProbeMethod
from outshine.w2s.methods.probe_to_strong import ProbeToStrong
from outshine.w2s.methods.strong_to_strong import StrongToStrong
from outshine.w2s.methods.vanilla import Vanilla

DATASETS = ("sciq", "boolq")


def summary(*methods: Contender) -> pd.DataFrame:
    """A study's summary, a dataset after the other; every row's PGR is its number."""
    rows = [{"study": "s", "dataset": dataset, **method.facts()} for method in methods for dataset in DATASETS]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).assign(pgr=range(len(rows)))


def named(method: Method, loss: Loss | None, number: int = 0) -> Contender:
    """A method as the summary names it."""
    identity = identify(method, loss)
    own = (method.kind, identity.words, number, loss.kind if loss else "")
    return Contender(*own, identity.method_id, identity.settings)


def foreign(number: int = 0, loss: str = "", **settings: object) -> Contender:
    """A method of a package that is not installed here, known by its settings alone."""
    text = json.dumps({**settings, "loss": {"kind": loss} if loss else None})
    return Contender(str(settings["kind"]), "", number, loss, sha256(text.encode()).hexdigest()[:16], text)


def labels(frame: pd.DataFrame | None) -> list[str]:
    assert frame is not None
    assert not frame.duplicated(["dataset", "label"]).any()
    assert frame["dataset"].unique().tolist() == list(DATASETS)
    return frame["label"].unique().tolist()


VANILLA = named(Vanilla(), LogConf())
EVERYTHING = summary(
    VANILLA,
    named(Vanilla(loss=Xent()), Xent()),
    *(named(StrongToStrong(), LogConf(), number) for number in (1, 2)),
    named(ProbeMethod(), None),
    named(ProbeMethod(probe=KNN()), None),
    named(FilteredMethod(), LogConf()),
    named(FilteredMethod(filter=ProbeDisagreement(probe=KNN())), LogConf()),
    named(FilteredMethod(filter=ProbeDisagreement(probe=Logistic())), LogConf()),
    named(ProbeToStrong(probe=Logistic()), LogConf()),
    named(ProbeToStrong(probe=KNN()), LogConf()),
    foreign(kind="distilled", temperature=2, loss="logconf"),
)


def test_every_figure_of_a_whole_study():
    assert labels(series.reference(EVERYTHING)) == ["vanilla student"]
    assert labels(series.rounds(EVERYTHING)) == ["round 0 (vanilla)", "round 1", "round 2"]
    assert labels(series.losses(EVERYTHING)) == ["logconf", "xent"]
    assert labels(series.probes(EVERYTHING)) == ["vanilla student", "logistic probe", "kNN probe"]
    assert labels(series.changed_data(EVERYTHING)) == [
        "vanilla student",
        "TopoFilter",
        "filter by kNN probe",
        "filter by logistic probe",
        "probe to strong, logistic",
        "probe to strong, kNN",
    ]
    assert labels(series.other_methods(EVERYTHING)) == ["vanilla student", "distilled, temperature=2"]


def test_rows_are_those_of_the_summary():
    found = series.probes(EVERYTHING)
    assert found is not None
    knn = found[found["label"] == "kNN probe"]
    asked = EVERYTHING[(EVERYTHING["method"] == "probe") & (EVERYTHING["variant"] == "probe=knn")]
    assert knn["pgr"].tolist() == asked["pgr"].tolist()
    assert list(found.columns) == [*SUMMARY_COLUMNS, "label"]
    assert "label" not in EVERYTHING


def test_a_study_yields_only_the_figures_of_its_methods():
    plain = summary(VANILLA)
    assert labels(series.losses(plain)) == ["logconf"]
    for select_rows in (series.rounds, series.probes, series.changed_data, series.other_methods):
        assert select_rows(plain) is None
    assert series.losses(summary(named(ProbeMethod(), None))) is None


def test_the_reference_is_the_vanilla_student_with_the_studys_loss():
    xent = named(Vanilla(loss=Xent()), Xent())
    softer = named(Vanilla(loss=LogConf(alpha=0.3)), LogConf(alpha=0.3))
    study = summary(softer, xent, VANILLA, named(ProbeMethod(), None))
    assert series.reference(study)[["loss", "variant"]].drop_duplicates().values.tolist() == [["logconf", ""]]
    assert set(series.reference(study, "xent")["loss"]) == {"xent"}
    assert labels(series.losses(study)) == ["logconf, alpha=.3", "xent", "logconf"]


def test_the_reference_without_vanilla_training():
    only_probes = summary(named(ProbeMethod(), None), named(ProbeMethod(probe=KNN()), None))
    assert labels(series.reference(only_probes)) == ["logistic probe"]
    assert labels(series.probes(only_probes)) == ["logistic probe", "kNN probe"]


def test_settings_and_losses_are_told_where_they_are_not_the_references():
    usual = LogConf(alpha=0.3)
    study = summary(
        named(Vanilla(), usual),
        named(FilteredMethod(), usual),
        named(FilteredMethod(filter=TopoFilter(k=20), drop=0.2), usual),
        named(FilteredMethod(loss=Xent()), Xent()),
        named(ProbeToStrong(probe=KNN(k=5, metric="cosine"), layer="3/4"), usual),
    )
    assert labels(series.changed_data(study)) == [
        "vanilla student",
        "TopoFilter",
        "TopoFilter, drop=.2, k=20",
        "TopoFilter, xent",
        "probe to strong, kNN, layer=3/4, k=5, metric=cosine",
    ]


def test_no_two_methods_share_a_name():
    study = summary(
        named(Vanilla(), LogConf(alpha=0.3)),
        named(FilteredMethod(), LogConf(alpha=0.3)),
        named(FilteredMethod(loss=LogConf()), LogConf()),
    )
    assert labels(series.changed_data(study)) == ["vanilla student", "TopoFilter, loss.alpha=.3", "TopoFilter"]


def test_rounds_that_two_variants_share_are_drawn_once():
    study = summary(
        VANILLA,
        *(named(StrongToStrong(), LogConf(), number) for number in (1, 2)),
        *(named(StrongToStrong(rounds=3), LogConf(), number) for number in (1, 2, 3)),
        named(Vanilla(loss=Xent()), Xent()),
        named(StrongToStrong(loss=Xent()), Xent(), 1),
        named(Vanilla(loss=LogConf(alpha=0.1)), LogConf(alpha=0.1)),
    )
    assert labels(series.rounds(study)) == [
        *("round 0 (vanilla)", "round 0 (vanilla), xent", "round 1", "round 2", "round 3", "round 1, xent"),
    ]


def test_third_parties_are_called_by_the_names_they_registered():
    study = summary(
        VANILLA,
        foreign(kind="vanilla", loss="focal_loss"),
        foreign(kind="probe", probe={"kind": "random_forest", "trees": 9}),
        foreign(kind="filtered", filter={"kind": "small_loss"}, loss="logconf"),
        foreign(1, kind="co_teaching", loss="logconf"),
    )
    assert labels(series.losses(study)) == ["logconf", "focal_loss"]
    assert labels(series.probes(study)) == ["vanilla student", "random forest probe, trees=9"]
    assert labels(series.changed_data(study)) == ["vanilla student", "small loss"]
    assert labels(series.other_methods(study)) == ["vanilla student", "co teaching, round 1"]


def test_names_that_two_methods_would_share_carry_their_ids():
    """Two versions of a method, say, which write their settings in the same way."""
    first, second = (Contender("mixed", "share=.2", 0, "xent", name, "") for name in ("a" * 16, "b" * 16))
    study = summary(VANILLA, first, second)
    assert labels(series.other_methods(study)) == [
        *("vanilla student", "mixed, xent, share=.2", "mixed, xent, share=.2 #bbbbbb"),
    ]


def test_all_methods_side_by_side_have_the_reference_first_and_once():
    frame = summary(
        named(Vanilla(), Xent()),
        named(Vanilla(), LogConf()),
        named(StrongToStrong(), LogConf(), 1),
        named(StrongToStrong(), LogConf(), 2),
        named(ProbeMethod(), None),
    )
    found = series.methods(frame, "logconf")
    labels = list(dict.fromkeys(found["label"]))
    assert labels[0] == "vanilla student"
    assert len(labels) == 5
    assert found.loc[found["label"] == "vanilla student", "loss"].unique().tolist() == ["logconf"]
    assert len(found) == 5 * len(DATASETS)
