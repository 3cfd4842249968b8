"""What `run` can say besides its results (those are in `report_claims`), and what `plan` says of a run to come."""

from __future__ import annotations

import errno
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import numpy as np
import pandas as pd
import torch
import typer
from cases import captions, figures, page, printed, study
from claim import Claim
from rich.console import Console

from outshine.cli import plan as planning
from outshine.cli import report as reporting
from outshine.cli import run as running
from outshine.cli.run import MOST_NOTES, MOST_ROWS
from outshine.data.task import BINARY, Binary
from outshine.engine.errors import DataError, StoreError
from outshine.engine.hub import NoAnswerError
from outshine.engine.process_group import ONE_PROCESS
from outshine.engine.progress import Silent
from outshine.engine.run.failures import Failure, StagesFailedError
from outshine.engine.run.local import LocalExecutor, _Elsewhere, unit_label
from outshine.engine.runtime import Runtime
from outshine.engine.store.recorded_studies import record_study
from outshine.engine.store.records import Fault
from outshine.engine.store.store import MendResult, Store
from outshine.learn.cuda_graphs import EAGER_PASSES, Captured, CudaGraphs
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.known_models import learning_rate
from outshine.learn.losses.entropy import Entropy
from outshine.learn.losses.window import Window
from outshine.learn.out_of_memory import TooLittleMemoryError
from outshine.learn.probes import Labelled
from outshine.learn.spec import ModelSettings
from outshine.report.figures import pgr_by_method
from outshine.share.tracking import TrackingProgress
from outshine.stats.auc_covariance import combine_seeds
from outshine.stats.estimates import CovariancePart, Estimate
from outshine.stats.intervals import auroc_interval, difference_interval
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.pgr import pgr, pooled_pgr
from outshine.w2s.cost import H200, Estimator, Speed, speed_of, speed_of_gpu
from outshine.w2s.expand import _class_notes, _family_notes, resolve_study
from outshine.w2s.placeholders import HubResolver, unresolved_model
from outshine.w2s.plan import Plan, _shape, plan_study
from outshine.w2s.stages.finetune import Finetune, choose_batches
from outshine.w2s.study_file import parse_study

MODULES: tuple[str, ...] = (
    "cli/run.py",
    "cli/report.py",
    "cli/plan.py",
    "w2s/cost.py",
    "engine/run/failures.py",
    "engine/run/local.py",
    "w2s/placeholders.py",
    "w2s/plan.py",
    "w2s/stages/probing.py",
    "engine/store/recorded_studies.py",
    "share/tracking.py",
    "w2s/expand.py",
    "w2s/stages/finetune.py",
    "learn/cuda_graphs.py",
    "learn/losses/entropy.py",
    "learn/losses/window.py",
    "learn/filters/topofilter.py",
    "learn/known_models.py",
    "stats/intervals.py",
    "stats/pgr.py",
    "report/study_section.py",
    "report/figures/pgr.py",
)

Say = Callable[[], Iterable[str]]
COLUMN = "the name of a table, a column or a part of the page"
NAME = "the name of a model or figure, not a sentence"
TITLE = "what a plugin or a known model is called in a list"


def notes_of(work: Callable[[Silent], object]) -> Say:
    """The notes that some work tells its progress."""

    def said() -> list[str]:
        progress = Silent()
        work(progress)
        return progress.notes

    return said


# -- commands -----------------------------------------------------------------------------------------


def ran(**how: Any) -> Say:
    """What the command prints where the run itself ends in this way."""

    def said() -> list[str]:
        text = io.StringIO()
        store = study("bare")[1]
        with (
            tempfile.TemporaryDirectory() as folder,
            patch("outshine.share.tracking.run_tracked", **how),
            patch("outshine.cli.run.open_store", return_value=store),
            redirect_stdout(text),
            redirect_stderr(text),
            suppress(typer.Exit),
        ):
            running.run_and_write(study("bare")[0].resolution.study, None, Path(folder) / "out", ONE_PROCESS)
        return [" ".join(text.getvalue().split())]

    return said


def reported(form: str) -> Say:
    def said() -> list[str]:
        text = io.StringIO()
        finished, store = study("bare")
        with (
            tempfile.TemporaryDirectory() as folder,
            patch("outshine.results.finished.read_study", return_value=finished),
            patch("outshine.cli.report.open_store", return_value=store),
            patch("outshine.cli.report.study_at", return_value=finished.resolution.study),
            redirect_stdout(text),
        ):
            reporting.report([folder], None, None, form, False)  # type: ignore[arg-type]
        return [" ".join(text.getvalue().split())]

    return said


