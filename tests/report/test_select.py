"""Which rows go into which figure, and what their series are called."""

from __future__ import annotations

import pandas as pd
import pytest

from outshine.analysis.contenders import Contender
from outshine.analysis.results import SUMMARY_COLUMNS
from outshine.analysis.variant import variant
from outshine.filters.probe_disagreement import ProbeDisagreement
from outshine.filters.topofilter import TopoFilter
from outshine.losses.base import Loss
from outshine.losses.logconf import LogConf
from outshine.losses.xent import Xent
from outshine.methods.base import Method
from outshine.methods.filtered import FilteredMethod
from outshine.methods.probe import ProbeMethod
from outshine.methods.probe_to_strong import ProbeToStrong
from outshine.methods.strong_to_strong import StrongToStrong
from outshine.methods.vanilla import Vanilla
from outshine.probes.knn import KNN
from outshine.probes.logistic import Logistic
from outshine.report.figures import select
from outshine.report.figures.labels import split_variant

DATASETS = ("sciq", "boolq")


def summary(*methods: tuple[str, str, int, str]) -> pd.DataFrame:
    """A study's summary, a dataset after the other; every row's PGR is its number."""
    rows = [
        {"study": "s", "dataset": dataset, **Contender(*method)._asdict()} for method in methods for dataset in DATASETS
    ]
    return pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS)).assign(pgr=range(len(rows)))


def named(method: Method, loss: Loss | None, number: int = 0) -> tuple[str, str, int, str]:
    """A method as the summary names it."""
    return (method.kind, variant(method, loss), number, loss.kind if loss else "")


def labels(frame: pd.DataFrame | None) -> list[str]:
    assert frame is not None
    assert not frame.duplicated(["dataset", "label"]).any()
    assert frame["dataset"].unique().tolist() == list(DATASETS)
    return frame["label"].unique().tolist()


VANILLA = named(Vanilla(), LogConf())
EVERYTHING = summary(
    VANILLA,
    named(Vanilla(loss=Xent()), Xent()),
    *(named(StrongToStrong(), LogConf(), number) for number in range(3)),
    named(ProbeMethod(), None),
    named(ProbeMethod(probe=KNN()), None),
    named(FilteredMethod(), LogConf()),
    named(FilteredMethod(filter=ProbeDisagreement(probe=KNN())), LogConf()),
    named(FilteredMethod(filter=ProbeDisagreement(probe=Logistic())), LogConf()),
    named(ProbeToStrong(probe=Logistic()), LogConf()),
    named(ProbeToStrong(probe=KNN()), LogConf()),
    ("distilled", "temperature=2", 0, "logconf"),
)


def test_every_figure_of_a_whole_study():
    assert labels(select.reference(EVERYTHING)) == ["vanilla student"]
    assert labels(select.rounds(EVERYTHING)) == ["round 0 (vanilla)", "round 1", "round 2"]
    assert labels(select.losses(EVERYTHING)) == ["logconf", "xent"]
    assert labels(select.probes(EVERYTHING)) == ["vanilla student", "logistic probe", "kNN probe"]
    assert labels(select.changed_data(EVERYTHING)) == [
        "vanilla student",
        "TopoFilter",
        "filter by kNN probe",
        "filter by logistic probe",
        "probe to strong, logistic",
        "probe to strong, kNN",
    ]
    assert labels(select.other_methods(EVERYTHING)) == ["vanilla student", "distilled, temperature=2"]


def test_rows_are_those_of_the_summary():
    found = select.probes(EVERYTHING)
    assert found is not None
    knn = found[found["label"] == "kNN probe"]
    asked = EVERYTHING[(EVERYTHING["method"] == "probe") & (EVERYTHING["variant"] == "probe=knn")]
    assert knn["pgr"].tolist() == asked["pgr"].tolist()
    assert list(found.columns) == [*SUMMARY_COLUMNS, "label"]
    assert "label" not in EVERYTHING


def test_a_study_yields_only_the_figures_of_its_methods():
    plain = summary(VANILLA)
    assert labels(select.losses(plain)) == ["logconf"]
    for select_rows in (select.rounds, select.probes, select.changed_data, select.other_methods):
        assert select_rows(plain) is None
    assert select.losses(summary(named(ProbeMethod(), None))) is None


