"""Figures: what was asked for is drawn, once, where it belongs; names are shown as text; bytes are stable."""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from outshine.engine.errors import DataError, SettingsError
from outshine.report import figures
from outshine.report.figures.pgr import value_text
from outshine.report.figures.style import house_style, series_styles, wrapped
from outshine.report.figures.sweeps import setting_text
from outshine.report.study_figures import _of_sweeps

NAN = math.nan
PGR_FIGURES = (
    figures.pgr_by_round,
    figures.pgr_by_loss,
    figures.pgr_of_probes,
    figures.pgr_of_changed_data,
    figures.pgr_by_method,
)


def pgr_rows(values: dict[str, dict[str, float]], saturated: tuple[str, ...] = ()) -> pd.DataFrame:
    """values: PGR by dataset and label; NaN is undefined. Intervals are ± .4."""
    rows = [
        {
            "dataset": dataset,
            "label": label,
            "pgr": value,
            "pgr_low": value - 0.4,
            "pgr_high": value + 0.4,
            "defined": not math.isnan(value),
            "saturated": dataset in saturated,
        }
        for dataset, by_label in values.items()
        for label, value in by_label.items()
    ]
    return pd.DataFrame(rows)


def auroc_rows(datasets: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": datasets, "label": "vanilla student"})
    for number, role in enumerate(("weak", "student", "ceiling")):
        frame[f"{role}_auroc"] = [0.6 + 0.1 * number + 0.001 * row for row in range(len(datasets))]
        frame[f"{role}_low"] = frame[f"{role}_auroc"] - 0.02
        frame[f"{role}_high"] = frame[f"{role}_auroc"] + 0.03
    return frame


def removed_rows(datasets: list[str], seeds: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"dataset": dataset, "seed": seed, "fraction": 0.02 * (row + 1) + 0.01 * seed}
            for row, dataset in enumerate(datasets)
            for seed in range(seeds)
        ]
    )


def sweep_rows(datasets: list[str], settings: tuple[float, ...] = (1, 10, 100), seeds: int = 2) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"dataset": d, "layer": layer, "setting": s, "seed": seed, "difference": 0.1 * i + 0.01 * j + 0.002 * seed}
            for i, d in enumerate(datasets)
            for layer in ("1/2 (layer 2)", "last (layer 4)")
            for j, s in enumerate(settings)
            for seed in range(seeds)
        ]
    )


def curve_rows(datasets: list[str], labels: tuple[str, ...] = ("logconf",), seeds: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "dataset": dataset,
                "label": label,
                "seed": seed,
                "step": step,
                "test_auroc": 0.6 + 0.001 * step + 0.01 * seed,
                "val_auroc": 0.65 + 0.001 * step + 0.02 * seed,
                "chosen": step == 20,
            }
            for dataset in datasets
            for label in labels
            for seed in range(seeds)
            for step in (0, 10, 20, 30)
        ]
    )


def every_figure(names: list[str]) -> list[Figure]:
    values = {name: {"vanilla student": 0.5, "kNN probe": 7.25, "logistic probe": NAN} for name in names}
    return [
        figures.auroc_by_dataset(auroc_rows(names)),
        figures.pgr_by_method(pgr_rows(values)),
        figures.removed_by_components(removed_rows(names)),
        figures.probe_sweep("logistic", "probe.penalty", sweep_rows(names, (1e-4, 1e-2, 1))),
        figures.training_curves(curve_rows(names)),
    ]


def row_of(figure: Figure) -> dict[tuple[int, int], str]:
    """Dataset names by (axes, row)."""
    return {
        (number, round(tick)): label.get_text()
        for number, axes in enumerate(figure.axes)
        for tick, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    }


def marks(figure: Figure, label: str) -> list[tuple[str, float]]:
    """(dataset, x) of the marks whose artist is called `label`."""
    names = row_of(figure)
    return [
        (names[number, round(y)], float(x))
        for number, axes in enumerate(figure.axes)
        for line in axes.lines
        if line.get_label() == label
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible()]


def lines(figure: Figure, panel: int) -> dict[str, tuple[list[float], list[float]]]:
    return {
        str(line.get_label()): (list(map(float, line.get_xdata())), list(map(float, line.get_ydata())))
        for line in figure.axes[panel].lines
    }


