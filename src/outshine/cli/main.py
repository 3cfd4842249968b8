"""The `outshine` command: its subcommands, error messages and exit codes."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, TextIO

import typer

from outshine.cli import (
    artefacts,
    audit,
    compare,
    export_import,
    gc,
    label,
    plan,
    push,
    registries,
    report,
    run,
    score,
    select,
    stdio,
    tiny_models,
    watch,
)
from outshine.engine.threads import wait_asleep

app = typer.Typer(
    name="outshine",
    help="Weak-to-strong generalization: does the student outshine its supervisor?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run.add_to(app)
watch.add_to(app)
plan.add_to(app)
report.add_to(app)
compare.add_to(app)
score.add_to(app)
select.add_to(app)
label.add_to(app)
artefacts.add_to(app)
gc.add_to(app)
export_import.add_to(app)
push.add_to(app)
registries.add_to(app)
audit.add_to(app)
tiny_models.add_to(app)

wait_asleep()
_DEBUG = {"on": False}
_DEFECT, _TO_MEND = 1, 2  # exit codes


def _version(wanted: bool) -> None:
    if wanted:
        from outshine.engine.runtime import version_of

        typer.echo(f"outshine {version_of('outshine')}")
        raise typer.Exit


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of all commands."""
    _DEBUG["on"] = debug


def main() -> None:
    """Run the command line.

    Exits with 0: done; 1: faults found, or a defect; 2: something to mend; 3: stages failed, the others are finished;
    4: unfinished (`watch`); 130: interrupted.
    """
    _DEBUG["on"] = "--debug" in sys.argv
    stdio.prepare()
    output = sys.stdout  # typer may put another in its place
    code = _code_of_app(output)
    fault = stdio.fault_of(output)
    if isinstance(fault, BrokenPipeError):  # `outshine ls | head`
        code = 0
    elif fault is not None:
        _show_coloured("outshine:", f" cannot write to standard output ({fault.strerror})")
        code = max(code, _TO_MEND)
    sys.exit(code)


def _code_of_app(output: TextIO) -> int:
    """Run the command: its exit code. Errors are told, but that of the output."""
    from outshine.engine.errors import OutshineError

    try:
        app()
    except SystemExit as ended:  # typer always ends so
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except OutshineError as error:
        _say(error)
        return error.exit_code
    except Exception as error:  # a defect: Python would print the same, secrets in addresses and all
        if not (isinstance(error, OSError) and stdio.fault_of(output)):
            _show_traceback(error)
        return _DEFECT
    return 0


def _say(error: Exception) -> None:
    if _DEBUG["on"]:
        _show_traceback(error)
        for failure in getattr(error, "failures", ()):
            _show(failure.trace or "")
    _show_coloured("outshine:", f" {error}")


def _show_traceback(error: Exception) -> None:
    _show("".join(traceback.format_exception(error)).rstrip())


def _show_coloured(word: str, text: str) -> None:
    """One line on the error stream, its first word red where that stream shows colours."""
    from rich.text import Text

    from outshine.cli.terminal import console
    from outshine.engine.messages import visible, without_secrets

    line = Text.assemble((word, "bold red"), visible(without_secrets(text)))
    console(stderr=True).print(line, soft_wrap=True)


def _show(text: str) -> None:
    from outshine.engine.messages import visible, without_secrets

    typer.echo(visible(without_secrets(text)), err=True)


if __name__ == "__main__":
    main()