@cache
def _planned(**settings: Any) -> tuple[Plan, Path]:
    raw = {
        "datasets": ["tiny-home"],
        "weak": "tiny/weak",
        "strong": "tiny/strong",
        "compute_dtype": "float32",
        "splits": {"n_train": 64, "n_val": 40, "n_test": 60},
        "runtime": {"gradient_checkpointing": settings.get("again", False), "cohort": settings.get("cohort", 8)},
        "controls": settings.get("controls", False),
    }
    folder = Path(tempfile.mkdtemp())
    return plan_study(parse_study(raw), Store(folder), Silent()), folder


def _here(card: str) -> Speed:
    """What is reckoned with where this card is."""
    with patch("torch.cuda.is_available", lambda: True), patch("torch.cuda.get_device_name", lambda: card):
        return speed_of(None)


def _from_a_file() -> Speed:
    shares = {"training, SciQ-like": 0.2, "evaluation, SciQ-like": 0.5}
    where = {"device": "Voodoo2", "date": "2026-12-01", "size": "full", "matmul_tflops": 100.0}
    path = Path(tempfile.mkdtemp()) / "gpu.json"
    lines = [{"line": line, "share_of_matmul": share} for line, share in shares.items()]
    path.write_text(json.dumps({"environment": where, "lines": lines}))
    return speed_of(str(path))


FLAT = Speed("a GPU of 100 TFLOP/s", 1e14, 1, 1, "as --tflops says")


def planned(*, nothing_to_do: bool = False, speed: Speed = H200, **settings: Any) -> Say:
    """What `plan` prints of a small study; `nothing_to_do`: as where the store has all of it, so that none is timed."""

    def said() -> list[str]:
        found, _ = _planned(**settings)
        found = found._replace(here=None) if nothing_to_do else found
        screen = Console(file=(text := io.StringIO()), width=400)
        planning._print_grid(found, screen)
        planning._print_kinds(found, speed, screen)
        planning._print_totals(found, speed, screen)
        return [" ".join(text.getvalue().split())]

    return said


def many_rows(results: Any) -> Any:
    """As many datasets × methods as no terminal shows."""
    rows = pd.concat([results.summary] * (MOST_ROWS + 1), ignore_index=True)
    return results._replace(summary=rows)


def many_notes(results: Any) -> Any:
    """More to be said of training than a terminal shows."""
    rows = [results.training.assign(dataset=f"d{i}", label_sd=0.01 + i / 1000) for i in range(MOST_NOTES + 1)]
    return results._replace(training=pd.concat(rows, ignore_index=True))


COMMANDS = (
    Claim(
        "{} datasets × methods, {} with undefined PGR: see summary.csv",
        printed("bare", changed=many_rows),
        printed("bare"),
    ),
    Claim("{} more notes on training: see report.html", printed("bare", changed=many_notes), printed("bare")),
    Claim(
        "interrupted; finished stages are kept: run the same command again to go on",
        ran(side_effect=KeyboardInterrupt),
        lambda: ran(return_value=study("bare")[0])(),
    ),
    Claim(
        "tables, study.yaml and report: {}",
        lambda: ran(return_value=study("bare")[0])(),
        ran(side_effect=KeyboardInterrupt),
    ),
    Claim("report: {}, and its {} as SVG and PNG in {}", reported("html"), reported("md")),
    Claim("without sharing: {} models trained, {} stages; shared: {} models, {} stages", planned(), None, COLUMN),
    Claim(
        "{} stages, {} in the store, {} to do: about {} tokens (every pass over a row counted), {} FLOPs, {} GPU-hours",
        planned(),
        None,
        COLUMN,
    ),
    Claim(
        "trained together: {} models in {}, those of a cohort on one base and the same texts in one pass "
        "(runtime.cohort: {})",
        planned(controls=True),
        planned(controls=True, cohort=1),
    ),
    Claim(
        "on {} about {} with one worker: at {} of the {} GFLOP/s that a matrix product reached {}",
        planned(),
        planned(nothing_to_do=True),
    ),
    Claim(
        "GPU-hours of {}: {} TFLOP/s in training and {} in evaluation, {}; small models take longer than their FLOPs "
        "say",
        planned(),
        planned(speed=FLAT),
    ),
    Claim("measured there in November 2026 with an 8 B model", planned(), planned(speed=speed_of_gpu("A100"))),
    Claim(
        "measured on an H200 in November 2026 with an 8 B model and scaled by the data sheets",
        planned(speed=speed_of_gpu("A100")),
        planned(),
    ),
    Claim("measured there on {} with an 8 B model", lambda: planned(speed=_from_a_file())(), planned()),
    Claim(
        "{} (the data sheet of '{}', which is here, is not known)",
        lambda: planned(speed=_here("Voodoo2"))(),
        lambda: planned(speed=_here("NVIDIA H200"))(),
    ),
    Claim("6·N in training with LoRA, checkpointed (8·N", planned(again=True), planned()),
    Claim("4·N in training with LoRA (6·N", planned(), planned(again=True)),
    Claim(
        "assumed: a token costs 2·N FLOPs forward and {} full, 2·N head only), N parameters in "
        "the blocks; attention's quadratic part (at most {} more) is left out; without tokenizer or rows {} characters "
        "a token and published sizes",
        planned(),
        None,
        "the assumptions of every plan",
    ),
    Claim("probes on ground truth", planned(controls=True), planned()),
)