def test_aurocs_are_drawn_at_their_values():
    frame = auroc_rows(["boolq", "sciq"])
    figure = figures.auroc_by_dataset(frame)
    for role in ("weak", "student", "ceiling"):
        expected = list(zip(frame["dataset"], frame[f"{role}_auroc"], strict=True))
        assert marks(figure, role) == [(name, pytest.approx(value)) for name, value in expected]
    assert {"weak supervisor", "vanilla student", "strong ceiling"} <= set(texts(figure))
    assert figure.axes[0].get_xlabel() == "test ROC AUC (0.5 = chance), with 95 % interval"


def test_the_grey_bar_is_the_gap_wherever_the_student_is():
    frame = auroc_rows(["boolq", "sciq"])
    frame.loc[0, ["student_auroc", "student_low", "student_high"]] = 0.3, 0.2, 0.4
    (axes,) = figures.auroc_by_dataset(frame).axes
    (bars,) = (part for part in axes.collections if part.get_label() == "gap")
    for row, path in zip(frame.to_dict("records"), bars.get_paths(), strict=True):
        assert path.vertices[:, 0].tolist() == pytest.approx([row["weak_auroc"], row["ceiling_auroc"]])


def test_auroc_intervals_and_unknown_weak_labels():
    frame = auroc_rows(["boolq", "sciq"])
    frame.loc[1, ["weak_auroc", "weak_low", "weak_high"]] = NAN
    figure = figures.auroc_by_dataset(frame)
    assert marks(figure, "weak") == [("boolq", pytest.approx(0.6))]
    assert texts(figure).count("weak supervisor: not known") == 1
    segments = [path.vertices[:, 0].tolist() for part in figure.axes[0].collections for path in part.get_paths()]
    assert [pytest.approx(0.58), pytest.approx(0.63)] in segments
    assert np.isfinite([x for segment in segments for x in segment]).all()


@pytest.mark.slow
@pytest.mark.parametrize("num_datasets", [1, 2, 25])
@pytest.mark.parametrize("draw", PGR_FIGURES)
def test_every_dataset_and_series_is_drawn_once(draw, num_datasets):
    labels = ["vanilla student", "kNN probe", "a third party's", "TopoFilter", "round 2"]
    values = {f"set-{n:02}": {label: 0.01 * n + 0.1 * k for k, label in enumerate(labels)} for n in range(num_datasets)}
    figure = draw(pgr_rows(values))
    for label in labels:
        expected = [(name, pytest.approx(by_label[label])) for name, by_label in values.items()]
        assert marks(figure, label) == expected
        assert texts(figure).count(label) == 1
    for axes in figure.axes:
        assert "performance gap recovered (PGR)" in axes.get_xlabel()
        assert {0.0, 1.0} <= {float(line.get_xdata()[0]) for line in axes.lines if line.get_linestyle() == ":"}


def test_series_of_a_row_do_not_cover_each_other():
    figure = figures.pgr_by_loss(pgr_rows({"boolq": {"xent": 0.5, "logconf": 0.5, "window": 0.5}}))
    heights = [
        float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_label() in ("xent", "logconf", "window")
    ]
    assert heights == sorted(heights)
    assert len(set(heights)) == 3
    assert max(map(abs, heights)) < 0.5


def test_pgrs_beyond_the_window_are_arrows_at_its_edge_with_their_values():
    values = {"near": {"a": 0.2, "b": 2.0}, "far": {"a": 7.254, "b": -1234.0}}
    figure = figures.pgr_by_method(pgr_rows(values))
    assert marks(figure, "a") == [("near", 0.2)]
    assert marks(figure, "b") == [("near", 2.0)]
    assert marks(figure, "a beyond") == [("far", 2.0)]
    assert marks(figure, "b beyond") == [("far", -1.0)]
    arrows = {line.get_label(): line.get_marker() for line in figure.axes[0].lines}
    assert (arrows["a beyond"], arrows["b beyond"]) == (">", "<")
    assert {"7.25", "−1,234"} <= set(texts(figure))
    low, high = figure.axes[0].get_xlim()
    assert low < -1
    assert high > 2


