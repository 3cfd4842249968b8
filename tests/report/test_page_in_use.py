"""The page in a browser: it sorts, filters, unfolds, keeps its width on a phone, and asks nobody for anything."""

from __future__ import annotations

import math
import re
from itertools import groupby

import pytest

from browsing import browse, needs_browser, seen
from html_pages import Page

pytestmark = [needs_browser, pytest.mark.slow]

TABLE = """
const table = document.querySelector("table[data-filter]");
const shown = () => [...table.tBodies[0].rows].filter(row => row.checkVisibility()).map(row => [...row.cells].map(cell => cell.textContent));
const heads = [...table.tHead.rows[0].cells];
const bar = table.parentElement.previousElementSibling;
"""


def test_the_page_itself_says_nothing_on_the_console_and_its_script_runs(ran, tmp_path):
    said = browse(tmp_path, "--virtual-time-budget=5000", "--dump-dom", (ran.out / "report.html").as_uri())
    assert "CONSOLE" not in said.log
    assert said.dom.count('<div class="filters">') == 1
    assert '<th scope="col"><button type="button">dataset</button></th>' in said.dom


def test_a_fault_would_be_on_the_console(ran, tmp_path):
    """The check itself: another script than the page's own is refused, and told."""
    (tmp_path / "bad.html").write_text(ran.page.replace("<main", "<script>1</script><main", 1), encoding="utf-8")
    said = browse(tmp_path, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "bad.html").as_uri())
    assert "CONSOLE" in said.log
    assert "Content Security Policy" in said.log


@pytest.mark.parametrize("width", [390, 768, 1440])
def test_nothing_is_wider_than_the_window_or_fetched(ran, tmp_path, width):
    """With everything unfolded. What is too wide scrolls in a box that the keyboard reaches."""
    found = seen(
        ran.page,
        """
        document.querySelectorAll("details").forEach(one => (one.open = true));
        await later();
        const boxes = [...document.querySelectorAll(".wide, .plot")];
        return {
          window: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth, refused, fetched: fetched(),
          scrolled: boxes.filter(box => box.scrollWidth > box.clientWidth + 1).length,
          unreachable: boxes.filter(box => box.tabIndex !== 0 || !box.getAttribute("aria-label")).length,
          tables: [...document.querySelectorAll("table")].filter(one => !one.closest(".wide")).length,
          folded: document.querySelectorAll("details:not([open])").length,
        };
        """,
        tmp_path,
        width,
    )
    scrolled = found.pop("scrolled")
    kept = {"window": width, "overflow": 0, "refused": [], "fetched": []}
    assert found == kept | {"unreachable": 0, "tables": 0, "folded": 0}
    assert scrolled > 5 or width > 390


def test_sorting_by_each_column(ran, page, tmp_path):
    """Once from the greatest, once from the least, then as it was; what is unknown is last; all by the numbers shown."""
    found = seen(
        ran.page,
        TABLE
        + """
        const before = shown(), orders = [];
        for (const [column, head] of heads.entries()) {
          const button = head.querySelector("button");
          for (const turn of [0, 1, 2]) {
            button.click();
            orders.push([column, turn, head.getAttribute("aria-sort"), shown().map(row => row[column]),
                         heads.filter(other => other.hasAttribute("aria-sort")).length, shown().length]);
          }
          if (JSON.stringify(shown()) !== JSON.stringify(before)) return { error: `column ${column} is not put back` };
        }
        return { orders, before, buttons: heads.every(head => head.querySelector("button").tabIndex === 0) };
        """,
        tmp_path,
    )
    table = page.table("Test ROC AUC [")
    assert found["before"] == table.rows
    assert found["buttons"]
    assert len(found["orders"]) == 3 * len(table.columns) == 18
    for column, turn, said, cells, num_sorted, num_rows in found["orders"]:
        own = [row[column] for row in table.rows]
        assert num_rows == len(own)
        assert said == ("descending", "ascending", None)[turn]
        assert num_sorted == (0 if turn == 2 else 1)
        assert sorted(cells) == sorted(own)
        if turn == 2:
            assert cells == own
        elif column == 0:
            assert cells == sorted(own, reverse=turn == 0)
        elif column == 1:  # browsers and Python differ in what a space or an underscore sorts before
            assert [name for name, _ in groupby(cells)] == list(dict.fromkeys(cells)) != list(dict.fromkeys(own))
        else:
            numbers = [float(cell.split()[0]) if re.match(r"[-.\d]", cell) else math.nan for cell in cells]
            known = [number for number in numbers if not math.isnan(number)]
            assert known == sorted(known, reverse=turn == 0)
            assert all(math.isnan(number) for number in numbers[len(known) :])
            assert len(set(known)) > 2