# -- what happens to stages -----------------------------------------------------------------------------


def failed(*labels: str, left_out: int = 0) -> Say:
    failures = [Failure("0" * 64, label, "it broke") for label in labels]
    return lambda: [str(StagesFailedError(failures, left_out))]


def refused(code: int) -> StoreError:
    """What a store makes of what the system says."""
    error = StoreError("it cannot be written")
    error.__cause__ = OSError(code, "refused")
    return error


def mended(*, damaged: bool) -> Say:
    """What is told where a stage of the store is looked at before it is used."""

    def work(progress: Silent) -> None:
        store = Mock()
        store.is_damaged.return_value = damaged
        store.has.return_value = False
        store.mend.return_value = MendResult(
            [Fault("0" * 64, "weights has 3 bytes where 4 were written")], "damaged/0123"
        )
        LocalExecutor(store, Mock(), progress)._is_mended(SimpleNamespace(key="0" * 64, label="a student"))  # type: ignore[arg-type]

    return notes_of(work)


def waited(seconds: float) -> Say:
    """What is told where another process has had a stage for so long."""

    def work(progress: Silent) -> None:
        waiting, unit = _Elsewhere(progress), [SimpleNamespace(key="0" * 64, label="a student")]
        with patch("outshine.engine.run.local.time.monotonic", side_effect=[0.0, 0.0, seconds, seconds]):
            waiting.add(unit)  # type: ignore[arg-type]
            waiting.add(unit)  # type: ignore[arg-type]

    return notes_of(work)


def recorded(error: Exception | None) -> Say:
    """What is told where a study is written down and the store answers with this error."""

    def work(progress: Silent) -> None:
        with patch("outshine.engine.store.recorded_studies.keep_record", side_effect=error):
            store = Store(Path(tempfile.mkdtemp()))
            record_study(study("bare")[0].resolution.study, [], store, progress, ONE_PROCESS)

    return notes_of(work)


def tracked(*, study_fails: bool = False, tracker_fails: bool = False) -> Say:
    """What is told where a tracker, or what it is to be told, goes wrong."""

    def work(progress: Silent) -> None:
        tracker, ledger = Mock(), Mock()
        ledger.has.return_value = False
        if tracker_fails:
            tracker.write.side_effect = RuntimeError("no network")
        following = TrackingProgress("s", progress, {"wandb": tracker}, ledger, Mock())
        with patch(
            "outshine.share.tracking.tracked_study", side_effect=RuntimeError("a table") if study_fails else None
        ):
            following.conclude(study("bare")[0])

    return notes_of(work)


def found(error: Exception | None) -> Say:
    """What a plan says of a model where the hub answers so."""

    def said() -> list[str]:
        with ExitStack() as stack:
            finder = HubResolver(stack)
            if error is not None:
                finder._lose("some/model", error)  # type: ignore[arg-type]
            return finder.notes()

    return said


def shaped(error: Exception | None) -> Say:
    def said() -> list[str]:
        notes: list[str] = []
        model = SimpleNamespace(spec=SimpleNamespace(model=SimpleNamespace(identity="hub:m@1", name="m")))
        with patch("outshine.learn.structure.shape_of", side_effect=error):
            _shape(model, notes)  # type: ignore[arg-type]
        return notes

    return said


