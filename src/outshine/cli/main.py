"""The `outshine` command and how its errors reach people."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, TextIO

import typer

from outshine.cli import (
    audit as auditing,
)
from outshine.cli import (
    compare as comparing,
)
from outshine.cli import (
    export_import as travelling,
)
from outshine.cli import (
    gc as tidying,
)
from outshine.cli import (
    label as labelling,
)
from outshine.cli import (
    ls as shelving,
)
from outshine.cli import (
    plan as planning,
)
from outshine.cli import (
    push as pushing,
)
from outshine.cli import (
    registries as listing,
)
from outshine.cli import (
    report as reporting,
)
from outshine.cli import (
    run as running,
)
from outshine.cli import (
    select as selecting,
)
from outshine.cli import (
    show_verify as storing,
)
from outshine.cli import (
    tiny_models as tiny,
)
from outshine.cli import (
    watch as watching,
)
from outshine.cli.streams import fault_of, prepare
from outshine.engine.threads import wait_asleep

app = typer.Typer(
    name="outshine",
    help="Weak-to-strong generalization: does the student outshine its supervisor?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
running.add_to(app)
watching.add_to(app)
planning.add_to(app)
reporting.add_to(app)
comparing.add_to(app)
selecting.add_to(app)
labelling.add_to(app)
shelving.add_to(app)
storing.add_to(app)
tidying.add_to(app)
travelling.add_to(app)
pushing.add_to(app)
listing.add_to(app)
auditing.add_to(app)
tiny.add_to(app)

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
    prepare()
    output = sys.stdout  # typer may put another in its place
    code = _code_of_app(output)
    fault = fault_of(output)
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
        if not (isinstance(error, OSError) and fault_of(output)):
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

    from outshine.cli.output import console
    from outshine.engine.messages import visible, without_secrets

    line = Text.assemble((word, "bold red"), visible(without_secrets(text)))
    console(stderr=True).print(line, soft_wrap=True)


def _show(text: str) -> None:
    from outshine.engine.messages import visible, without_secrets

    typer.echo(visible(without_secrets(text)), err=True)


if __name__ == "__main__":
    main()
