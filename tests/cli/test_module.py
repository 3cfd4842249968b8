"""`python -m outshine`, as torchrun starts it."""

import runpy

import pytest


def test_the_package_is_the_command(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["outshine", "--version"])
    with pytest.raises(SystemExit):
        runpy.run_module("outshine", run_name="__main__")
    assert capsys.readouterr().out.startswith("outshine ")
