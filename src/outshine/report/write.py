"""Output files of a run: tables, the resolved study and the page, each written whole."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from outshine.engine.errors import OutshineError
from outshine.engine.files import user_path, write_whole
from outshine.report.figures import png, svg
from outshine.results.saved_tables import write_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from outshine.engine.store.store import Store
    from outshine.report.latex_and_markdown import Form
    from outshine.report.study_figures import StudyFigure
    from outshine.report.study_section import StudySection
    from outshine.results.finished import FinishedStudy
    from outshine.results.score.measure import ScoreResults


STUDY_FILE = "study.yaml"  # the resolved study, in the folder of a run


class OutputError(OutshineError):
    """A folder for results that cannot be written."""


def check_writable(out: Path) -> None:
    """Find out before hours of work that the results cannot be written. Raises OutputError.

    Nothing is left of the trial: folders that it made go again, for the work may come to nothing.
    """
    user_path(out)
    probe = out / f".{uuid.uuid4().hex[:8]}"
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise _cannot_write(out, error) from None
    finally:
        with suppress(OSError):  # never made, or in use meanwhile
            for folder in made:
                folder.rmdir()


def check_run_folder(out: Path) -> None:
    """As `check_writable`; raises OutputError too where the folder has a study file that no run wrote there."""
    check_writable(out)
    if (out / STUDY_FILE).exists() and not (out / "scores.parquet").exists():
        raise OutputError(
            f"'{out / STUDY_FILE}' is there, no run wrote it, and a run would write over it; choose another folder "
            "with --out"
        )


def check_place(path: Path) -> None:
    """As `check_writable`, of one file; raises OutputError too where a device, a link or a folder is there."""
    check_writable(path.parent)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise OutputError(f"'{path}' is no plain file and is not replaced by one; choose another name with --out")


def write_outputs(finished: FinishedStudy, store: Store, out: Path) -> Path:
    """Write every table (csv and parquet), `study.yaml` and `report.html`; returns the folder.

    Tables: those of `Results.tables()`, and `controls` where the study has any. What was measured is written before
    anything is made of it, so that a failure of a comparison or of the page leaves the tables where they are.
    """
    from outshine.results.controls import against
    from outshine.w2s.study_file import study_yaml

    results = finished.results
    always = ("scores", "pgr", "summary", "diagnostics")
    try:
        for name, table in results.tables().items():
            _write_or_remove(out / name, table, always=name in always)
        study = study_yaml(finished.resolution.study)
        write_whole(out / STUDY_FILE, lambda path: path.write_text(study, encoding="utf-8"))
        _write_or_remove(out / "controls", against(results.scores).by_dataset)
        _write_page([finished], store, out / "report.html")
    except OSError as error:
        raise _cannot_write(out, error) from error
    except OutshineError as error:
        raise OutputError(f"{error}; the tables of the run are in {out}") from error
    return out


def _write_or_remove(stem: Path, table: pd.DataFrame, *, always: bool = False) -> None:
    """Write a table; one without rows goes, which an earlier run into this folder may have left."""
    if len(table) or always:
        write_table(stem, table)
        return
    for ending in (".csv", ".parquet"):
        stem.with_suffix(ending).unlink(missing_ok=True)


def write_report(several: Sequence[FinishedStudy], store: Store, page: Path) -> list[Path]:
    """Write one page of one study or more, and beside it in `figures/` every figure as SVG and PNG; returns the paths.

    Of several studies the figures' names begin with the study's number.
    """
    folder = page.parent / "figures"
    written = [page]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, section in enumerate(_write_page(several, store, page), 1):
            written += _write_figures(_by_name(section.figures), folder, "" if len(several) == 1 else f"{number}-")
    except OSError as error:
        raise _cannot_write(page.parent, error) from error
    return written


def write_tables(several: Sequence[FinishedStudy], path: Path, form: Form) -> None:
    """Write the tables of studies for a paper, as Markdown or LaTeX."""
    from outshine.report.latex_and_markdown import tables_text

    text = tables_text(several, form)
    try:
        write_whole(path, lambda file: file.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise _cannot_write(path.parent, error) from error


def write_choosing(regrets: pd.DataFrame, pooled: pd.DataFrame, drawn: Sequence[StudyFigure], out: Path) -> Path:
    """Write the tables `regret` and `regret_pooled` and the figures of choosing; returns the folder."""
    folder = out / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(out / "regret", regrets)
        write_table(out / "regret_pooled", pooled)
        _write_figures(_by_name(drawn), folder)
    except OSError as error:
        raise _cannot_write(out, error) from error
    return out


def write_score(results: ScoreResults, out: Path) -> Path:
    """Write the tables of `outshine score` that have rows, and its figure; returns the folder."""
    from outshine.report.figures.score import score_figure

    try:
        for name, table in results.tables().items():
            if len(table):
                write_table(out / name, table)
        _write_figures({"score": score_figure(results.summary)}, out / "figures")
    except OSError as error:
        raise _cannot_write(out, error) from error
    return out


def _by_name(drawn: Sequence[StudyFigure]) -> dict[str, Figure]:
    return {one.name: one.figure for one in drawn}


def _write_figures(drawn: Mapping[str, Figure], folder: Path, prefix: str = "") -> list[Path]:
    """Every figure as SVG and PNG under its name; the paths."""
    written = []
    for name, figure in drawn.items():
        vector, raster = (folder / f"{prefix}{name}.{end}" for end in ("svg", "png"))
        text, data = svg(figure), png(figure)
        write_whole(vector, lambda path, text=text: path.write_text(text, encoding="utf-8"))
        write_whole(raster, lambda path, data=data: path.write_bytes(data))
        written += [vector, raster]
    return written


def _write_page(several: Sequence[FinishedStudy], store: Store, page: Path) -> list[StudySection]:
    from outshine.report.page import render
    from outshine.report.study_figures import study_figures
    from outshine.report.study_section import StudySection

    sections = [
        StudySection(finished, study_figures(finished.results, finished.resolution.study.loss.kind))
        for finished in several
    ]
    text = render(sections, store)
    write_whole(page, lambda path: path.write_text(text, encoding="utf-8"))
    return sections


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write to the folder {folder} ({error.strerror}); choose another one with --out")
