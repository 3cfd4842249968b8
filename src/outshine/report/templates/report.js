"use strict";
// Tables of the page can be sorted and filtered; links and print open what is folded. Without a script the page says the same.
(() => {
  const make = (tag, fields = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), fields);
    made.append(...inside);
    return made;
  };
  const words = cell => cell.textContent.trim();

  // What a cell is sorted by: ".842 [.820, .863]" is .842, "16 of 21" is 16, "< .001" is .001; null where it is no number.
  const NUMBER = /^<?\s*([+-]?(?:\d[\d,]*)?\.?\d*(?:e[+-]?\d+)?)\s*(?:$|[[(%]|of )/;
  const UNKNOWN = new Set(["", "–", "undefined", "undefined (saturated)", "not known"]);
  const number = text => {
    const plain = text.replaceAll("−", "-").replaceAll("∞", "1e999");
    const found = NUMBER.exec(plain);
    return found && /\d/.test(found[1]) ? parseFloat(found[1].replaceAll(",", "")) : null;
  };
  const order = new Intl.Collator(undefined, { numeric: true }).compare;

  const sortable = table => {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    const first = [...body.rows];
    if (first.length < 2) return;
    const sort = (column, direction) => {
      const texts = new Map(first.map(row => [row, words(row.cells[column])]));
      const known = first.filter(row => !UNKNOWN.has(texts.get(row)));
      const numbers = new Map(known.map(row => [row, number(texts.get(row))]));
      const counts = known.length > 0 && known.every(row => numbers.get(row) !== null);
      const sign = direction === "ascending" ? 1 : -1;
      const compare = counts
        ? (a, b) => sign * (numbers.get(a) - numbers.get(b)) || 0
        : (a, b) => sign * order(texts.get(a), texts.get(b));
      const unknown = first.filter(row => UNKNOWN.has(texts.get(row)));
      body.append(...(direction ? [...known.sort(compare), ...unknown] : first)); // unknown ones last, either way
    };
    heads.forEach((head, column) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { null: "descending", descending: "ascending", ascending: "" }[head.getAttribute("aria-sort")];
        heads.forEach(other => other.removeAttribute("aria-sort"));
        if (next) head.setAttribute("aria-sort", next);
        sort(column, next);
      });
    });
  };

  const filterable = table => {
    const rows = [...table.tBodies[0].rows];
    if (rows.length < 2) return;
    const texts = new Map(rows.map(row => [row, words(row).toLowerCase()]));
    const status = make("p", { role: "status" });
    const search = make("input", { type: "search", placeholder: "words in a row" });
    const groups = table.dataset.filter.split(",").map(Number).map(column => {
      const values = [...new Set(rows.map(row => words(row.cells[column])))];
      const boxes = values.map(value => make("input", { type: "checkbox", checked: true, value }));
      return { column, name: words(table.tHead.rows[0].cells[column]), boxes, count: make("span") };
    });
    const update = () => {
      const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = groups.map(group => new Set(group.boxes.filter(box => box.checked).map(box => box.value)));
      let shown = 0;
      for (const row of rows) {
        const keep =
          wanted.every(word => texts.get(row).includes(word)) &&
          groups.every((group, i) => chosen[i].has(words(row.cells[group.column])));
        row.hidden = !keep;
        shown += keep;
      }
      groups.forEach((group, i) => (group.count.textContent = `${chosen[i].size} of ${group.boxes.length}`));
      status.textContent = `${shown} of ${rows.length} rows`;
    };
    const all = (group, checked) => make("button", {
      type: "button",
      textContent: checked ? "all" : "none",
      onclick: () => { group.boxes.forEach(box => (box.checked = checked)); update(); },
    });
    const chooser = group => make("details", { className: "choose bulk" },
      make("summary", {}, `${group.name}s: `, group.count),
      make("div", {}, all(group, true), all(group, false)),
      make("div", { className: "choices" }, ...group.boxes.map(box => make("label", {}, box, " ", box.value))));
    const bar = make("div", { className: "filters" },
      make("label", {}, "Filter ", search),
      ...groups.filter(group => group.boxes.length > 1).map(chooser),
      status);
    bar.addEventListener("input", update);
    table.parentElement.before(bar);
    update();
  };

  // A link into something folded opens it, also the second time.
  const unfold = () => {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
    target.scrollIntoView();
  };
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not(.bulk):not([open])")];
    folded.forEach(one => (one.open = true));
  });
  addEventListener("afterprint", () => folded.forEach(one => (one.open = false)));
  addEventListener("hashchange", unfold);
  addEventListener("click", event => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.hash === location.hash) unfold();
  });

  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll("table[data-filter]").forEach(filterable);
  unfold();
})();
