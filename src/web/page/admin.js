// LB Admin: listeners and farms as forms. Each change is one operation on the text, and its difference is shown before it is
// taken; the server changes the words that are meant and nothing else. This file draws the lists; what is in them is in
// listeners.js and farms.js.

import { attempt, empty, find, inParts, make } from "./common.js";
import { askFarm, drawFarm } from "./farms.js";
import { askListener, drawListener } from "./listeners.js";
import * as saving from "./saving.js";

let parts = null;
let drawn = null; // what is on the page, as text, so that nothing is drawn twice
let drawing = {};

export function begin() {
  if (parts) return;
  const filter = make("input", {
    type: "search",
    id: "filter",
    className: "filter",
    placeholder: "Filter by name or address",
    "aria-label": "Filter by name or address",
    oninput: narrow,
  });
  const addListener = make(
    "button",
    { type: "button", id: "add-listener", onclick: () => attempt(askListener, addListener) },
    "Add a listener …",
  );
  const addFarm = make(
    "button",
    { type: "button", id: "add-farm", onclick: () => attempt(askFarm, addFarm) },
    "Add a farm …",
  );
  const button = (id, words, work) =>
    make("button", { type: "button", id, onclick: (event) => attempt(work, event.target) }, words);
  parts = {
    filter,
    problems: make("div"),
    listeners: make("div", { id: "listeners" }),
    farms: make("div", { id: "farms" }),
  };
  find("admin").replaceChildren(
    make(
      "div",
      { className: "bar" },
      filter,
      button("admin-undo", "Undo", saving.undo),
      button("admin-redo", "Redo", saving.redo),
      button("admin-versions", "Versions", saving.showVersions),
    ),
    parts.problems,
    make("div", { className: "bar" }, make("h2", {}, "Listeners"), addListener),
    parts.listeners,
    make("div", { className: "bar" }, make("h2", {}, "Farms"), addFarm),
    parts.farms,
  );
  saving.subscribe(() => find("admin").hidden || draw());
}

export function show() {
  draw();
}

// --- drawing ---

function draw() {
  const { describe } = saving.current();
  const { undo, redo } = saving.steps();
  find("admin-undo").disabled = !undo;
  find("admin-redo").disabled = !redo;
  const now = JSON.stringify(describe);
  if (!describe || now === drawn) return;
  drawn = now;
  const focused = document.activeElement?.dataset?.key;
  drawing.over = true;
  drawing = {};
  const blank = !saving.current().text.trim();
  parts.problems.replaceChildren(
    !blank && (describe.errors.length || describe.warnings.length) ? drawProblems(describe) : "",
  );
  drawList(
    parts.listeners,
    describe.listeners,
    drawListener,
    "There is no listener yet. A listener is an address and a port that clients connect to.",
  );
  drawList(
    parts.farms,
    describe.farms,
    drawFarm,
    "There is no farm yet. A farm is a group of servers that connections are passed on to.",
  );
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function drawProblems({ errors, warnings }) {
  return make(
    "div",
    { className: errors.length ? "card problem-card" : "card" },
    make("h2", {}, errors.length ? "The proxy would not take this text" : "The proxy would take this text, and warns"),
    make(
      "ul",
      { className: "messages" },
      (errors.length ? errors : warnings)
        .slice(0, 20)
        .map((each) =>
          make(
            "li",
            { className: errors.length ? "error" : "warning" },
            `${each.line ? `Line ${each.line}: ` : ""}${each.message}`,
          ),
        ),
    ),
  );
}

function drawList(box, list, drawOne, words) {
  box.replaceChildren(...(list.length ? [] : [empty(words)]));
  const token = drawing;
  inParts(
    list,
    (each) => {
      const element = drawOne(each);
      element.hidden = !matches(element);
      box.append(element);
    },
    token,
  );
}

const matches = (element) => element.dataset.words.includes(parts.filter.value.trim().toLowerCase());

function narrow() {
  for (const element of find("admin").querySelectorAll("details.entry")) element.hidden = !matches(element);
}