def counted_tokens(error: Exception | None) -> Say:
    def said() -> list[str]:
        finished, store = study("bare")
        estimator = Estimator(store, {}, lambda stage: True)
        texts, model = finished.experiments[0].texts, finished.resolution.strong.spec.model
        with patch("outshine.learn.load.load_tokenizer", side_effect=error) if error else ExitStack():
            estimator._counted(model, texts, 64, 5.0)
        return estimator.notes

    return said


STAGES = (
    Claim("{} {} failed{}, the others are kept; run again to try once more: {}{}", failed("a"), planned()),
    Claim(
        "{} workers died of it, the last one {}; too little memory?",
        lambda: [Failure.of_deaths(SimpleNamespace(key="0" * 64, label="a"), 2, "was killed by signal 9").message],  # type: ignore[arg-type]
        failed("a"),
    ),
    Claim(", {} that need {} left out", failed("a", left_out=2), failed("a")),
    Claim("{}: damaged artefact set aside ({}) in {}; computing it anew", mended(damaged=True), mended(damaged=False)),
    Claim("{}: another process is computing it; waiting", waited(60), waited(0.1)),
    Claim(
        " and {} more in one pass",
        lambda: [unit_label([SimpleNamespace(label="a"), SimpleNamespace(label="b")])],  # type: ignore[list-item]
        lambda: [unit_label([SimpleNamespace(label="a")])],  # type: ignore[list-item]
    ),
    Claim(
        "the study is not recorded: `outshine gc` may not know of it ({})",
        recorded(refused(errno.ENOSPC)),
        recorded(refused(errno.EROFS)),  # what cannot be written at all needs no protection
    ),
    Claim("--log {}: {}; the run goes on without it", tracked(tracker_fails=True), tracked()),
    Claim("--log: {}; the run goes on without it", tracked(study_fails=True), tracked()),
    Claim(
        "neither in the cache nor to be had from the hub now, so unresolved: {}",
        found(NoAnswerError("no answer")),
        found(None),
    ),
    Claim(
        "{}: its size is unknown here; FLOPs and GPU-hours leave it out",
        lambda: unresolved_model(ModelSettings(model="some/model"), "float32").notes,
        lambda: unresolved_model(ModelSettings(model="openai-community/gpt2"), "float32").notes,
    ),
    Claim("{}: its size is unknown, FLOPs and GPU-hours leave it out ({})", shaped(DataError("odd")), shaped(None)),
    Claim(
        "tokens of {} are estimated from characters ({})",
        counted_tokens(DataError("no tokenizer")),
        counted_tokens(None),
    ),
)

# -- notes on settings and training ----------------------------------------------------------------------


def expanded(name: str) -> Say:
    """Notes of a study with weak_to_weak among its controls."""

    def said() -> list[str]:
        resolved = study(name)[0].resolution.study
        both = resolved.model_copy(update={"controls": parse_study({**_BOTH}).controls})
        return resolve_study(both).notes

    return said


def family_notes(*datasets: str) -> Say:
    return lambda: _family_notes(parse_study({**_BOTH, "datasets": list(datasets)}))


_BOTH = {"datasets": ["tiny-home"], "weak": "tiny/weak", "strong": "tiny/strong", "controls": ["weak_to_weak"]}


def read_badly(shortened: int = 0, unknown: float = 0) -> Say:
    """Notes of a fine-tuning of whose two texts so many were too long, and so large a share of tokens unknown."""

    def said() -> list[str]:
        stage = study("bare")[0].experiments[0].ceiling
        read = {"shortened": [shortened, 0], "unknown": unknown}
        frame = pd.DataFrame({"id": ["a", "b"], "split": "test", **read})
        data = SimpleNamespace(notes=[[]], frame=frame, train=[SimpleNamespace(ids=[], tokens=[])])
        trained = SimpleNamespace(curve=[{"step": 1}], chosen_step=1)
        progress = Silent()
        with (
            tempfile.TemporaryDirectory() as folder,
            patch("outshine.learn.saved_models.save_classifier"),
        ):
            context = SimpleNamespace(progress=progress, folder=Path(folder))
            stage.write(None, data, 0, trained, np.zeros(2), context)  # type: ignore[arg-type]
        return progress.notes

    return said