def test_filtering_by_words_and_by_boxes(ran, page, tmp_path):
    found = seen(
        ran.page,
        TABLE
        + """
        const search = bar.querySelector("input[type=search]"), status = bar.querySelector("[role=status]");
        const type = words => { search.value = words; search.dispatchEvent(new Event("input", { bubbles: true })); };
        const look = () => [shown().map(row => row.slice(0, 2)), status.textContent];
        const steps = [look()];
        type("PET knn"); steps.push(look());
        type("no such word"); steps.push(look());
        type(""); steps.push(look());
        const [datasets, methods] = [...bar.querySelectorAll("details")];
        const counts = () => [...bar.querySelectorAll("summary")].map(one => one.textContent);
        datasets.querySelector("input").click(); steps.push(look());
        methods.querySelectorAll("button")[1].click(); steps.push(look());
        methods.querySelectorAll("input")[2].click(); steps.push(look());
        const few = counts();
        methods.querySelectorAll("button")[0].click(); datasets.querySelectorAll("button")[0].click();
        heads[2].querySelector("button").click(); steps.push([shown().length, status.textContent]);
        return { steps, few, labels: [...bar.querySelectorAll("input")].every(one => one.labels.length === 1) };
        """,
        tmp_path,
    )
    rows = [row[:2] for row in page.table("Test ROC AUC [").rows]
    datasets, methods = (list(dict.fromkeys(row[part] for row in rows)) for part in (0, 1))
    every = f"{len(rows)} of {len(rows)} rows"
    knn = [row for row in rows if "pet" in row[0] and "knn" in row[1]]
    rest = [row for row in rows if row[0] != datasets[0]]
    third = [row for row in rest if row[1] == methods[2]]
    assert len(knn) == 2
    assert found["steps"] == [
        [rows, every],
        [knn, f"2 of {len(rows)} rows"],
        [[], f"0 of {len(rows)} rows"],
        [rows, every],
        [rest, f"{len(rest)} of {len(rows)} rows"],
        [[], f"0 of {len(rows)} rows"],
        [third, f"{len(third)} of {len(rows)} rows"],
        [len(rows), every],
    ]
    assert found["few"] == [f"datasets: 2 of {len(datasets)}", f"methods: 1 of {len(methods)}"]
    assert found["labels"]


def test_a_link_to_a_dataset_unfolds_it_every_time(ran, tmp_path):
    found = seen(
        ran.page,
        """
        const link = document.querySelector('a[href="#dataset-2"]'), part = document.getElementById("dataset-2");
        const states = [part.open];
        link.click(); await later(); states.push(part.open);
        part.open = false; link.click(); await later(); states.push(part.open);
        const visible = part.querySelector("blockquote").getBoundingClientRect().height > 10;
        return { states, visible, name: part.querySelector("summary").firstChild.textContent.trim(), link: link.textContent };
        """,
        tmp_path,
    )
    assert found == {"states": [False, True, True], "visible": True, "name": "tiny-pet:", "link": "tiny-pet"}


def test_print_unfolds_what_is_to_be_read_and_folds_it_again(ran, tmp_path):
    found = seen(
        ran.page,
        """
        const open = () => [...document.querySelectorAll("details")].map(one => one.open);
        const before = open();
        dispatchEvent(new Event("beforeprint"));
        const printed = [...document.querySelectorAll("details:not([open])")].map(one => one.className);
        dispatchEvent(new Event("afterprint"));
        return { same: JSON.stringify(open()) === JSON.stringify(before), printed };
        """,
        tmp_path,
    )
    assert found["same"]
    assert "bulk" in found["printed"]
    assert set(found["printed"]) <= {"bulk", "choose bulk"}


def test_without_a_script_it_is_a_page_of_plain_tables(ran):
    page = Page(re.sub(r"<script>.*?</script>", "", ran.page, flags=re.DOTALL))
    assert len(page.tables) > 10
    assert not re.findall(r"<(?:button|input)", ran.page.split("<script>")[0])