def test_intervals_are_clipped_with_a_mark_where_the_value_is_inside():
    figure = figures.pgr_by_method(pgr_rows({"one": {"a": 1.9, "b": -0.9, "c": 0.5}}))
    ends = {
        str(part.get_label()): part.get_paths()[0].vertices[:, 0].tolist()
        for part in figure.axes[0].collections
        if str(part.get_label()).endswith("interval")
    }
    assert ends["a interval"] == pytest.approx([1.5, 2.0])
    assert ends["b interval"] == pytest.approx([-1.0, -0.5])
    assert ends["c interval"] == pytest.approx([0.1, 0.9])
    assert marks(figure, "a cut") == [("one", 2.0)]
    assert marks(figure, "b cut") == [("one", -1.0)]
    assert marks(figure, "c cut") == []
    assert figure.axes[0].get_xlim() == (-1.0, 2.0)


def test_another_window():
    figure = figures.pgr_by_round(pgr_rows({"one": {"a": 2.5, "b": -0.7}}), window=(-0.5, 3.0))
    assert marks(figure, "a") == [("one", 2.5)]
    assert marks(figure, "b beyond") == [("one", -0.5)]
    with pytest.raises(SettingsError, match="holds 0 and 1"):
        figures.pgr_by_round(pgr_rows({"one": {"a": 0.5}}), window=(0.0, 3.0))


def test_undefined_pgrs_are_named_where_they_would_stand():
    values = {"some": {"a": NAN, "b": 0.5}, "none": {"a": NAN, "b": NAN}}
    figure = figures.pgr_of_probes(pgr_rows(values, saturated=("none",)))
    named = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts if "undefined" in text.get_text()}
    assert set(named) == {"undefined", "all undefined"}
    assert -0.5 < named["undefined"] < 0  # the first of two series, in the first row
    assert named["all undefined"] == 1
    assert marks(figure, "a") == []
    assert marks(figure, "b") == [("some", 0.5)]


def test_saturated_datasets_carry_a_dagger_that_is_explained():
    figure = figures.pgr_of_probes(pgr_rows({"plain": {"a": 0.5}, "full": {"a": NAN}}, saturated=("full",)))
    assert list(row_of(figure).values()) == ["plain", "full †"]
    assert any(text.startswith("† saturated") for text in texts(figure))
    assert not any("†" in text for text in texts(figures.pgr_of_probes(pgr_rows({"plain": {"a": 0.5}}))))


def test_many_datasets_fit_a_page():
    labels = [f"series {n}" for n in range(5)]
    tall = figures.pgr_by_loss(pgr_rows({f"set-{n:02}": dict.fromkeys(labels, 0.5) for n in range(25)}))
    assert len(tall.axes) == 2
    assert tall.get_figheight() < 11
    assert len(figures.pgr_by_loss(pgr_rows({"one": dict.fromkeys(labels, 0.5)})).axes) == 1


def test_fractions_removed_in_percent_with_their_mean_and_the_quota():
    figure = figures.removed_by_components(removed_rows(["boolq", "sciq"]))
    assert marks(figure, "mean") == [("boolq", pytest.approx(3.0)), ("sciq", pytest.approx(5.0))]
    seeds = [("boolq", 2.0), ("boolq", 3.0), ("boolq", 4.0), ("sciq", 4.0), ("sciq", 5.0), ("sciq", 6.0)]
    assert marks(figure, "seeds") == [(name, pytest.approx(value)) for name, value in seeds]
    assert lines(figure, 0)["quota"][0] == [10.0, 10.0]
    assert figure.axes[0].get_xlim()[1] > 10
    assert "% of rows" in figure.axes[0].get_xlabel()
    assert marks(figures.removed_by_components(removed_rows(["boolq"], seeds=1)), "seeds") == []


@pytest.mark.parametrize("num_datasets", [1, 3, 25])
def test_sweeps_hold_a_line_a_dataset_a_line_a_layer_and_medians(num_datasets):
    names = [f"set-{n:02}" for n in range(num_datasets)]
    frame = sweep_rows(names)
    figure = figures.probe_sweep("knn", "probe.k", frame)
    means = frame.groupby(["layer", "dataset", "setting"])["difference"].mean()
    for panel, layer in enumerate(("1/2 (layer 2)", "last (layer 4)"), start=1):
        drawn = lines(figure, panel)
        for name in names:
            assert drawn[name] == ([1, 10, 100], pytest.approx(means[layer, name].tolist()))
        medians = means[layer].groupby("setting").median().tolist()
        assert lines(figure, 0)[layer] == ([1, 10, 100], pytest.approx(medians))
        if num_datasets > 1:
            assert drawn["median over datasets"][1] == pytest.approx(medians)
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert "neighbours k (log scale)" in texts(figure)
    assert "test ROC AUC, probe − weak labels" in texts(figure)
    named = set(names) & set(texts(figure))
    assert named == (set(names) if num_datasets <= 6 else {names[0], names[-1]})


