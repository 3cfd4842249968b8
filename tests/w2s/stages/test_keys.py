"""What moves a fine-tuning's key, what does not, and what a student refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.settings import Settings
from outshine.learn.losses.logconf import LogConf
from outshine.learn.losses.xent import Xent
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ClassifierSpec, Full, Head, LoRA, ModelRef
from outshine.w2s.lab import Lab, TrainableModel
from outshine.w2s.methods.vanilla import Vanilla
from outshine.w2s.stages.finetune import Student, Supervised
from outshine.w2s.stages.labels import FileLabels, GroundTruth
from outshine.w2s.stages.prepare import Prepare, Texts

MODEL = ModelRef(identity="hub:org/model@" + "0" * 40, name="org/model")
SPEC = ClassifierSpec(model=MODEL, num_layers=2, pooling="last", tuning=LoRA(), max_length=64, compute_dtype="float32")
PREPARE = Prepare(
    name="cola", recipe=recipes.parse("cola"), recipe_version=1, source="hub:nyu-mll/glue@x", splits=SplitSettings()
)
TEXTS = Texts(digest="t" * 64, origin=PREPARE)
TRUTH = GroundTruth(digest="g" * 64, origin=PREPARE)
LAB = Lab(
    texts=TEXTS,
    truth=TRUTH,
    weak=TrainableModel(SPEC.model_copy(update={"num_layers": 1}), 5e-4),
    strong=TrainableModel(SPEC, 8e-5),
    training=TrainingSettings(),
    loss=LogConf(),
    seed=0,
)
STUDENT = LAB.student(LAB.weak_labels)


def changed(value: Settings, **update: object) -> Settings:
    """A new value with some fields changed (never a copy that carries the old key along)."""
    fields = {name: getattr(value, name) for name in type(value).model_fields}
    return type(value)(**{**fields, **update})


@pytest.mark.parametrize(
    "update",
    [
        {"seed": 1},
        {"learning_rate": 1e-4},
        {"loss": Xent()},
        {"loss": LogConf(alpha=0.4)},
        {"loss": LogConf(window=16)},
        {"labels": STUDENT},
        {"texts": Texts(digest="u" * 64, origin=PREPARE)},
        *({"training": TrainingSettings(**one)} for one in (
            {"epochs": 2}, {"batch_size": 16}, {"beta1": 0.8}, {"beta2": 0.99}, {"weight_decay": 0.0},
            {"max_grad_norm": 2.0}, {"warmup_updates": 10}, {"eval_every": 10}, {"select": "last"},
            {"val_metric": "soft"},
        )),
        *({"classifier": changed(SPEC, **one)} for one in (
            {"num_layers": 1}, {"pooling": "mean"}, {"max_length": 32}, {"compute_dtype": "bfloat16"},
            {"tuning": LoRA(rank=4)}, {"tuning": LoRA(alpha=16.0)}, {"tuning": LoRA(base="nf4")}, {"tuning": Full()}, {"tuning": Head()},
            {"model": ModelRef(identity="hub:org/model@" + "1" * 40, name="org/model")},
            {"model": ModelRef(identity=MODEL.identity, name="org/model", trust_remote_code=True)},
        )),
    ],
    ids=str,
)  # fmt: skip
def test_every_setting_moves_the_key(update):
    assert changed(STUDENT, **update).key != STUDENT.key


def test_every_field_of_the_settings_is_covered_above():
    """A new field must be added to the list above, or be marked as not in the key."""
    assert set(TrainingSettings.model_fields) == {
        *("epochs", "batch_size", "beta1", "beta2", "weight_decay", "max_grad_norm"),
        *("warmup_updates", "eval_every", "select", "val_metric"),
    }
    assert set(Student.model_fields) == {
        *("classifier", "texts", "train_split", "learning_rate", "training", "seed", "labels", "loss", "keep"),
    }
    assert set(ClassifierSpec.model_fields) == {
        *("model", "num_layers", "pooling", "tuning", "max_length", "compute_dtype"),
    }
    assert set(LoRA.model_fields) == {"kind", "rank", "alpha", "base"}


def test_where_things_lie_does_not_move_the_key():
    elsewhere = ModelRef(identity=MODEL.identity, name="other/name", folder="/elsewhere")
    assert changed(STUDENT, classifier=changed(SPEC, model=elsewhere)).key == STUDENT.key
    other = changed(PREPARE, recipe_version=2)
    assert other.key != PREPARE.key
    # rows that came out the same are the same, whatever prepared them
    assert changed(STUDENT, texts=Texts(digest=TEXTS.digest, origin=other)).key == STUDENT.key


def test_a_student_refuses_ground_truth():
    with pytest.raises(ValidationError, match="WeakLabelSource"):
        LAB.student(TRUTH)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        changed(STUDENT, labels=TRUTH)


def test_a_student_refuses_labels_of_a_model_that_saw_the_truth_of_its_rows():
    with pytest.raises(ValidationError, match="ground truth of strong_train itself"):
        LAB.student(LAB.ceiling)


def test_supervisor_and_ceiling_have_no_loss_and_take_ground_truth_only():
    assert "loss" not in Supervised.model_fields
    assert isinstance(LAB.ceiling.train_loss(), Xent)
    with pytest.raises(ValidationError):
        changed(LAB.ceiling, labels=LAB.supervisor)


def test_ceiling_and_supervisor_do_not_depend_on_the_students_loss():
    other = Lab(**{**LAB.__dict__, "loss": Xent()})
    assert other.ceiling.key == LAB.ceiling.key
    assert other.supervisor.key == LAB.supervisor.key
    assert other.student(other.weak_labels).key != STUDENT.key


def test_the_supervisor_never_trains_on_the_students_rows():
    assert LAB.supervisor.train_split == "weak_train"
    assert LAB.ceiling.train_split == "strong_train"
    assert STUDENT.train_split == "strong_train"


def test_vanilla_trains_one_student_on_the_weak_labels():
    (student,) = Vanilla().wire(LAB).rounds
    assert student.key == STUDENT.key
    (student,) = Vanilla(loss=Xent()).wire(LAB).rounds
    assert student.loss == Xent()


def test_file_labels_replace_the_supervisor():
    labels = FileLabels(digest="f" * 64, path="weak.csv", texts=TEXTS)
    lab = Lab(**{**LAB.__dict__, "file_labels": labels})
    assert lab.supervisor is None
    assert lab.student(lab.weak_labels).labels == labels
    moved = FileLabels(digest="f" * 64, path="elsewhere.csv", texts=TEXTS)
    assert lab.student(moved).key == lab.student(labels).key


def test_a_lab_without_weak_model_and_labels_is_a_mistake():
    with pytest.raises(ValueError, match="weak model or a file"):
        Lab(**{**LAB.__dict__, "weak": None}).weak_labels  # noqa: B018


def test_inputs_of_a_student_are_the_supervisor_alone():
    assert [stage.key for stage in STUDENT.inputs()] == [LAB.supervisor.key]
    assert LAB.ceiling.inputs() == []


def test_golden_keys():
    """If one of these moves without a new VERSION, results in people's stores are lost or wrongly reused."""
    assert PREPARE.key[:16] == "16cab1f8a4d42a8b"
    assert LAB.supervisor.key[:16] == "8d38c68980894b32"
    assert STUDENT.key[:16] == "12bdf93a6833e9be"