def packed(*, processes: int = 1, takes_them: bool = True) -> Say:
    """Notes where packing is asked for, of a model in so many processes that takes packed texts or does not."""

    def work(progress: Silent) -> None:
        model = SimpleNamespace(spec=SimpleNamespace(name="m"), device=torch.device("cpu"))
        context = SimpleNamespace(runtime=Runtime(packing=True), progress=progress)
        frame = pd.DataFrame({"tokens": [[1, 2]]})
        with (
            patch("outshine.learn.packing.start_packing", return_value=takes_them),
            patch("outshine.learn.distributed.processes_of", return_value=SimpleNamespace(size=processes)),
        ):
            choose_batches(model, frame, context)  # type: ignore[arg-type]

    return notes_of(work)


def captured(*, works: bool) -> Say:
    """What is told of passes of one size whose capture works, or fails."""

    def capture(run: Callable[[], Any]) -> Captured:
        if not works:
            raise RuntimeError("the device was asked for a number")
        return Captured(run(), lambda: None)

    def work(progress: Silent) -> None:
        graphs = CudaGraphs(capture, progress.note)
        with torch.no_grad():
            for _ in range(EAGER_PASSES + 2):
                graphs.log_odds("size", torch.sin, [torch.ones(2)], [])

    return notes_of(work)


def together(*, apart: bool = True, fits: bool = True) -> Say:
    """What is noted of two models on a base that keeps the rows of a batch apart, or mixes them, and fits twice or not."""

    def work(progress: Silent) -> None:
        @contextmanager
        def members(*given: object) -> Iterator[SimpleNamespace]:
            if not fits:
                raise TooLittleMemoryError("out of memory")
            yield SimpleNamespace(head=None, separates=lambda: apart)

        texts = SimpleNamespace(task=BINARY)
        stage = SimpleNamespace(classifier=SimpleNamespace(name="a model"), seed=0, texts=texts)
        context = SimpleNamespace(runtime=Runtime(device="cpu"), progress=progress, memory={})
        with (
            patch("outshine.learn.model_cache.cohort", members),
            patch("outshine.learn.batches.suitable_threads", lambda *given: nullcontext()),
            patch("outshine.w2s.stages.finetune._train_members"),
            patch("outshine.w2s.stages.finetune._train_one"),
        ):
            Finetune.run_together([stage] * 2, [context] * 2, Path())  # type: ignore[list-item]

    return notes_of(work)


def loss_notes(loss: Entropy | Window, *labels: float | tuple[float, ...]) -> Say:
    return lambda: loss.notes(torch.tensor(labels or (0.1, 0.5, 0.9)))


def class_notes(dataset: str) -> Say:
    """What is said of the classes of a dataset."""
    return lambda: _class_notes(resolve_study(parse_study({**_BOTH, "datasets": [dataset]})).prepares)


def told_by(metric: str) -> Say:
    """What is said of a dataset whose results are told by a metric."""

    class Told(Binary):
        pass

    Told.metric = metric
    return lambda: _class_notes([SimpleNamespace(name="a dataset", task=Told())])  # type: ignore[list-item]


def topofilter(*, islands: bool) -> Say:
    """Notes of the filter: of classes that fall into pieces, or that hang together."""

    def said() -> Iterable[str]:
        generator = torch.Generator().manual_seed(0)
        acts, p = torch.randn(120, 2, generator=generator), torch.rand(120, generator=generator)
        if islands:
            acts += 50 * torch.arange(120)[:, None].div(6, rounding_mode="floor")
        else:
            acts[:, 0] += 20 * (p > 0.5)
        rows = Labelled.of([f"{number:03}" for number in range(120)], acts, p)
        return TopoFilter(k=5).keep(rows, 0.1, rows).notes

    return said


def rate(name: str) -> Say:
    def said() -> list[str]:
        note = learning_rate(ModelSettings(model=name), 10**8).note
        return [note] if note else []

    return said


def listed() -> list[str]:
    from outshine.learn.known_models import KNOWN

    return [text for name, known in KNOWN.items() for text in (name, known.note)]