def test_settings_on_the_axis():
    assert [setting_text(s) for s in (1e-5, 1e-4, 0.01, 0.1, 1, 50, 500, 1e5)] == [
        *("10⁻⁵", "10⁻⁴", "0.01", "0.1", "1", "50", "500", "10⁵"),
    ]
    figure = figures.probe_sweep("logistic", "probe.penalty", sweep_rows(["boolq"], (1e-4, 1e-2, 1.0)))
    assert {"10⁻⁴", "0.01", "1"} <= set(texts(figure))
    assert "penalty λ (log scale)" in texts(figure)


def test_a_setting_without_a_symbol_goes_by_its_name_and_zero_has_a_linear_axis():
    figure = figures.probe_sweep("mass_mean", "probe.shrinkage", sweep_rows(["boolq"], (0.0, 0.1, 0.5)))
    assert {axes.get_xscale() for axes in figure.axes} == {"linear"}
    assert {"shrinkage", "0", "0.1", "0.5"} <= set(texts(figure))
    figure = figures.probe_sweep("mass_mean", "probe.shrinkage", sweep_rows(["boolq"], (0.01, 0.1, 0.5)))
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert "shrinkage (log scale)" in texts(figure)


def sweeps_of(probe: str, setting_name: str, settings: tuple[float, ...], method: str = "probe") -> pd.DataFrame:
    rows = sweep_rows(["boolq", "sciq"], settings).rename(columns={"layer": "layer_name"})
    return rows.assign(probe=probe, setting_name=setting_name, method=method)


def test_the_sweep_of_any_probe_has_its_figure():
    """Also of one that another package brings; not of one that was tried with a single setting, or over several."""
    tables = [
        sweeps_of("mass_mean", "probe.shrinkage", (0.0, 0.5)),
        sweeps_of("knn", "probe.k", (1, 10)),
        sweeps_of("knn", "probe.k", (1, 10), method="twice"),
        sweeps_of("single", "probe.width", (3,)),
        sweeps_of("several", "", (NAN,)),
        sweeps_of("", "loss.alpha", (0.1, 0.5)),
    ]
    found = list(_of_sweeps(pd.concat(tables)))
    assert [(figure.name, figure.title) for figure in found] == [
        ("sweep-knn", "kNN sweep"),
        ("sweep-knn-2", "kNN sweep"),
        ("sweep-mass_mean", "mass_mean sweep"),
    ]
    assert "shrinkage" in texts(found[2].figure)


def test_curves_and_the_chosen_update():
    frame = curve_rows(["boolq", "sciq"])
    frame.loc[frame["dataset"] == "sciq", "test_auroc"] += 0.1
    figure = figures.training_curves(frame)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["boolq", "sciq"]
    for panel, dataset in enumerate(("boolq", "sciq")):
        own, drawn = frame[frame["dataset"] == dataset], lines(figure, panel)
        assert drawn["logconf"] == (own["step"].tolist(), pytest.approx(own["test_auroc"].tolist()))
        assert drawn["logconf val"][1] == pytest.approx(own["val_auroc"].tolist())
        assert drawn["logconf chosen"] == ([20.0], [pytest.approx(own["test_auroc"].iloc[2])])
    assert {"optimizer updates", "ROC AUC", "chosen update"} <= set(texts(figure))


def test_curves_of_several_seeds_and_series():
    frame = curve_rows(["boolq"], ("xent", "logconf"), seeds=3)
    figure = figures.training_curves(frame)
    drawn = Counter(line.get_label() for line in figure.axes[0].lines)
    assert drawn["xent seed"] == drawn["logconf seed"] == 3
    means = frame[frame["label"] == "xent"].groupby("step")["test_auroc"].mean()
    assert lines(figure, 0)["xent"] == (means.index.tolist(), pytest.approx(means.tolist()))
    assert len(lines(figure, 0)["xent chosen"][0]) == 3
    assert {"xent, chosen update", "logconf, chosen update"} <= set(texts(figure))


def test_flat_curves_are_not_blown_up():
    frame = curve_rows(["boolq"]).assign(test_auroc=0.7, val_auroc=0.7001)
    low, high = figures.training_curves(frame).axes[0].get_ylim()
    assert high - low >= 0.04


