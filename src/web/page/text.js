// LB Layer 7: the configuration as text.

import { attempt, find, make, notice } from "./common.js";
import { Editor } from "./editor.js";
import * as saving from "./saving.js";

const FILE_MAX = 1 << 20;

let editor = null;
let parts = null;
let places = [];
let chosen = -1;

export function begin(_find, session) {
  if (editor) return;
  editor = new Editor("The configuration", (text) => saving.take(text, null, true));
  parts = build(session);
  find("text").replaceChildren(parts.bar, parts.state, editor.element, parts.problems);
  find("text").addEventListener("keydown", onKey);
  editor.area.addEventListener("beforeinput", (event) => {
    if (event.inputType === "historyUndo" || event.inputType === "historyRedo") {
      event.preventDefault();
      event.inputType === "historyUndo" ? saving.undo() : saving.redo();
    }
  });
  saving.subscribe(draw);
}

export function show() {
  search(false);
}

function build(session) {
  const button = (words, work, id) => make("button", { type: "button", id, onclick: work }, words);
  const words = make("input", {
    type: "search",
    id: "search",
    placeholder: "Search",
    "aria-label": "Search the text",
    oninput: () => search(true),
  });
  const count = make("span", { className: "dim count", role: "status" });
  const file = make("input", {
    type: "file",
    id: "upload-file",
    hidden: true,
    onchange: () => attempt(upload),
    accept: ".cfg,.conf,text/plain",
  });
  const undo = button("Undo", saving.undo, "undo");
  const redo = button("Redo", saving.redo, "redo");
  const bar = make(
    "div",
    { className: "bar" },
    make("h2", {}, session.config.split("/").pop()),
    make(
      "div",
      { className: "search", role: "search" },
      words,
      button("↑", () => move(-1), "previous"),
      button("↓", () => move(1), "next"),
      count,
    ),
    undo,
    redo,
    button("Versions", (event) => attempt(saving.showVersions, event.target), "versions"),
    button("Download", download, "download"),
    button("Upload", () => file.click(), "upload"),
    file,
  );
  bar.querySelector("#previous").setAttribute("aria-label", "Previous match");
  bar.querySelector("#next").setAttribute("aria-label", "Next match");
  return {
    bar,
    words,
    count,
    file,
    undo,
    redo,
    state: make("p", { id: "editor-state", role: "status", className: "state" }, "Reading the file …"),
    problems: make("ul", { className: "messages", "aria-label": "Messages" }),
  };
}

function draw(draft) {
  editor.set(draft.text);
  const { undo, redo } = saving.steps();
  parts.undo.disabled = !undo;
  parts.redo.disabled = !redo;
  if (draft.describe) drawMessages(draft.describe);
  search(false);
}

function drawMessages(describe) {
  const messages = [
    ...describe.errors.map((each) => ({ ...each, kind: "error" })),
    ...(describe.warnings || []).map((each) => ({ ...each, kind: "warning" })),
  ];
  const blank = !editor.text.trim();
  const errors = blank ? 0 : describe.errors.length;
  editor.mark(blank ? [] : messages);
  parts.state.className = `state ${errors ? "bad" : "good"}`;
  parts.state.textContent = blank
    ? "The file is empty. Write a frontend and a backend, or use LB Admin."
    : errors
      ? `${errors} error${errors > 1 ? "s" : ""}: the proxy would not take this text.`
      : "The proxy would take this text.";
  parts.problems.replaceChildren(
    ...(blank ? [] : messages)
      .slice(0, 200)
      .map((each) =>
        make(
          "li",
          { className: each.kind },
          each.line
            ? make(
                "button",
                { type: "button", className: "quiet small", onclick: () => editor.goTo(each.line, each.column) },
                `Line ${each.line}`,
              )
            : null,
          ` ${each.message}`,
        ),
      ),
  );
}

function onKey(event) {
  const key = event.key.toLowerCase();
  if (!event.ctrlKey && !event.metaKey) {
    if (event.target === parts.words && key === "enter") {
      event.preventDefault();
      move(event.shiftKey ? -1 : 1);
    } else if (event.target === parts.words && key === "escape") editor.area.focus();
    return;
  }
  const work = {
    f: () => parts.words.select(),
    s: () => find("save")?.click(),
    z: event.shiftKey ? saving.redo : saving.undo,
    y: saving.redo,
  }[key];
  if (!work) return;
  event.preventDefault();
  work();
}

// --- search ---

function search(jump) {
  const wanted = parts.words.value.toLowerCase();
  const text = editor.area.value.toLowerCase();
  places = [];
  for (
    let at = wanted ? text.indexOf(wanted) : -1;
    at !== -1 && places.length < 2000;
    at = text.indexOf(wanted, at + wanted.length)
  )
    places.push([at, at + wanted.length]);
  if (!jump && chosen >= places.length) chosen = places.length - 1;
  if (jump)
    chosen = places.length
      ? Math.max(
          0,
          places.findIndex(([begin]) => begin >= editor.area.selectionStart),
        )
      : -1;
  showChosen(jump);
}

function move(by) {
  if (!places.length) return;
  chosen = (chosen + by + places.length) % places.length;
  showChosen(true);
}

function showChosen(jump) {
  parts.count.textContent = parts.words.value ? (places.length ? `${chosen + 1} of ${places.length}` : "no match") : "";
  editor.highlight(places, chosen);
  if (jump && places[chosen]) editor.reveal(...places[chosen], false);
}

// --- files ---

function download() {
  const link = make("a", {
    href: URL.createObjectURL(new Blob([saving.current().text], { type: "text/plain" })),
    download: parts.bar.querySelector("h2").textContent,
  });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function upload() {
  const [file] = parts.file.files;
  parts.file.value = "";
  if (!file) return;
  if (file.size > FILE_MAX) {
    notice(`${file.name} has more than 1 MiB.`, "problem");
    return;
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    saving.take(decoder.decode(await file.arrayBuffer()));
    notice(`${file.name} is in the editor. Save it to put it into the file.`);
  } catch {
    notice(`${file.name} is no text in UTF-8.`, "problem");
  }
}
