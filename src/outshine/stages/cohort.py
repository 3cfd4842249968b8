"""A cohort: fine-tunings on the same base and texts, computed in one pass; each writes its own artefact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from outshine.core.errors import TrainingError
from outshine.core.stage import Context
from outshine.core.team import team_in
from outshine.stages.finetune import Finetune, Trial, pack_if_it_pays, predict_asked, tried_out
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
    from outshine.training.lanes import suitable_threads

    first, context = stages[0], contexts[0]
    device = pick_device(context.runtime)
    with (
        cohort(first.classifier, [stage.seed for stage in stages], device, context.memory) as members,
        suitable_threads(context.runtime, members.head),
    ):
        if team_in(context.memory).tell(members.separates()):
            return _in_one_pass(members, stages, contexts, work)
    context.progress.note(f"{first.classifier.name} mixes the rows of a batch: its models are trained one by one")
    return [_alone(stage, own) for stage, own in zip(stages, contexts, strict=True)]


def _in_one_pass(
    members: Cohort, stages: Sequence[Finetune], contexts: Sequence[Context], work: Path
) -> list[TrainingError | None]:
    from outshine.training.loop import Pupil, finetune_together
    from outshine.training.predict import check_finite

    first, context = stages[0], contexts[0]._replace(work=work)
    model, max_length = first.classifier.model, first.classifier.max_length
    frame, pad_id = tokenized(first.texts, model, max_length, context.store, context.memory)
    found = tried_out(members, frame, context)
    pack_if_it_pays(members, frame, contexts[0])
    given = [stage.rows(frame, context.store) for stage in stages]
    machine = first.machine(context, pad_id)
    pupils = [Pupil(train, val, stage.how()) for stage, (train, val, _) in zip(stages, given, strict=True)]
    results = finetune_together(members, pupils, machine)
    updates = max((len(result.curve) for result in results if not isinstance(result, TrainingError)), default=0)
    log_odds = predict_asked(members, frame, machine, updates, context.progress)
    errors: list[TrainingError | None] = []
    for i, (stage, result) in enumerate(zip(stages, results, strict=True)):
        try:
            if isinstance(result, TrainingError):
                raise result
            check_finite(log_odds[i])
            with members.alone(i) as member:
                train, val, notes = given[i]
                trial = Trial(member, frame, train, val, notes + found, pad_id)
                stage.write(trial, result, log_odds[i], contexts[i])
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
