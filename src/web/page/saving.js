// The draft: the text that LB Admin and LB Layer 7 both edit, until it is saved; and versions of the file.
//
// There is one text, so a form and the editor never disagree. `saved` is what the file had, and `base` names that version:
// a save that starts from another one is refused by the server, and its difference is shown here.

import { attempt, dialog, empty, find, get, make, notice, post, Refused, table } from "./common.js";

const TYPING = 700; // milliseconds in which typing is one step of undo

const draft = { text: "", saved: "", base: "", describe: null, loaded: false };
const watchers = new Set();
let past = [];
let future = [];
let typed = 0;
let session = null;
let leaving = false;
let unread = null; // the notice that says why the file cannot be shown

export function begin(made) {
  session = made;
  if (draft.loaded) return;
  editable(false);
  window.addEventListener("beforeunload", (event) => isChanged() && !leaving && event.preventDefault());
  window.addEventListener("focus", () => (draft.loaded ? look() : load()));
  load();
}

/** Until the file's text is there, nothing can be edited: it would be lost when the text comes. */
function editable(is) {
  for (const tab of ["admin", "text"]) find(tab).inert = !is;
}

export const current = () => draft;
export const isChanged = () => draft.loaded && draft.text !== draft.saved;

/** Calls `watch` now, if a text is there, and after each change. */
export function subscribe(watch) {
  watchers.add(watch);
  if (draft.loaded) watch(draft);
}

function tell() {
  drawState();
  for (const watch of watchers) watch(draft);
}

function adopt(file) {
  Object.assign(draft, {
    text: file.text,
    saved: file.text,
    base: file.version,
    describe: file.describe,
    loaded: true,
  });
  past = [];
  future = [];
  editable(true);
  tell();
}

/** The first reading; again when a person comes back to a page that could not show the file. */
async function load() {
  try {
    const file = await get("/api/config");
    unread?.remove();
    if (draft.loaded) return; // by another reading, and edited since
    adopt(file);
    if (!file.text.trim()) take(session.beginning);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    unread?.remove();
    if (error.status !== 401) unread = notice(error.message, "problem");
  }
}

/** Whether another person or program has saved meanwhile. */
async function look() {
  let file;
  try {
    file = await get("/api/config");
  } catch {
    return;
  }
  if (file.version === draft.base) return;
  if (!isChanged()) adopt(file);
  else if (!find("changed-elsewhere"))
    notice("The file was changed by someone else. When you save, you will see the difference.", "problem").id =
      "changed-elsewhere";
}

/** Takes a new text; typing in quick succession is one step of undo. Without `describe`, the server is asked. */
export function take(text, describe = null, typing = false) {
  if (text === draft.text) return;
  const now = Date.now();
  if (!typing || now - typed > TYPING || !past.length) past.push(draft.text);
  if (past.length > 500) past.shift();
  typed = typing ? now : 0;
  future = [];
  put(text, describe);
}

function put(text, describe) {
  draft.text = text;
  if (describe) draft.describe = describe;
  else check();
  tell();
}

let waiting = null;
let asked = 0;

/** Has the daemon's parser read the text, soon. */
function check() {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    const turn = ++asked;
    const answer = await attempt(() => post("/api/config/check", { text: draft.text }));
    if (!answer || turn !== asked) return;
    draft.describe = answer.describe;
    tell();
  }, 150);
}

function step(from, to) {
  if (!from.length) return;
  to.push(draft.text);
  typed = 0;
  put(from.pop(), null);
}

export const undo = () => step(past, future);
export const redo = () => step(future, past);
export const steps = () => ({ undo: past.length, redo: future.length });

// --- what is unsaved, in the head of the page ---

function drawState() {
  const box = find("draft");
  if (!isChanged()) {
    if (box.childElementCount) box.replaceChildren();
    return;
  }
  if (box.childElementCount) return;
  const save = make(
    "button",
    { type: "button", id: "save", className: "primary", onclick: () => attempt(saveWithDifference, save) },
    "Save …",
  );
  const drop = make("button", { type: "button", id: "discard", onclick: discard }, "Discard");
  box.replaceChildren(make("span", { className: "badge warn" }, "Unsaved changes"), drop, save);
}

async function discard() {
  const answer = await dialog(
    "Discard the changes?",
    make("p", {}, "The text becomes the file's again. Undo brings the changes back."),
    [
      ["", "Keep them"],
      ["drop", "Discard", "danger"],
    ],
  );
  if (answer === "drop") take(draft.saved);
}

/** Before logging out: whether the changes may be lost. */
export async function leave() {
  leaving =
    !isChanged() ||
    (await dialog("Log out without saving?", make("p", {}, "The changes of the text are lost then."), [
      ["", "Stay"],
      ["go", "Log out", "danger"],
    ])) === "go";
  return leaving;
}

async function saveWithDifference() {
  const { rows } = await post("/api/config/difference", { from: draft.saved, to: draft.text });
  const after = session.reloads
    ? "The file is saved, and the proxy reads it. If it does not take it, the file is taken back."
    : "The file is saved. No proxy is asked to read it: start this page with --reload or --pidfile for that.";
  if (
    (await dialog(
      "Save the file?",
      [drawRows(rows), make("p", { className: "dim" }, after)],
      [
        ["", "Cancel"],
        ["save", "Save", "primary"],
      ],
      { wide: true },
    )) === "save"
  )
    await save();
}

