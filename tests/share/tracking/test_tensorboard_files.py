"""TensorBoard files, read back with TensorBoard's own reader."""

from __future__ import annotations

import shutil

import pytest

pytest.importorskip("tensorboard", reason="tensorboard is not installed: its files are not read back")


def read_back(folder):
    """Scalars by name as (step, value), and the text that goes with them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    scalars = {name: [(one.step, one.value) for one in found.Scalars(name)] for name in found.Tags()["scalars"]}
    (settings,) = found.Tensors("settings/text_summary")
    return scalars, settings.tensor_proto.string_val[0].decode()


def test_points_and_final_values_come_back(tmp_path, a_run):
    from outshine.share.trackers import TensorBoard

    TensorBoard(tmp_path).write(a_run)
    place = tmp_path / "tensorboard" / "small" / "sciq-vanilla-xent-seed-0-abababab"
    scalars, settings = read_back(place)
    assert scalars == {
        "train/loss": [(1, 0.75), (2, 0.5)],
        "train/learning_rate": [(1, pytest.approx(0.001)), (2, pytest.approx(0.0005))],
        "val/auroc_on_given_labels": [(2, 0.625)],
        "test/auroc": [(2, 0.875)],
    }
    assert "    dataset: sciq\n    seed: 0\n" in settings
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]  # nothing half written is left


def test_a_run_that_was_not_noted_takes_the_place_of_its_remains(tmp_path, a_run):
    from outshine.share.trackers import TensorBoard

    writer = TensorBoard(tmp_path)
    writer.write(a_run)
    writer.write(a_run._replace(points=a_run.points[:1]))
    scalars, _ = read_back(next(tmp_path.glob("tensorboard/small/*")))
    assert scalars["train/loss"] == [(1, 0.75)]


def test_hostile_names_stay_in_their_folder(tmp_path, a_run):
    from outshine.share.trackers import TensorBoard

    TensorBoard(tmp_path / "out").write(a_run._replace(name="../../../evil", group=".."))
    TensorBoard(tmp_path / "out").write(a_run._replace(name="/", group="x" * 400))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    shutil.rmtree(tmp_path / "out" / "tensorboard")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_the_command_writes_them(tmp_path, ran):
    import outshine
    from outshine.w2s.study_file import parse_study

    outshine.run(parse_study(ran.raw), store=ran.store, out=tmp_path, allow_leaks=True, log=["tensorboard"])
    places = sorted((tmp_path / "tensorboard" / "small").iterdir())
    assert len(places) == 9
    scalars, settings = read_back(next(place for place in places if "vanilla-xent-seed-0" in place.name))
    key = next(line.split(": ")[1] for line in settings.splitlines() if line.startswith("    key: "))
    (row,) = ran.results.scores[(ran.results.scores["key"] == key) & (ran.results.scores["split"] == "test")].to_dict(
        "records"
    )
    ((_, value),) = scalars["test/auroc"]
    assert value == pytest.approx(row["auroc"])
