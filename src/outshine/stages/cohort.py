"""A cohort: fine-tunings on the same base and texts, computed in one pass; each writes its own artefact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from outshine.core.errors import TrainingError
from outshine.core.stage import Context
from outshine.stages.finetune import Finetune, Trial, asked
from outshine.stages.texts import tokenized

if TYPE_CHECKING:
    from outshine.models.cohort import Cohort


def run_together(stages: Sequence[Finetune], contexts: Sequence[Context], work: Path) -> list[TrainingError | None]:
    """Compute fine-tunings of equal `company`, each into its context's folder; what went wrong with each.

    `work` keeps the checkpoint that all share. Where the architecture does not keep the rows of a batch apart, the
    members are trained one after the other.
    """
    from outshine.models.device import pick_device
    from outshine.models.warm import cohort

    first, context = stages[0], contexts[0]
    device = pick_device(context.runtime)
    with cohort(first.classifier, [stage.seed for stage in stages], device, context.memory) as members:
        if members.separates():
            return _in_one_pass(members, stages, contexts, work)
    context.progress.note(f"{first.classifier.name} mixes the rows of a batch: its models are trained one by one")
    return [_alone(stage, own) for stage, own in zip(stages, contexts, strict=True)]


def _in_one_pass(
    members: Cohort, stages: Sequence[Finetune], contexts: Sequence[Context], work: Path
) -> list[TrainingError | None]:
    from outshine.models.loading import load_tokenizer
    from outshine.training.loop import Machine, Pupil, finetune_together
    from outshine.training.predict import check_finite, predict_together

    first, context = stages[0], contexts[0]
    runtime, progress = context.runtime, context.progress
    tokens = load_tokenizer(first.classifier.model)
    frame = tokenized(first.texts.read(context.store), tokens, first.classifier.max_length)
    given = [stage.rows(frame, context.store) for stage in stages]
    results = finetune_together(
        members,
        [Pupil(train, val, stage.how()) for stage, (train, val, _) in zip(stages, given, strict=True)],
        Machine(
            runtime,
            tokens.pad_id,
            work / "checkpoint.safetensors",
            lambda done, of: progress.advance(done, of, "examples"),
        ),
    )
    log_odds = predict_together(
        members,
        asked(frame)["tokens"].tolist(),
        tokens.pad_id,
        runtime.eval_token_budget,
        runtime.max_eval_rows,
        lambda done, of: progress.advance(done, of, "predictions"),
    )
    errors: list[TrainingError | None] = []
    for i, (stage, result) in enumerate(zip(stages, results, strict=True)):
        try:
            if isinstance(result, TrainingError):
                raise result
            check_finite(log_odds[i])
            with members.alone(i) as model:
                stage.write(Trial(model, frame, *given[i], tokens.pad_id), result, log_odds[i], contexts[i])
            errors.append(None)
        except TrainingError as error:
            errors.append(error)
    return errors


def _alone(stage: Finetune, context: Context) -> TrainingError | None:
    try:
        stage.run(context)
    except TrainingError as error:
        return error
    return None