async function save() {
  const text = draft.text;
  try {
    const done = await post("/api/config/save", { text, base: draft.base });
    draft.saved = text;
    draft.base = done.version;
    find("changed-elsewhere")?.remove();
    tell();
    notice(
      done.reloaded
        ? "Saved, and the proxy has read it."
        : session.reloads
          ? "Saved, but no proxy holds the pidfile, so none has read it: start tproxyd, or write 'pidfile' in 'global'."
          : "Saved.",
    );
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 409 && error.body.text !== undefined) await resolve(error.body);
    else if (error.status === 422 && error.body.errors)
      await dialog(
        "The proxy would not take this text",
        make(
          "ul",
          { className: "messages" },
          error.body.errors.map((each) => make("li", {}, each)),
        ),
        [["", "Close"]],
        { wide: true },
      );
    else throw error;
  }
}

/** Another one has saved first: shows what the file has now and this draft would change. */
async function resolve(file) {
  const { rows } = await post("/api/config/difference", { from: file.text, to: draft.text });
  const words = make(
    "p",
    {},
    "The file was changed by someone else since you began. This is what your text would change in the file as it is now: lines with − are theirs and would go.",
  );
  const answer = await dialog(
    "Someone else has saved",
    [words, drawRows(rows)],
    [
      ["", "Go on editing"],
      ["theirs", "Take theirs"],
      ["mine", "Save mine over theirs", "danger"],
    ],
    { wide: true },
  );
  if (!answer) return;
  draft.base = file.version;
  draft.saved = file.text;
  if (answer === "mine") await save();
  else take(file.text);
  tell();
}

// --- differences ---

const SIGNS = { added: "+", removed: "−", same: " " };

export function drawRows(rows) {
  if (!rows.length) return empty("There is no difference.");
  const lines = rows.map((row) =>
    row.kind === "gap"
      ? make("div", { className: "row gap" }, `… ${row.count} line${row.count > 1 ? "s" : ""} …`)
      : make(
          "div",
          { className: `row ${row.kind}` },
          make("span", { className: "at", "aria-hidden": "true" }, row.old || ""),
          make("span", { className: "at", "aria-hidden": "true" }, row.new || ""),
          make("span", { className: "what" }, `${SIGNS[row.kind]} ${row.text}`),
        ),
  );
  return make("div", { className: "difference", tabIndex: 0, role: "region", "aria-label": "Difference" }, lines);
}

/** Shows what a change makes of the text, and takes it where that is wanted. Returns whether it was. */
export async function propose(change) {
  const made = await post("/api/config/change", { text: draft.text, change });
  if (made.text === draft.text) {
    notice("The text has that already.");
    return false;
  }
  const answer = await dialog(
    "Change the text?",
    drawRows(made.rows),
    [
      ["", "Cancel"],
      ["take", "Take it", "primary"],
    ],
    { wide: true },
  );
  if (answer !== "take") return false;
  take(made.text, made.describe);
  return true;
}

// --- versions ---

export async function showVersions() {
  const { versions } = await get("/api/versions");
  if (!versions.length) {
    await dialog("Versions", empty("Nothing was saved yet."), [["", "Close"]]);
    return;
  }
  const out = make("div", { "aria-live": "polite" });
  let chosen = null;
  const choice = (name, index) =>
    make("input", {
      type: "radio",
      name,
      value: versions[index].id,
      "aria-label": `${name === "from" ? "from" : "to"} ${when(versions[index])}`,
      required: true,
    });
  const rows = versions.map((each, index) => {
    const from = choice("from", index);
    const to = choice("to", index);
    from.checked = index === Math.min(1, versions.length - 1);
    to.checked = index === 0;
    const edit = make(
      "button",
      { type: "button", className: "small", onclick: (event) => attempt(() => bring(each), event.target) },
      "Edit this one",
    );
    return [
      [when(each), " ", each.current ? make("span", { className: "badge good" }, "in the file") : null],
      from,
      to,
      each.who,
      each.bytes,
      edit,
    ];
  });
  const compare = async () => {
    const id = (name) => box.querySelector(`input[name=${name}]:checked`).value;
    const [from, to] = await Promise.all(["from", "to"].map((name) => get(`/api/versions/text?id=${id(name)}`)));
    out.replaceChildren(drawRows((await post("/api/config/difference", { from: from.text, to: to.text })).rows));
  };
  const bring = async (version) => {
    chosen = (await get(`/api/versions/text?id=${version.id}`)).text;
    box.closest("dialog").close();
  };
  const box = make("div", {}, table("Versions", ["saved", "from", "to", "by", "#bytes", ""], rows), out);
  box.addEventListener("change", () => attempt(compare));
  attempt(compare);
  await dialog("Versions", box, [["", "Close"]], { wide: true });
  if (chosen === null) return;
  take(chosen);
  notice("That version is in the editor now. Save it to put it into the file.");
}

const when = (version) =>
  new Date(version.time * 1000).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
