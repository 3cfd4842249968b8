"""The `outshine` command, twice, or with something wrong in one of its processes: a program of its own."""

from __future__ import annotations

import os
import sys

import pytest

from outshine.cli.main import main
from outshine.engine.errors import DataError
from outshine.learn.classifier import Classifier
from outshine.report.figures import svg_png
from outshine.w2s.stages.prepare import Prepare


def fail(*args: object, **kwargs: object) -> None:
    raise DataError("this process has had enough; give it a rest")


def twice() -> None:
    """Nothing is wrong; what was computed is asked for once more."""
    arguments = list(sys.argv)
    with pytest.raises(SystemExit, check=lambda stop: not stop.code):
        main()
    sys.argv[:] = arguments
    sys.stderr.write("AGAIN\n")


def failing() -> None:
    """First the leader, alone, while the other waits to be told; then the other, in the middle of a pass together."""
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == os.environ["RANK"] == "0":
        Prepare.run = fail
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == os.environ["RANK"] == "1":
        Classifier.forward = fail


if __name__ == "__main__":
    svg_png._save = lambda figure, buffer, format, **options: buffer.write("<svg></svg>" if format == "svg" else b"")
    {"twice": twice, "failing": failing}[sys.argv.pop(1)]()
    main()
