"""The model card of a repository: what it is, how good, how far to trust it, how it was made, how to load it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from outshine.engine.messages import one_line
from outshine.engine.runtime import version_of
from outshine.engine.store.recorded_studies import study_digest
from outshine.learn.spec import LoRA, in_four_bits
from outshine.learn.tiny_models import TINY_MODELS
from outshine.report import tables
from outshine.report.latex_and_markdown import escape_markdown, markdown_table
from outshine.report.text import auroc_text, contender_name, decimal_text, pooled_sentence, rows_of
from outshine.results.controls import against
from outshine.share.redact import Places
from outshine.share.repository_files import folder_of
from outshine.w2s.stages.audit import Audit
from outshine.w2s.stages.finetune import Finetune

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.learn.spec import ClassifierSpec
    from outshine.report.tables import TextTable
    from outshine.share.publication import Publication, PublishedModel
    from outshine.w2s.stages.prepare import Prepare


_TAGS = ["outshine", "weak-to-strong-generalization"]


def card(subject: Publication, store: Store, repo: str, license_id: str | None) -> str:
    """The text of README.md. `license_id`: what its owner says the licence is; None: nothing is claimed."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    places = Places.of(subject.resolution)

    def shown(value: Any) -> Any:
        return inert(places.hidden(value)) if type(value) is str else value

    environment = Environment(  # noqa: S701 -- Markdown: `finalize` escapes every text that is not made here
        loader=PackageLoader("outshine.share"),
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": lambda text: code(places.hidden(text)), "quoted": _quoted(places)}
    content = _content(subject, store, repo, license_id)
    text = environment.get_template("card.md.j2").render(**content)
    return f"---\n{_metadata(subject, license_id)}\n---\n\n{text}"


def _content(subject: Publication, store: Store, repo: str, license_id: str | None) -> dict[str, Any]:
    results, study = subject.results, subject.study
    methods = results.summary
    if subject.whole:  # its controls have a table of their own
        methods = methods[methods["purpose"] == "method"]
    tuned = [model for model in subject.models if isinstance(model.stage, Finetune)]
    example = next((model for model in tuned if _role(model) == "student"), tuned[0] if tuned else None)
    several = subject.whole
    used = {model.run.prepare.key: model.run.prepare for model in subject.models}
    controls = (
        against(results.scores, summary=results.summary).overall
        if (results.summary["purpose"] == "control").any() and several
        else None
    )
    return {
        "repo": repo,
        "whole": several,
        "study": study,
        "digest": study_digest(study.model_dump(mode="json")),
        "version": version_of("outshine"),
        "model": None if several else _model(subject.models[0], subject, store),
        "models": _models_table(subject) if several else "",
        "bases": _bases(subject),
        "own_scores": None if several else _own_scores(subject),
        "results": report_table(tables.results_table(methods)) if len(methods) else None,
        "num_seeds": int(methods["num_seeds"].max()) if len(methods) else 0,
        "pooled": [pooled_sentence(method, rows_of(results.summary, method)) for method in results.pooled],
        "controls": None if controls is None else report_table(tables.controls_table(controls)),
        "datasets": [_dataset(prepare, store) for prepare in used.values()],
        "loading": None if example is None else _loading(example, subject),
        "notes": subject.resolution.notes,
        "training_notes": [note.text for note in results.training_notes],
        "license": license_id,
    }


def _model(model: PublishedModel, subject: Publication, store: Store) -> dict[str, Any]:
    """The one model of a card: what it is, and every setting that its result depends on."""
    stage, facts, places = model.stage, model.facts, Places.of(subject.resolution)
    settings: list[tuple[str, str]] = [("key", stage.key), ("label", stage.label)]
    if facts["method"]:
        settings.append(("method", contender_name(facts)))
    if isinstance(stage, Finetune):
        spec = stage.classifier
        settings += [
            ("base model", spec.model.name),
            ("its weights", spec.model.identity),
            ("blocks", f"{spec.num_layers} of {spec.model.num_layers}"),
            ("pooling", spec.pooling),
            ("tuning", json.dumps(spec.tuning.model_dump(mode="json"))),
            ("longest text", f"{spec.max_length} tokens"),
            ("computed in", spec.compute_dtype),
            ("learning rate", f"{stage.learning_rate:g}"),
            ("training", json.dumps(stage.training.model_dump(mode="json"))),
            ("loss", json.dumps(stage.train_loss().model_dump(mode="json"))),
        ]
    settings.append(("seed", str(facts["seed"])))
    return {
        "key": Verbatim(stage.key),
        "role": _role(model),
        "name": stage.classifier.name if isinstance(stage, Finetune) else facts["strong"],
        "is_probe": not isinstance(stage, Finetune),
        "weak": facts["weak"],
        "dataset": facts["dataset"],
        "meaning": model.run.prepare.recipe.meaning,
        "control": facts.get("variant") or facts.get("method"),
        "chosen": stage.training.select if isinstance(stage, Finetune) else "",
        "settings": table(["setting", "value"], [(name, code(places.hidden(value))) for name, value in settings]),
        "notes": stage.summary(store).get("notes", []),
    }


def _role(model: PublishedModel) -> str:
    """weak, ceiling, student or control."""
    return "control" if model.run.purpose == "control" and model.facts["role"] == "student" else model.facts["role"]


def _own_scores(subject: Publication) -> Verbatim:
    """The one model's own AUC and accuracy by split."""
    scores = subject.results.scores
    own = scores[scores["key"] == subject.models[0].stage.key].drop_duplicates("split")
    rows = [
        (
            row["split"],
            f"{int(row['n']):,}",
            auroc_text(row["auroc"], row["auroc_low"], row["auroc_high"]),
            decimal_text(row["accuracy"]),
        )
        for _, row in own.iterrows()
    ]
    columns = ["split", "rows", "ROC AUC [95 %]", "accuracy"]
    return table(columns, rows, right=columns[1:])


def _bases(subject: Publication) -> list[dict[str, str]]:
    """The pretrained models of a study, exactly."""
    resolution = subject.resolution
    bases = [("supervisors", resolution.weak), ("students and ceilings", resolution.strong)]
    bases += [("models of methods", model) for model in resolution.of_methods.values()]
    return [
        {
            "role": role,
            "name": resolved.spec.name,
            "identity": resolved.spec.model.identity,
            "learning_rate": f"{resolved.learning_rate:g}",
        }
        for role, resolved in bases
        if resolved
    ]


def _models_table(subject: Publication) -> Verbatim:
    """Every model of a study's repository, with its test AUC."""
    scores = subject.results.scores
    test = {row["key"]: row for row in scores[scores["split"] == "test"].to_dict("records")}
    rows = []
    for model in subject.models:
        facts, scored = model.facts, test.get(model.stage.key)
        method = contender_name(facts) if facts["method"] else ""
        auroc = auroc_text(scored["auroc"], scored["auroc_low"], scored["auroc_high"]) if scored else "–"
        where = code(folder_of(model, subject).removeprefix("models/"))
        rows.append((where, facts["dataset"], _role(model), method, str(facts["seed"]), auroc))
    columns = ["folder in `models`", "dataset", "role", "method", "seed", "test ROC AUC [95 %]"]
    return table([Verbatim(columns[0]), *columns[1:]], rows, right=columns[-2:])


def _dataset(prepare: Prepare, store: Store) -> dict[str, Any]:
    recipe, report = prepare.recipe, prepare.report(store)
    audit = Audit(prepare=prepare)
    findings = audit.read(store) if store.has(audit.key) else []
    return {
        "name": prepare.name,
        "title": recipe.title,
        "hub": recipe.hub.repo if recipe.hub else None,
        "source": recipe.source,
        "pinned": prepare.source,
        "license": recipe.license,
        "note": recipe.note,
        "meaning": recipe.meaning,
        "balanced": prepare.task.is_balanced,
        "splits": ", ".join(f"{name} {facts['rows']:,}" for name, facts in report["splits"].items()),
        "findings": [
            f"{finding.severity}, {finding.check}" for finding in findings if finding.severity in ("leak", "warning")
        ],
    }


def _loading(model: PublishedModel, subject: Publication) -> dict[str, Any]:
    """What the code that loads a model needs to know of it."""
    assert isinstance(model.stage, Finetune)
    spec: ClassifierSpec = model.stage.classifier
    identity, task = spec.model.identity, model.run.prepare.task
    return {
        "base": spec.model.name,
        "several_classes": task.outcome == "multiclass",
        "is_pair": task.is_pair,
        "embedded": spec.model.name in TINY_MODELS,
        "revision": identity.rpartition("@")[2] if identity.startswith("hub:") else None,
        "local": spec.model.folder is not None and spec.model.name not in TINY_MODELS,
        "num_layers": spec.num_layers if spec.num_layers < spec.model.num_layers else None,
        "tuning": spec.tuning.kind,
        "four_bits": in_four_bits(spec),
        "pooling": spec.pooling,
        "max_length": spec.max_length,
        "dtype": Verbatim(spec.compute_dtype),
        "folder": folder_of(model, subject) or None,
        "key": model.stage.key,
    }


def _quoted(places: Places) -> Any:
    """A text as a literal of Python."""
    return lambda text: Verbatim(json.dumps(places.hidden(text), ensure_ascii=False))


def _metadata(subject: Publication, license_id: str | None) -> str:
    """What the hub reads: base models, datasets, task. Of models and datasets of the hub only."""
    from huggingface_hub import ModelCardData

    stages = [model.stage for model in subject.models if isinstance(model.stage, Finetune)]
    bases = {stage.classifier.model.name for stage in stages if stage.classifier.model.identity.startswith("hub:")}
    recipes = [model.run.prepare.recipe for model in subject.models]
    datasets = {recipe.hub.repo for recipe in recipes if recipe.hub}
    adapted = any(isinstance(stage.classifier.tuning, LoRA) for stage in stages)
    data = ModelCardData(
        base_model=sorted(bases) or None,
        datasets=sorted(datasets) or None,
        license=license_id,
        library_name="peft" if adapted else None,
        pipeline_tag="text-classification",
        tags=[*_TAGS, *(["lora"] if adapted else [])],
    )
    return data.to_yaml()


class Verbatim(str):
    """Markdown that was made here: it goes into a card as it is."""

    __slots__ = ()


def inert(text: str) -> str:
    """The text in one line, with what would format, link, mention or be taken for HTML or a formula escaped."""
    return escape_markdown(one_line(text))


def code(text: str) -> Verbatim:
    """The text in one line as code; backticks, which would end it, are left out."""
    return Verbatim(f"`{one_line(text).replace('`', '')}`")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> Verbatim:
    """A table; `right`: columns that hold numbers."""
    return Verbatim(markdown_table(columns, rows, right, _cell))


def report_table(text_table: TextTable) -> Verbatim:
    """A table of the report as Markdown."""
    return table(text_table.columns, text_table.rows, text_table.right)


def _cell(text: str) -> str:
    if isinstance(text, Verbatim):
        return text.replace("|", r"\|")  # in code too it would end the cell
    return inert(text)
