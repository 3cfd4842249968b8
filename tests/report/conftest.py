"""A finished study, its page and its store."""

from __future__ import annotations

import pytest

from html_pages import Page
from small_study import Ran, small_study


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def page(ran: Ran) -> Page:
    return Page(ran.page)