NOTES = (
    Claim(
        "{} are made of the same rows: pooled PGRs and comparisons count them as one dataset",
        family_notes("sciq", "cola", "sciq_with_support"),
        family_notes("sciq", "cola"),
    ),
    Claim(
        "the AUROCs of {} are means over its {} classes, each against the rest",
        class_notes("tiny-instrument-family"),
        class_notes("tiny-instrument"),
    ),
    Claim("what tables and figures of {} call AUROC or AUC is its {}: {}", told_by("accuracy"), told_by("auroc")),
    Claim("weak_to_weak is left out: weak labels from a file have no weak model", expanded("file"), expanded("bare")),
    Claim("{} of the texts were shortened to {} tokens", read_badly(shortened=1), read_badly()),
    Claim(
        "{} of the tokens are unknown to the tokenizer of {}: it cannot read the texts",
        read_badly(unknown=0.6),
        read_badly(unknown=0.4),
    ),
    Claim(
        "{} mixes the rows of a batch: its models are trained one by one", together(apart=False), together(apart=True)
    ),
    Claim("{}: {} models at once do not fit into memory; they are trained in halves", together(fits=False), together()),
    Claim("several processes share the model: texts are padded, not packed", packed(processes=2), packed()),
    Claim(
        "{} gives packed texts other log-odds than padded ones, or takes none: they are padded",
        packed(takes_them=False),
        packed(),
    ),
    Claim(
        "passes are not captured as CUDA graphs, which makes small batches slower ({})",
        captured(works=False),
        captured(works=True),
    ),
    Claim(
        "cross-entropy plus a penalty on the entropy of the student's predictions", lambda: [Entropy.title], None, TITLE
    ),
    Claim(
        "entropy: alpha = {} is above .5: rows with labels near one half are pushed to either side, whichever the start "
        "favours",
        loss_notes(Entropy(alpha=0.7)),
        loss_notes(Entropy(alpha=0.5)),
    ),
    Claim(
        "entropy: alpha = {} is above .5: rows whose labels are an even mix of classes are pushed to one of these, "
        "whichever the start favours",
        loss_notes(Entropy(alpha=0.7), (0.2, 0.3, 0.5), (0.1, 0.1, 0.8)),
        loss_notes(Entropy(alpha=0.7)),  # of two classes
    ),
    Claim(
        "window: the radius is 0 (at least half of the labels are an even mix of all classes); next to nothing is "
        "trained on",
        loss_notes(Window(), (0.25, 0.25, 0.25, 0.25), (0.25, 0.25, 0.25, 0.25), (0.7, 0.1, 0.1, 0.1)),
        loss_notes(Window(), (0.25, 0.25, 0.25, 0.25), (0.4, 0.2, 0.2, 0.2), (0.7, 0.1, 0.1, 0.1)),
    ),
    Claim("cross-entropy on rows that the student is unconfident about", lambda: [Window.title], None, TITLE),
    Claim(
        "window: the radius is 0 (at least half of the labels are one half); next to nothing is trained on",
        loss_notes(Window(), 0.5, 0.5, 0.9),
        loss_notes(Window(), 0.1, 0.5, 0.9),
    ),
    Claim(
        "largest component of each class in the kNN graph, then disagreement with neighbours",
        lambda: [TopoFilter.title],
        None,
        TITLE,
    ),
    Claim(
        "topofilter: components alone removed {} of the rows; nothing further is dropped",
        topofilter(islands=True),
        topofilter(islands=False),
    ),
    Claim(
        "topofilter, among the rows that its components keep",
        lambda: _too_few_kept(),
        topofilter(islands=True),
    ),
    Claim("meta-llama/Meta-Llama-3-8B", listed, None, NAME),
    Claim("sentence-transformers/all-MiniLM-L6-v2", listed, None, NAME),
    Claim("sentence-transformers/paraphrase-MiniLM-L3-v2", listed, None, NAME),
    Claim("sentence-transformers/all-mpnet-base-v2", listed, None, NAME),
    *(
        Claim(text, listed, None, TITLE)
        for text in (
            "the post's weak supervisor",
            "the post's strong student; gated",
            "successor of the post's strong student; gated",
            "successor of the post's weak supervisor",
            "0.26 M parameters, little stories only",
            "embedded; knows little of the tiny world",
            "embedded; between weak and strong",
            "embedded; knows the tiny world well",
        )
    ),
    Claim(
        "{}: learning rate {} is a guess, none is listed for it with tuning {}; set learning_rate",
        rate("some/model"),
        rate("Qwen/Qwen1.5-0.5B"),
    ),
)


def _too_few_kept() -> list[str]:
    """The error of a filter whose components leave fewer rows than neighbours are asked for."""
    acts = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    rows = Labelled.of(list("abcdefghijkl"), acts, torch.arange(12) / 11)
    kept = torch.arange(12) > 7
    with patch("outshine.learn.filters.topofilter.largest_components", return_value=kept):
        try:
            TopoFilter(k=6).keep(rows, 0.9, rows)
        except DataError as error:
            return [str(error)]
    return []