EVIL = ["<script>x</script>", "a & b", "$x_2$ and $", r"\frac{1}{", "_hidden", "naïve 数据"]


@pytest.mark.slow
def test_names_are_shown_as_they_are_and_run_nothing():
    for figure in every_figure(EVIL):
        markup = figures.svg(figure)
        assert "<script" not in markup
        root = ElementTree.fromstring(markup.replace("xlink:", ""))
        shown = " ".join("".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text"))
        for name in EVIL:
            assert name in shown


@pytest.mark.slow
def test_the_same_data_give_the_same_bytes_whatever_the_users_settings():
    import matplotlib as mpl

    first = every_figure(["boolq", "sciq"])
    with mpl.rc_context({"font.size": 20, "axes.grid": True, "svg.fonttype": "path", "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        second = every_figure(["boolq", "sciq"])
        for one, other in zip(first, second, strict=True):
            assert figures.svg(one) == figures.svg(other)
        bytes_of = figures.png(first[-1], dpi=40)  # after svg, and before it
        fresh = figures.training_curves(curve_rows(["boolq", "sciq"]))
        assert bytes_of == figures.png(fresh, dpi=40)
        assert figures.svg(first[-1]) == figures.svg(fresh)
        assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_svgs_can_share_a_page():
    all_ids: list[str] = []
    for figure in every_figure(["boolq", "sciq"]):
        markup = figures.svg(figure)
        assert markup.startswith("<svg")
        assert markup.rstrip().endswith("</svg>")
        ids = re.findall(r'\sid="([^"]+)"', markup)
        wanted = re.findall(r'(?:href="#|url\(#)([^")]+)', markup)
        assert set(wanted) <= set(ids)
        assert not re.search(r'(href|src)="(?!#)', markup)
        all_ids += ids
    assert len(all_ids) == len(set(all_ids))


def test_no_type_is_smaller_than_seven_points():
    for figure in every_figure(["boolq", "sciq"]):
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= 7


def test_pngs():
    figure = figures.auroc_by_dataset(auroc_rows(["boolq"]))
    image = figures.png(figure, dpi=100)
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(image[at : at + 4]) for at in (16, 20))
    assert (width, height) == (700, pytest.approx(100 * figure.get_figheight(), abs=1))
    assert 2_000 < len(image) < 200_000


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (figures.auroc_by_dataset, auroc_rows(["boolq"])),
        (figures.pgr_by_loss, pgr_rows({"boolq": {"xent": 0.5}})),
        (figures.removed_by_components, removed_rows(["boolq"])),
        (partial(figures.probe_sweep, "knn", "k"), sweep_rows(["boolq"])),
        (figures.training_curves, curve_rows(["boolq"])),
    ],
)
def test_rows_that_would_hide_each_other_and_no_rows_are_refused(draw, frame):
    with pytest.raises(DataError, match="there are two for dataset boolq"):
        draw(pd.concat([frame, frame]))
    with pytest.raises(DataError, match="the frame has none"):
        draw(frame.iloc[:0])


def test_styles_differ_and_the_reference_keeps_its_own():
    looks = series_styles([f"s{n}" for n in range(30)])
    assert len(set(looks.values())) == 30
    assert series_styles(["vanilla student", "x"], "vanilla student")["x"] == looks["s0"]
    assert not {look.marker for look in looks.values()} & {"<", ">"}  # those mean beyond the window


@pytest.mark.parametrize(("value", "text"), [(2.5, "2.50"), (-12.6, "−13"), (1234.4, "1,234"), (-1.2e7, "−1e+07")])
def test_values_beyond_the_window(value, text):
    assert value_text(value) == text


def test_long_names_wrap_at_their_joints_and_lose_their_middle_last():
    assert wrapped("boolq", 12) == "boolq"
    assert wrapped("sciq_with_support", 12) == "sciq_with_\nsupport"
    assert wrapped("abcdefghij", 4) == "abcd\nefgh\nij"
    assert wrapped("two\nlines\x07", 20) == "two lines"
    long = wrapped("start-" + "x" * 300 + "-end", 20)
    assert long.startswith("start-")
    assert long.endswith("-end")
    assert "…" in long
    assert max(map(len, long.split("\n"))) <= 20
    assert len(long.split("\n")) <= 3


