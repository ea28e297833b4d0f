// What forms of listeners and farms are made of: rows that open, and controls whose change is proposed.

import { attempt, dialog, make } from "./common.js";
import * as saving from "./saving.js";

const open = new Set(); // keys of rows

/** The row of that kind and name is drawn open from now on. */
export const keepOpen = (kind, name) => open.add(`${kind} ${name}`);

/** A row that opens; what is inside is made when it does. */
export function entry(kind, name, words, summary, body) {
  const key = `${kind} ${name}`;
  const element = make(
    "details",
    { className: "card entry", dataset: { words: words.join(" ").toLowerCase(), name, kind } },
    make("summary", { dataset: { key } }, summary),
  );
  const fill = () => {
    if (element.open && element.childElementCount === 1) element.append(body());
    element.open ? open.add(key) : open.delete(key);
  };
  element.addEventListener("toggle", fill);
  if (open.has(key)) {
    element.open = true;
    fill();
  }
  return element;
}

const run = (change, button) => attempt(() => saving.propose(change), button);

export const control = (label, input, hint, wide = false) =>
  make("label", { className: wide ? "field wide" : "field" }, label, input, hint ? make("small", {}, hint) : null);

export function select(values, value, onchange, more = {}) {
  const element = make(
    "select",
    { onchange, ...more },
    Object.entries(values).map(([each, words]) => make("option", { value: each, selected: each === value }, words)),
  );
  if (!(value in values) && value !== undefined) element.append(make("option", { value, selected: true }, value));
  return element;
}

/** A control whose change is proposed; where that is not taken, the old value comes back. */
export async function proposeFrom(element, old, change) {
  const taken = await attempt(() => saving.propose(change));
  if (!taken && element.isConnected) element.type === "checkbox" ? (element.checked = old) : (element.value = old);
}

export function toggle(label, checked, change, key) {
  const input = make("input", {
    type: "checkbox",
    role: "switch",
    checked,
    dataset: { key },
    onchange: () => proposeFrom(input, checked, change(input.checked)),
  });
  return make("label", { className: "switch" }, input, label);
}

export function remover(words, change) {
  const button = make(
    "button",
    { type: "button", className: "small danger", onclick: () => run(change, button) },
    words,
  );
  return button;
}

export function renamer(kind, name, server) {
  const button = make(
    "button",
    {
      type: "button",
      className: "small",
      "aria-label": `Rename ${server ?? name}`,
      onclick: () =>
        attempt(async () => {
          const input = make("input", {
            name: "to",
            value: server ?? name,
            required: true,
            pattern: "[A-Za-z0-9_.:\\-]+",
            autocomplete: "off",
          });
          if (
            (await dialog("Rename", control("New name", input), [
              ["", "Cancel"],
              ["go", "Go on", "primary"],
            ])) !== "go"
          )
            return;
          const change =
            server !== undefined
              ? { op: "rename-server", farm: name, server, to: input.value }
              : { op: `rename-${kind}`, name, to: input.value };
          await saving.propose(change);
        }, button),
    },
    "Rename …",
  );
  return button;
}

export const switchField = (name, words, checked) => {
  const input = make("input", { type: "checkbox", role: "switch", name, checked });
  return [input, make("label", { className: "switch" }, input, words)];
};

export const nameField = (placeholder) =>
  make("input", {
    name: "name",
    required: true,
    pattern: "[A-Za-z0-9_.:\\-]+",
    placeholder,
    autocomplete: "off",
    spellcheck: false,
  });

/** A field for one timeout of a section; WHERE names the listener or the farm. Empty: there is none. */
export function timeoutField(label, section, which, where) {
  const value = section.timeouts[which] ?? "";
  const input = make("input", {
    value,
    placeholder: "none",
    autocomplete: "off",
    dataset: { key: `timeout ${which} of ${section.name}` },
    onchange: () =>
      proposeFrom(input, value, { op: "set-timeout", ...where, timeout: which, value: input.value.trim() || null }),
  });
  const hint = section.inherited.includes(`timeout ${which}`) ? "from defaults" : "such as 30s or 5m";
  return control(label, input, hint);
}