def test_the_reference_is_the_vanilla_student_with_the_studys_loss():
    xent = named(Vanilla(loss=Xent()), Xent())
    softer = named(Vanilla(loss=LogConf(alpha=0.3)), LogConf(alpha=0.3))
    study = summary(softer, xent, VANILLA, named(ProbeMethod(), None))
    assert select.reference(study)[["loss", "variant"]].drop_duplicates().values.tolist() == [["logconf", ""]]
    assert set(select.reference(study, "xent")["loss"]) == {"xent"}
    assert labels(select.losses(study)) == ["logconf, alpha=.3", "xent", "logconf"]


def test_the_reference_without_vanilla_training():
    rounds = [named(StrongToStrong(), LogConf(), number) for number in range(3)]
    study = summary(*rounds, named(ProbeMethod(), None))
    assert labels(select.reference(study)) == ["vanilla student"]
    assert set(select.reference(study)["round"]) == {0}
    assert labels(select.probes(study)) == ["vanilla student", "logistic probe"]
    only_probes = summary(named(ProbeMethod(), None), named(ProbeMethod(probe=KNN()), None))
    assert labels(select.reference(only_probes)) == ["logistic probe"]
    assert labels(select.probes(only_probes)) == ["logistic probe", "kNN probe"]


def test_settings_and_losses_are_told_where_they_are_not_the_references():
    usual = LogConf(alpha=0.3)
    study = summary(
        named(Vanilla(), usual),
        named(FilteredMethod(), usual),
        named(FilteredMethod(filter=TopoFilter(k=20), drop=0.2), usual),
        named(FilteredMethod(loss=Xent()), Xent()),
        named(ProbeToStrong(probe=KNN(k=5, metric="cosine"), layer="3/4"), usual),
    )
    assert labels(select.changed_data(study)) == [
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
    assert labels(select.changed_data(study)) == ["vanilla student", "TopoFilter, alpha=.3", "TopoFilter"]


def test_rounds_that_two_variants_share_are_drawn_once():
    study = summary(
        *(named(StrongToStrong(), LogConf(), number) for number in range(3)),
        *(named(StrongToStrong(rounds=3), LogConf(), number) for number in range(4)),
        *(named(StrongToStrong(loss=Xent()), Xent(), number) for number in range(2)),
    )
    assert labels(select.rounds(study)) == [
        *("round 0 (vanilla)", "round 1", "round 2", "round 3", "round 0 (vanilla), xent", "round 1, xent"),
    ]


def test_third_parties_are_called_by_the_names_they_registered():
    study = summary(
        VANILLA,
        ("vanilla", "", 0, "focal_loss"),
        ("probe", "probe=random_forest(trees=9)", 0, ""),
        ("filtered", "filter=small_loss", 0, "logconf"),
        ("co_teaching", "", 1, "logconf"),
    )
    assert labels(select.losses(study)) == ["logconf", "focal_loss"]
    assert labels(select.probes(study)) == ["vanilla student", "random forest probe, trees=9"]
    assert labels(select.changed_data(study)) == ["vanilla student", "small loss"]
    assert labels(select.other_methods(study)) == ["vanilla student", "co teaching, round 1"]


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("", {}),
        ("alpha=.3", {"alpha": ".3"}),
        ("probe=knn(k=5, metric=cosine), layer=3/4", {"probe": "knn(k=5, metric=cosine)", "layer": "3/4"}),
        ("filter=a(probe=b(c=1, d=2), e=3), f=4", {"filter": "a(probe=b(c=1, d=2), e=3)", "f": "4"}),
        ("bare", {"bare": ""}),
    ],
)
def test_variants_are_taken_apart(text, settings):
    assert split_variant(text) == settings


def test_all_methods_side_by_side_have_the_reference_first_and_once():
    """Round 0 is the vanilla student where loss and settings are its own, and a method of its own elsewhere."""
    frame = summary(
        named(Vanilla(), Xent()),
        named(Vanilla(), LogConf()),
        named(StrongToStrong(), LogConf()),
        named(StrongToStrong(), LogConf(), 1),
        named(StrongToStrong(), Xent()),
        named(ProbeMethod(), None),
    )
    found = select.methods(frame, "logconf")
    labels = list(dict.fromkeys(found["label"]))
    assert labels[0] == "vanilla student"
    assert len(labels) == 5
    assert found.loc[found["label"] == "vanilla student", "loss"].unique().tolist() == ["logconf"]
    dropped = (found["method"] == "strong_to_strong") & (found["loss"] == "logconf") & (found["round"] == 0)
    assert not dropped.any()
    assert len(found) == 5 * len(DATASETS)