# -- intervals and PGRs ----------------------------------------------------------------------------------


def aucs(weak: float, ceiling: float, se: float) -> Estimate:
    cov = np.diag([se**2] * 3)
    return Estimate(np.array([weak, (weak + ceiling) / 2, ceiling]), (CovariancePart(cov, np.inf),))


def reason(weak: float, ceiling: float, se: float = 0.01) -> Say:
    return lambda: [pgr(aucs(weak, ceiling, se)).reason]


def pooled_reasons(*several: Estimate, families: list[str] | None = None) -> Say:
    def said() -> list[str]:
        found = pooled_pgr(several, families=families)
        return [found.these_datasets.reason, found.any_datasets.reason]

    return said


def interval_note(y: list[int], scores: list[float], groups: list[str] | None = None) -> Say:
    return lambda: [auroc_interval(combine_seeds(y, np.array(scores)[None, None], groups), 0).note]


usual = interval_note([0, 1, 0, 1, 1, 0], [0.1, 0.9, 0.8, 0.3, 0.7, 0.2])
one, two = aucs(0.6, 0.9, 0.01), aucs(0.6, 0.8, 0.01)


def difference_note(variance: float) -> Say:
    estimate = Estimate(np.array([0.1, 0.2]), (CovariancePart(np.diag([variance, variance]), np.inf),))
    return lambda: [difference_interval(estimate, [1.0, -1.0]).note]


def drawn_pgr(*, saturated: bool) -> Say:
    import matplotlib.text

    row = {"dataset": "d", "label": "vanilla", "pgr": 0.5, "pgr_low": 0.4, "pgr_high": 0.6, "defined": True}
    frame = pd.DataFrame([{**row, "saturated": saturated}])
    return lambda: [
        " ".join(t.get_text() for t in pgr_by_method(frame).findobj(matplotlib.text.Text)).replace("\n", " ")
    ]


def legends() -> list[str]:
    """Titles of legends, and names of figures."""
    import matplotlib.text

    found = [t.get_text() for plate in figures("full") for t in plate.figure.findobj(matplotlib.text.Text)]
    return [*found, *(plate.figure.get_label() for plate in figures("full")), *captions("full")()]


NUMBERS = (
    Claim(
        "one class lies in a single group (or row) of the test set: no variance can be estimated",
        interval_note([0, 1, 0, 1], [0.1, 0.9, 0.8, 0.3], ["a", "a", "b", "a"]),
        usual,
    ),
    Claim("no variation between test rows: limits for {} {}", interval_note([0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8]), usual),
    Claim(
        "independent groups of rows",
        lambda: [Accuracy().interval(Accuracy().combine_seeds([0, 1], [[[-1.0, 1.0]]]), 0).note],
        usual,
    ),
    Claim("no variance can be estimated", difference_note(float("nan")), difference_note(0.01)),
    Claim("no dataset is left: all are saturated, or none was given", pooled_reasons(), pooled_reasons(one)),
    Claim("one dataset tells nothing about others", pooled_reasons(one), pooled_reasons(one, two)),
    Claim(
        "datasets of one family tell nothing about others",
        pooled_reasons(one, one, families=["a", "a"]),
        pooled_reasons(one),
    ),
    Claim(
        "the ceiling does not exceed the weak supervisor (difference {}{})", reason(0.9, 0.8), reason(0.8, 0.81, 0.1)
    ),
    Claim(
        "the gap between ceiling and weak supervisor, {}{}, cannot be told from 0 ({})",
        reason(0.8, 0.81, 0.1),
        reason(0.6, 0.9),
    ),
    Claim(
        "{} saturated: weak supervisor and ceiling both above .999; left out of pooled PGRs",
        drawn_pgr(saturated=True),
        drawn_pgr(saturated=False),
    ),
    Claim("strong-to-strong training", legends, None, NAME),
    Claim("vanilla students by loss", legends, None, NAME),
    Claim("pgr-of-changed-data", legends, None, NAME),
    Claim("performance gap recovered (PGR), with 95 % interval", legends, None, COLUMN),
    Claim("strong student and ceiling", page("bare"), None, COLUMN),
)


CLAIMS: tuple[Claim, ...] = COMMANDS + STAGES + NOTES + NUMBERS
