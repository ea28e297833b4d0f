// What every tab uses: elements, requests, dialogs, notices.
//
// Text of others (names, messages, files) goes into a page by textContent alone; no HTML is ever parsed here.

// The token is in this origin's storage, which no other port of the host can read, unlike the cookie.
const TOKEN = "csrf";
const token = () => ({ "X-CSRF-Token": localStorage.getItem(TOKEN) || "" });

// One for each session: an answer that comes late, to a session that has ended, ends no other one.
let onLoggedOut = () => {};

/** Makes an element: properties, attributes (those with a "-", and role), listeners ("onclick"), and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const find = (id) => document.getElementById(id);

/** What the server refused: its status, and what it said. */
export class Refused extends Error {
  constructor(status, body) {
    super(body.message || `the server answered with status ${status}`);
    this.status = status;
    this.body = body;
  }
}

async function ask(path, options) {
  const loggedOut = onLoggedOut;
  let answer, body;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin", cache: "no-store" });
    body = await answer.json();
  } catch (error) {
    throw new Refused(0, {
      message: answer ? "the server's answer cannot be read" : "tproxyctl web does not answer; is it still running?",
    });
  }
  if (answer.status === 401 && path !== "/api/login" && loggedOut === onLoggedOut) loggedOut();
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export const get = (path) => ask(path, { headers: token() });

export const post = (path, body = {}) =>
  ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...token() },
    body: JSON.stringify(body),
  });

export function begin(session, loggedOut) {
  if (session.csrf) localStorage.setItem(TOKEN, session.csrf);
  onLoggedOut = loggedOut;
}

/** Says something for some seconds; a problem stays until it is closed. */
export function notice(text, kind = "well") {
  const close = make(
    "button",
    { type: "button", className: "quiet", onclick: () => element.remove(), "aria-label": "Close" },
    "✕",
  );
  const element = make("div", { className: `notice ${kind}` }, make("p", {}, text), close);
  find("notices").append(element);
  if (kind === "well") setTimeout(() => element.remove(), 8000);
  return element;
}

/** Runs work that a person asked for; what it throws is shown. */
export async function attempt(work, button) {
  if (button) {
    if (button.getAttribute("aria-disabled") === "true") return undefined;
    button.setAttribute("aria-disabled", "true"); // keeps the focus, unlike `disabled`
  }
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status !== 401) notice(error.message, "problem");
    return undefined;
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}

/**
 * Shows a dialog and waits for its end: the value of the button that was pressed, or "" where it was left. `check`, if
 * given, is asked before a button that is not "" ends it, and may refuse by returning false.
 */
export function dialog(title, content, buttons, { wide = false, check = null } = {}) {
  return new Promise((done) => {
    const end = (value) => {
      if (box.open) box.close(); // gives the focus back
      box.remove();
      done(value);
    };
    const heading = make("h2", { id: "dialog-title" }, title);
    const row = buttons.map(([value, words, kind]) =>
      make(
        "button",
        {
          type: value ? "submit" : "button",
          value,
          className: kind || "",
          autofocus: Boolean(value),
          onclick: value ? null : () => end(""),
        },
        words,
      ),
    );
    const form = make("form", { method: "dialog" }, heading, content, make("div", { className: "buttons" }, row));
    const box = make("dialog", { className: wide ? "wide" : "", "aria-labelledby": "dialog-title" }, form);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const value = event.submitter?.value || buttons.find(([each]) => each)[0];
      if (!check || (await check(value)) !== false) end(value);
    });
    box.addEventListener("close", () => end("")); // by Escape
    document.body.append(box);
    const first = form.querySelector("input, select");
    box.showModal();
    first?.focus();
  });
}

export const empty = (words) => make("p", { className: "empty" }, words);

export const badge = (words, kind = "") => make("span", { className: `badge ${kind}` }, words);

/** A button that copies a text. */
export function copier(text) {
  const button = make("button", { type: "button", className: "quiet small", "aria-label": "Copy the command" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      notice("The browser does not let this page copy: select the command instead.", "problem");
    }
  });
  return button;
}

export function command(text, ...more) {
  return make(
    "div",
    { className: "command" },
    make("pre", { tabIndex: 0, "aria-label": "command" }, text),
    copier(text),
    ...more,
  );
}

export function number(value) {
  return Number(value || 0).toLocaleString("en", { maximumFractionDigits: 1 });
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  for (; value >= 1024 && at < units.length - 1; at++) value /= 1024;
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** Draws a long list in parts, so that the page stays usable; ends early where `token.over` is set. */
export async function inParts(list, draw, token = {}) {
  for (let begin = 0; begin < list.length && !token.over; begin += 50) {
    for (const each of list.slice(begin, begin + 50)) draw(each);
    await new Promise((go) => setTimeout(go));
  }
}

/**
 * A table in a box that scrolls, or on a telephone a card for each row. HEADS are words, "" for a column without a head; numbers
 * stand behind "#". Each of ROWS is a list of cells: a text, an element, or a list of them. The first one names the row.
 */
export function table(label, heads, rows, caption = "") {
  const plain = heads.map((head) => head.replace("#", ""));
  const kind = (index) => (heads[index].startsWith("#") ? "number" : "");
  const head = make(
    "tr",
    {},
    plain.map((each, index) => (each ? make("th", { scope: "col", className: kind(index) }, each) : make("td"))),
  );
  const body = rows.map((cells) =>
    make(
      "tr",
      {},
      cells.map((cell, index) =>
        make(
          index ? "td" : "th",
          { scope: index ? null : "row", className: kind(index), dataset: { label: plain[index] } },
          cell,
        ),
      ),
    ),
  );
  return make(
    "div",
    { className: "scroll stack", tabIndex: 0, role: "region", "aria-label": label },
    make("table", {}, caption ? make("caption", {}, caption) : null, make("thead", {}, head), make("tbody", {}, body)),
  );
}

/** A text of our own programs, in which `…` is code. */
export const rich = (text) => text.split(/`([^`]+)`/).map((part, index) => (index % 2 ? make("code", {}, part) : part));
