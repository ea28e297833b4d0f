// Listeners of LB Admin: addresses with their switch of transparent binding, the farm, and limits.

import { attempt, badge, dialog, make } from "./common.js";
import {
  control,
  entry,
  keepOpen,
  nameField,
  proposeFrom,
  remover,
  renamer,
  select,
  switchField,
  timeoutField,
  toggle,
} from "./forms.js";
import * as saving from "./saving.js";

const endpoint = (bind) => {
  const host = bind.address.includes(":") ? `[${bind.address}]` : bind.address;
  return `${host}:${bind.port_low}${bind.port_high !== bind.port_low ? `-${bind.port_high}` : ""}`;
};

export function drawListener(listener) {
  const transparent = listener.binds.some((bind) => bind.transparent);
  const summary = make(
    "span",
    { className: "summary" },
    make("b", {}, listener.name),
    make(
      "span",
      { className: "dim" },
      listener.binds.slice(0, 3).map(endpoint).join(", ") +
        (listener.binds.length > 3 ? ` and ${listener.binds.length - 3} more` : ""),
    ),
    transparent ? badge("transparent", "good") : badge("not transparent"),
    listener.default_backend
      ? make("span", { className: "dim" }, `→ ${listener.default_backend}`)
      : badge("no farm", "warn"),
  );
  return entry("listener", listener.name, [listener.name, ...listener.binds.map(endpoint)], summary, () =>
    listenerBody(listener),
  );
}

function listenerBody(listener) {
  const { farms } = saving.current().describe;
  const names = Object.fromEntries([["", "none"], ...farms.map((farm) => [farm.name, farm.name])]);
  const farm = select(
    names,
    listener.default_backend,
    () =>
      proposeFrom(farm, listener.default_backend, {
        op: "set-default-backend",
        listener: listener.name,
        farm: farm.value,
      }),
    { dataset: { key: `farm of ${listener.name}` }, disabled: listener.section === "listen" },
  );
  const mode = select({ tcp: "tcp", http: "http", udp: "udp" }, listener.mode, () =>
    proposeFrom(mode, listener.mode, { op: "set-mode", listener: listener.name, mode: mode.value }),
  );
  const maxconn = make("input", {
    type: "number",
    min: 0,
    value: listener.maxconn,
    onchange: () =>
      proposeFrom(maxconn, listener.maxconn, {
        op: "set-maxconn",
        listener: listener.name,
        maxconn: Number(maxconn.value),
      }),
  });
  const add = make(
    "button",
    { type: "button", className: "small", onclick: () => attempt(() => askBind(listener), add) },
    "Add an address …",
  );
  return make(
    "div",
    { className: "body" },
    make(
      "div",
      { className: "binds" },
      listener.binds.map((bind) => drawBind(listener, bind)),
      add,
    ),
    make(
      "div",
      { className: "fields" },
      control("Farm", farm, listener.section === "listen" ? "a listen section has its own servers" : ""),
      control("Mode", mode),
      control("Most sessions", maxconn, "0: no limit of its own"),
      timeoutField("Client may be silent", listener, "client", { listener: listener.name }),
    ),
    make(
      "div",
      { className: "buttons" },
      make("span", { className: "dim grow" }, `${listener.section}, line ${listener.line}`),
      renamer("listener", listener.name),
      remover("Remove the listener …", { op: "remove-listener", name: listener.name }),
    ),
  );
}

function drawBind(listener, bind) {
  const where = { listener: listener.name, bind: bind.index };
  const edit = make(
    "button",
    {
      type: "button",
      className: "small",
      "aria-label": `Change ${endpoint(bind)}`,
      onclick: () => attempt(() => askAddress(where, bind), edit),
    },
    "Change …",
  );
  return make(
    "div",
    { className: "bind" },
    make("code", {}, endpoint(bind)),
    toggle(
      make("span", {}, "Transparent binding", make("span", { className: "unseen" }, ` of ${endpoint(bind)}`)),
      bind.transparent,
      (transparent) => ({ op: "set-transparent", ...where, transparent }),
      `bind ${listener.name} ${bind.index}`,
    ),
    bind.shared > 1 ? make("small", { className: "dim" }, `with ${bind.shared - 1} more of line ${bind.line}`) : null,
    make("span", { className: "grow" }),
    edit,
    listener.binds.length > 1 ? remover("Remove …", { op: "remove-bind", ...where }) : null,
  );
}

const portValue = (text) => (/^\d+$/.test(text) ? Number(text) : text);

function addressFields(address = "", port = "") {
  const fields = {
    address: make("input", {
      name: "address",
      value: address,
      placeholder: "any address",
      autocomplete: "off",
      spellcheck: false,
    }),
    port: make("input", {
      name: "port",
      value: port,
      required: true,
      inputMode: "numeric",
      pattern: "[0-9]+(-[0-9]+)?",
      autocomplete: "off",
    }),
  };
  return [
    fields,
    [control("Address", fields.address, "IPv4 or IPv6; empty: any"), control("Port", fields.port, "or LOW-HIGH")],
  ];
}

const bindOf = (fields) => ({
  ...(fields.address.value.trim() ? { address: fields.address.value.trim() } : {}),
  port: portValue(fields.port.value.trim()),
});

async function askAddress(where, bind) {
  const ports = bind.port_low === bind.port_high ? bind.port_low : `${bind.port_low}-${bind.port_high}`;
  const [fields, controls] = addressFields(bind.address, ports);
  if (
    (await dialog("Change the address", make("div", { className: "fields" }, controls), [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ])) === "go"
  )
    await saving.propose({ op: "set-bind", ...where, ...bindOf(fields) });
}

async function askBind(listener) {
  const [fields, controls] = addressFields();
  const [transparent, field] = switchField("transparent", "Transparent binding", false);
  if (
    (await dialog(`Add an address to ${listener.name}`, make("div", { className: "fields" }, controls, field), [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ])) !== "go"
  )
    return;
  keepOpen("listener", listener.name);
  await saving.propose({
    op: "add-bind",
    listener: listener.name,
    ...bindOf(fields),
    transparent: transparent.checked,
  });
}

export async function askListener() {
  const { farms } = saving.current().describe ?? { farms: [] };
  const name = nameField("web");
  const [fields, controls] = addressFields();
  const [transparent, field] = switchField("transparent", "Transparent binding", false);
  const farm = select(
    Object.fromEntries([
      ["", "none yet"],
      ...farms.filter((each) => each.section !== "listen").map((each) => [each.name, each.name]),
    ]),
    "",
    null,
    { name: "farm" },
  );
  const content = make("div", { className: "fields" }, control("Name", name), controls, control("Farm", farm), field);
  if (
    (await dialog("Add a listener", content, [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ])) !== "go"
  )
    return;
  keepOpen("listener", name.value);
  const bind = { ...bindOf(fields), transparent: transparent.checked };
  await saving.propose({
    op: "add-listener",
    name: name.value,
    binds: [bind],
    mode: "tcp",
    ...(farm.value ? { default_backend: farm.value } : {}),
  });
}