@pytest.mark.slow
def test_very_long_names_leave_room_for_the_figure():
    names = [f"{n} " + "a-very-long-dataset-name" * 20 for n in range(14)]
    rows = pgr_rows({name: dict.fromkeys(("a", "b", "c", "d", "e"), 9.0) for name in names})
    for figure in (figures.pgr_by_loss(rows), figures.probe_sweep("knn", "probe.k", sweep_rows(names[:6], seeds=1))):
        figures.png(figure, dpi=40)  # a layout that collapses warns, and warnings are errors
        assert min(axes.get_position().width for axes in figure.axes) > 0.2


def training_rows(updates: int = 200, seeds: int = 2) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "role": role,
                "seed": seed,
                "step": step,
                "loss": 1 / step + 0.1 * seed,
                "val_auroc": 0.5 + 0.001 * step + 0.02 * seed if step % 50 == 0 else NAN,
                "chosen": step == (100 if seed else 150),
            }
            for role in ("weak", "student", "ceiling")
            for seed in range(seeds)
            for step in range(1, updates + 1)
        ]
    )


def test_the_curves_of_a_dataset():
    """Loss: means over seeds and stretches of five updates. Val: at validations only. One open mark a seed."""
    tests = pd.DataFrame({"seed": [0, 0, 1], "step": [50, 100, 50], "test_auroc": [0.6, 0.7, 0.8]})
    figure = figures.curves_of_dataset(training_rows(), tests)
    losses, aucs = figure.axes
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    for role in ("weak", "student", "ceiling"):
        loss = lines[f"{role} loss"]
        assert len(loss.get_xdata()) == 40
        assert loss.get_xdata()[0] == 3
        assert loss.get_ydata()[1] == pytest.approx(np.mean([1 / step for step in range(6, 11)]) + 0.05)
        assert list(lines[f"{role} val"].get_xdata()) == [50, 100, 150, 200]
        assert lines[f"{role} val"].get_ydata()[0] == pytest.approx(0.56)
        chosen = lines[f"{role} chosen"]
        assert dict(zip(chosen.get_xdata(), chosen.get_ydata(), strict=True)) == pytest.approx({150: 0.65, 100: 0.62})
    assert lines["student test"].get_ydata().tolist() == pytest.approx([0.7, 0.7])
    assert (losses.get_title("left"), aucs.get_title("left")) == ("Training loss", "ROC AUC")


def test_the_curves_of_a_dataset_without_a_fine_tuned_student_or_test():
    rows = training_rows(updates=4, seeds=1).query("role != 'student'")
    figure = figures.curves_of_dataset(rows, pd.DataFrame({"step": [], "test_auroc": []}))
    shown = {line.get_label() for axes in figure.axes for line in axes.get_lines()}
    assert {"weak loss", "ceiling loss"} <= shown
    assert not {label for label in shown if label.startswith("student")}
    assert figures.svg(figure).startswith("<svg")
    with pytest.raises(DataError, match="there are two for role weak, seed 0, step 1"):
        figures.curves_of_dataset(pd.concat([rows, rows]), rows.iloc[:0])


def test_places_are_written_to_a_hundredth_of_a_point():
    """No digits more in a page, and none of those that count lost: drawn again, each place is where it was."""
    figure = figures.auroc_by_dataset(auroc_rows(["a", "b"]))
    text = figures.svg(figure)
    places = re.findall(r' (?:d|x|y|points)="([^"]*)"', text)
    assert places
    assert not re.findall(r"\.\d{3,}", " ".join(places))
    whole = io.StringIO()
    with house_style():
        figure.savefig(whole, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    exact = [float(number) for number in numbers_of(whole.getvalue())]
    assert len(exact) > 50
    assert [float(number) for number in numbers_of(text)] == pytest.approx(exact, abs=0.0051)


def numbers_of(svg: str) -> list[str]:
    """Every number among the places of a drawing, in order."""
    return [number for place in re.findall(r' (?:d|x|y)="([^"]*)"', svg) for number in re.findall(r"-?[\d.]+", place)]


def test_ids_begin_with_the_prefix():
    text = figures.svg(figures.auroc_by_dataset(auroc_rows(["a"])), "study-2-")
    ids = re.findall(r' id="([^"]+)"', text)
    assert ids
    assert all(one.startswith("study-2-auroc-") for one in ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', text)
    assert used
    assert set(used) <= set(ids)
