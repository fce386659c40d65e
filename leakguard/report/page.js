"use strict";
(() => {
  const PAGE = 50; // rows that are made at a time
  const data = JSON.parse(document.getElementById("data").textContent);
  const text = (number) => data.texts[number];
  const byId = (id) => document.getElementById(id);
  const figure = (number) => number.toLocaleString("en");
  const plural = (number, noun) => `${figure(number)} ${noun}${number === 1 ? "" : "s"}`;

  // Every text goes into the page as text: nothing here ever parses HTML.
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== ""));
    return element;
  }

  const FIELDS = ["kind", "name", "state", "owner", "origin", "place", "waiting", "verdict", "hint", "stack", "note"];
  const leaks = data.leaks.map((row) => {
    const leak = { counted: row[FIELDS.length] === 1 };
    FIELDS.forEach((field, i) => { leak[field] = text(row[i]); });
    leak.search = FIELDS.map((field) => leak[field]).join("\n").toLowerCase();
    return leak;
  });
  const groups = data.groups.map(([kind, origin, members]) => ({
    kind: text(kind), origin: text(origin), members: members.map((number) => leaks[number]),
  }));
  const tests = data.tests.map(([id, outcome, ms, waited, live, members, details], i) => ({
    order: i + 1, id: text(id), outcome: text(outcome), seconds: ms, waited, live,
    members: members.map((number) => leaks[number]), details: text(details), search: text(id).toLowerCase(),
  }));
  const run = tests.filter((test) => test.outcome !== "");

  // -- one table: sorted, filtered, and shown a page at a time ---------------------------------------

  class Table {
    constructor(table, more, { keys, row, sort, noun, empty = () => "Nothing matches." }) {
      Object.assign(this, { table, more, keys, row, noun, empty, sort, found: [], shown: 0 });
      this.body = table.tBodies[0];
      for (const head of table.tHead.rows[0].cells) {
        const button = make("button", { type: "button", onclick: () => this.sortBy(head.dataset.sort) }, head.textContent);
        head.replaceChildren(button);
      }
      more.addEventListener("click", () => this.showMore());
    }

    sortBy(key) {
      const ascending = this.sort.key === key ? !this.sort.ascending : this.keys[key].ascending;
      this.sort = { key, ascending };
      this.show(this.found);
    }

    show(found) {
      const { key, ascending } = this.sort;
      const value = this.keys[key].value;
      const order = ascending ? 1 : -1;
      const compare = (a, b) => (a[0] < b[0] ? -order : a[0] > b[0] ? order : a[1] - b[1]);
      this.found = found.map((one, i) => [value(one), i, one]).sort(compare).map((one) => one[2]);
      for (const head of this.table.tHead.rows[0].cells) {
        if (head.dataset.sort === key) head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        else head.removeAttribute("aria-sort");
      }
      this.shown = 0;
      this.body.replaceChildren();
      if (!found.length) this.body.append(this.nothing());
      this.append();
    }

    nothing() {
      return make("tr", {}, make("td", { class: "none", colspan: this.table.tHead.rows[0].cells.length }, this.empty()));
    }

    append() {
      const next = this.found.slice(this.shown, this.shown + PAGE);
      this.body.append(...next.map((one) => this.row(one)));
      this.shown += next.length;
      const left = this.found.length - this.shown;
      this.more.hidden = left === 0;
      this.more.textContent = `Show ${figure(Math.min(PAGE, left))} more of ${plural(left, this.noun)}`;
    }

    showMore() {
      const first = this.shown;
      this.append();
      const target = this.body.rows[first] && this.body.rows[first].querySelector("summary, button");
      if (this.more.hidden && target) target.focus(); // the focus must not be lost with the button
    }
  }

  // A row's details are made when it is opened first.
  function lazy(summary, fill) {
    const details = make("details", {}, make("summary", {}, ...summary));
    details.addEventListener("toggle", () => {
      if (details.open && details.children.length === 1) details.append(...fill());
    });
    return details;
  }

  const cell = (number, name) => make("td", { class: `number ${name || ""}`.trim() }, number);
  // A name, path or line: shown in its own direction, and broken where it has parts.
  const isolated = (value) => make("bdi", {}, ...value.split(/(?<=[./_])(?!py\b)/).flatMap((part, i) => (i ? [make("wbr"), part] : [part])));
  const kindOf = (kind) => make("span", { class: `kind ${/^[a-z]+$/.test(kind) ? kind : ""}` }, kind);
  const distinct = (values) => [...new Set(values)];

  function finder(id) {
    return make("button", { type: "button", class: "find", onclick: () => find(id) }, isolated(id));
  }

  let only = null; // the one test that a link leads to, until something else is looked for

  function find(id) {
    only = id;
    byId("query").value = id;
    byId("which").value = "all";
    byId("counted").checked = false;
    for (const box of boxes) box.checked = true;
    update();
    (testTable.body.querySelector("summary") || byId("query")).focus();
  }

  function list(pairs) {
    const parts = pairs.filter(([, value]) => value && value.length !== 0);
    return make("dl", {}, ...parts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, ...[value].flat())]));
  }

  function stackOf(leak) {
    return leak.stack && leak.stack !== leak.place ? [lazy(["whole stack"], () => [make("pre", { tabindex: "0" }, leak.stack)])] : [];
  }

  function aboutLeak(leak) {
    return [
      ["state", leak.state],
      ["now at", leak.place && isolated(leak.place)],
      ["waiting in", leak.waiting && isolated(leak.waiting)],
      ["why alive", leak.verdict],
      ["fix", leak.hint],
      ["not counted", leak.counted ? "" : leak.note || "not counted"],
      ["stack", stackOf(leak)],
    ];
  }

  const LISTED = 12;
  function some(values, show) {
    const more = values.length > LISTED ? [make("li", {}, `and ${figure(values.length - LISTED)} more`)] : [];
    return [...values.slice(0, LISTED).map((value) => make("li", {}, show(value))), ...more];
  }

  function aboutGroup(group) {
    const names = distinct(group.matching.map((leak) => leak.name));
    const owners = distinct(group.matching.map((leak) => leak.owner));
    return [list([["names", make("ul", { class: "inline" }, ...some(names, isolated))], ...aboutLeak(group.matching[0]), ["left by", make("ul", {}, ...some(owners, finder))]])];
  }

  function groupRow(group) {
    const counted = group.matching.some((leak) => leak.counted);
    const summary = [isolated(group.origin), ...(counted ? [] : [" ", make("i", {}, "not counted")])];
    return make("tr", {},
      cell(figure(group.matching.length)),
      make("td", {}, kindOf(group.kind)),
      make("td", {}, lazy(summary, () => aboutGroup(group))),
      cell(figure(group.tests)));
  }

  function aboutTest(test) {
    const items = test.members.map((leak) => make("li", {}, kindOf(leak.kind), " ", isolated(leak.name),
      list([["created at", leak.origin ? isolated(leak.origin) : "unknown"], ...aboutLeak(leak)])));
    const alive = data.live.map((name, i) => [name, test.live[i]]).filter(([, count]) => count >= 0);
    return [
      items.length ? make("ul", { class: "left" }, ...items) : null,
      alive.length ? make("p", {}, `Alive after it: ${alive.map(([name, count]) => `${name} ${figure(count)}`).join(", ")}`) : null,
      test.details ? make("pre", { tabindex: "0" }, test.details) : null,
    ].filter((part) => part);
  }

  const duration = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 1 ? `${ms.toFixed(0)} ms` : ms > 0 ? "< 1 ms" : "");

  function testRow(test) {
    const has = test.members.length || test.details || test.live.length;
    const name = isolated(test.id);
    return make("tr", {},
      cell(test.outcome ? figure(test.order) : "", "order"),
      make("td", {}, has ? lazy([name], () => aboutTest(test)) : name),
      make("td", { class: `outcome ${test.outcome.split(" ")[0]}` }, test.outcome || "no test"),
      cell(test.members.length ? figure(test.members.length) : ""),
      cell(duration(test.seconds), "time"),
      cell(duration(test.waited), "time"));
  }

  const groupTable = new Table(byId("groups"), byId("more-groups"), {
    empty: () => (leaks.length ? "Nothing matches." : "Nothing was left running."),
    noun: "line", row: groupRow, sort: { key: "leaks", ascending: false },
    keys: {
      leaks: { value: (group) => group.matching.length, ascending: false },
      kind: { value: (group) => group.kind, ascending: true },
      origin: { value: (group) => group.origin, ascending: true },
      tests: { value: (group) => group.tests, ascending: false },
    },
  });
  const testTable = new Table(byId("testtable"), byId("more-tests"), {
    noun: "test", row: testRow, sort: { key: "leaks", ascending: false },
    keys: {
      order: { value: (test) => test.order, ascending: true },
      id: { value: (test) => test.id, ascending: true },
      outcome: { value: (test) => test.outcome, ascending: true },
      leaks: { value: (test) => test.members.length, ascending: false },
      seconds: { value: (test) => test.seconds, ascending: false },
      waited: { value: (test) => test.waited, ascending: false },
    },
  });

  // -- the filter --------------------------------------------------------------------------------------

  const kinds = distinct(groups.map((group) => group.kind)).sort();
  const boxes = kinds.map((kind) => make("input", { type: "checkbox", value: kind, checked: "" }));
  byId("kinds").append(...boxes.map((box) => make("label", {}, box, kindOf(box.value))));

  const WHICH = {
    leaks: (test) => test.members.length > 0,
    failed: (test) => ["failed", "error", "unexpected success"].includes(test.outcome),
    waited: (test) => test.waited > 0,
    all: () => true,
  };

  function update() {
    const words = byId("query").value.toLowerCase().split(/\s+/).filter((word) => word);
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const counted = byId("counted").checked;
    const narrowed = counted || wanted.size < kinds.length;
    const has = (search) => words.every((word) => search.includes(word));
    const isFit = (leak) => wanted.has(leak.kind) && (leak.counted || !counted);
    const matching = new Set(leaks.filter((leak) => isFit(leak) && has(leak.search)));

    for (const group of groups) {
      group.matching = group.members.filter((leak) => matching.has(leak));
      group.tests = new Set(group.matching.map((leak) => leak.owner)).size;
    }
    const found = groups.filter((group) => group.matching.length);
    groupTable.show(found);
    byId("status").textContent = `${figure(found.length)} of ${plural(groups.length, "line")}, `
      + `${figure(matching.size)} of ${plural(leaks.length, "leak")}`;

    const isShown = WHICH[byId("which").value];
    const isMatch = (test) => test.members.some((leak) => matching.has(leak)) || (!narrowed && has(test.search));
    const rows = tests.filter((test) => (only === null ? isShown(test) && isMatch(test) : test.id === only));
    testTable.show(rows);
    byId("tests-status").textContent = `${figure(rows.length)} of ${plural(tests.length, "row")}`;
  }

  function lookAnew() {
    only = null;
    update();
  }

  byId("filter").addEventListener("input", lookAnew);
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("which").addEventListener("change", lookAnew);

  // -- the charts: one test looked at in all of them -------------------------------------------------

  const drawings = [...document.querySelectorAll("figure[data-series] svg")];
  const slider = byId("position");

  function look(position) {
    const at = position * 1000 / Math.max(run.length, 1);
    for (const drawing of drawings) {
      let line = drawing.querySelector(".cursor");
      if (!line) {
        line = document.createElementNS("http://www.w3.org/2000/svg", "line");
        line.setAttribute("class", "cursor");
        line.setAttribute("y1", "0");
        line.setAttribute("y2", "100");
        drawing.append(line);
      }
      line.setAttribute("x1", at);
      line.setAttribute("x2", at);
    }
    const test = run[position - 1];
    const live = test ? test.live : data.before;
    const alive = data.live.map((name, i) => [name, live[i]]).filter(([, count]) => count >= 0);
    byId("readout").textContent = `${alive.map(([name, count]) => `${name} ${figure(count)}`).join(", ") || "not counted"} `
      + (test ? `after ${test.id}` : "before the first test");
    slider.setAttribute("aria-valuetext", byId("readout").textContent);
  }

  if (drawings.length) {
    slider.max = run.length;
    slider.addEventListener("input", () => look(Number(slider.value)));
    for (const drawing of drawings) {
      drawing.addEventListener("pointermove", (event) => {
        const box = drawing.getBoundingClientRect();
        slider.value = Math.round((event.clientX - box.left) / box.width * run.length);
        look(Number(slider.value));
      });
    }
    byId("cursor").hidden = false;
    look(0);
  }
  for (const name of document.querySelectorAll(".rises [data-find]")) name.replaceWith(finder(name.dataset.find));

  byId("filter").hidden = byId("tests").hidden = false;
  for (const element of document.querySelectorAll(".static")) element.remove();
  if (!leaks.length) {
    byId("which").value = "all";
    byId("kinds").hidden = byId("counted").parentElement.hidden = true;
  }
  update();
})();
