"""Costs of stages against counts by hand."""

from __future__ import annotations

from math import ceil

import pandas as pd
import pytest
from plan_studies import real, tiny

from outshine.data.schema import recipes
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.learn.known_models import LLAMA3_8B, QWEN15_05B
from outshine.w2s.cost import CHARACTERS_PER_TOKEN
from outshine.w2s.expand import expand, resolve_study
from outshine.w2s.plan import Plan, plan_study

SMALL = {"n_train": 160, "n_val": 60, "n_test": 60}


def of_kind(plan: Plan, kind: str) -> list:
    return [stage for stage in plan.stages if stage.kind == kind]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuning", "per_token"), [("lora", 4), ("full", 6), ("head", 2), ({"base": "nf4"}, 4)], ids=str
)
@pytest.mark.parametrize("again", [False, True])
def test_a_fine_tuning_trains_by_what_is_tuned_and_predicts_forward(tuning, per_token, again, store):
    plan = plan_study(
        real(
            datasets=["sst2"],
            methods=["vanilla"],
            seeds=[0],
            splits=SMALL,
            training={"epochs": 3, "batch_size": 32, "eval_every": 5},
            strong={"model": "meta-llama/Meta-Llama-3-8B", "tuning": tuning, "num_layers": 8},
            runtime={"gradient_checkpointing": again},
        ),
        store,
        Silent(),
    )
    (ceiling,) = of_kind(plan, "ceilings")
    trained = 3 * 80
    updates = 3 * ceil(80 / 32)
    predicted = 60 * ceil(updates / 5) + 80 + 60 + 60
    tokens = recipes.get("sst2").size.characters / CHARACTERS_PER_TOKEN
    parameters = LLAMA3_8B.in_blocks / 32 * 8
    assert ceiling.rows == trained + predicted
    assert ceiling.tokens == round((trained + predicted) * tokens)
    forward_twice = 2 if again else 0
    per_trained = per_token + (0 if tuning == "head" else forward_twice)  # no backward pass, nothing to run again
    assert ceiling.flops == pytest.approx(parameters * tokens * (per_trained * trained + 2 * predicted))
    (supervisor,) = of_kind(plan, "supervisors")
    work = QWEN15_05B.in_blocks * tokens * ((4 + forward_twice) * trained + 2 * predicted)
    assert supervisor.flops == pytest.approx(work)


def test_a_filter_leaves_fewer_rows_to_train_on(store):
    filtered = {"kind": "filtered", "drop": 0.25}
    plan = plan_study(
        tiny(
            datasets=["tiny-home"],
            seeds=[0],
            methods=["vanilla", filtered, {**filtered, "filter_val": True}],
            training={"epochs": 2},
        ),
        store,
        Silent(),
    )
    whole, kept, both = of_kind(plan, "students")
    assert whole.rows == 2 * 80 + 60 + 200  # 6 updates: one validation, at the end
    assert kept.rows == 2 * 60 + 60 + 200
    assert both.rows == 2 * 60 + 45 + 200
    assert [stage.rows for stage in of_kind(plan, "filters")] == [80, 140]


def test_layers_read_together_are_charged_once_up_to_the_deepest_that_is_missing(store):
    layers = [{"kind": "probe", "layer": layer} for layer in (0, 1, 2)]
    study = tiny(datasets=["tiny-home"], seeds=[0], methods=layers)
    first = plan_study(study, store, Silent())
    passes = of_kind(first, "activations")
    assert [stage.rows for stage in passes] == [200, 200, 200]
    assert [stage.tokens is not None for stage in passes] == [True, False, False]
    (ceiling,) = of_kind(first, "ceilings")
    parameters = 2 * 65_664  # two Llama blocks: 4·64² + 3·64·256 + 2·64
    assert passes[0].flops == pytest.approx(2 * parameters * passes[0].tokens, rel=1e-3)
    assert ceiling.tokens / ceiling.rows == pytest.approx(passes[0].tokens / 200, rel=1e-2)
    # one layer there, not the deepest: what is left costs a pass still; the deepest there: half a pass
    experiments = expand(resolve_study(study), store)
    stages = [experiment.students[0].activations for experiment in experiments]
    executor = LocalExecutor(store, study.runtime, Silent())
    executor.run([stages[2]])
    second = plan_study(study, store, Silent())
    left = of_kind(second, "activations")
    assert [stage.cached for stage in left] == [False, False, True]
    assert left[0].flops == pytest.approx(passes[0].flops / 2)
    (total,) = [kind for kind in second.kinds if kind.kind == "activations"]
    assert (total.cached, total.to_do, total.rows) == (1, 2, 400)
    assert total.flops == left[0].flops


def test_tokens_are_counted_with_the_models_own_tokenizer(store):
    study = tiny(datasets=["tiny-home"], methods=["vanilla"], seeds=[0])
    (supervisor,) = of_kind(plan_study(study, store, Silent()), "supervisors")
    prepare = resolve_study(study).prepares[0]
    texts: pd.DataFrame = prepare.read(store).texts
    words = texts["text"].str.split().str.len().mean()  # its vocabulary has whole words, one more begins a text
    assert supervisor.tokens / supervisor.rows == pytest.approx(words + 1, abs=0.6)


def test_no_text_counts_for_more_than_the_model_takes(store):
    model = {"model": "Qwen/Qwen1.5-0.5B", "max_length": 7}
    plan = plan_study(real(methods=["vanilla"], weak=model), store, Silent())
    assert all(stage.tokens == 7 * stage.rows for stage in of_kind(plan, "supervisors"))
    assert all(stage.tokens > 7 * stage.rows for stage in of_kind(plan, "ceilings"))
