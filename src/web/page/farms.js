// Farms of LB Admin: the choice of transparent proxying, how clients are shared, and servers.

import { attempt, badge, dialog, empty, make, table } from "./common.js";
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
} from "./forms.js";
import * as saving from "./saving.js";

const SOURCES = {
  none: "none: from this host's own address",
  clientip: "clientip: from the client's address",
  client: "client: from the client's address and port",
  address: "an address …",
};
const BALANCES = ["", "roundrobin", "static-rr", "leastconn", "first", "source", "random"];

const sourceBadge = (source) => (source === "none" ? null : badge(source, "good"));

export function drawFarm(farm) {
  const summary = make(
    "span",
    { className: "summary" },
    make("b", {}, farm.name),
    make(
      "span",
      { className: "dim" },
      farm.original
        ? "to where clients connect to"
        : `${farm.servers.length} server${farm.servers.length === 1 ? "" : "s"}`,
    ),
    sourceBadge(farm.source) ?? badge("this host's address"),
    farm.used_by.length
      ? make(
          "span",
          { className: "dim" },
          `← ${farm.used_by.slice(0, 3).join(", ")}${farm.used_by.length > 3 ? " …" : ""}`,
        )
      : badge("no listener", "warn"),
  );
  const words = [farm.name, ...farm.servers.flatMap((server) => [server.name, `${server.address}:${server.port}`])];
  return entry("farm", farm.name, words, summary, () => farmBody(farm));
}

const kindOf = (source) => (source in SOURCES ? source : "address");

/** The choice of transparent proxying; `change` makes the operation from a source. */
function sourceControl(source, change, key) {
  const kinds = { ...SOURCES };
  if (kindOf(source) === "address") kinds.address = `${source} …`;
  const element = select(
    kinds,
    kindOf(source),
    async () => {
      const wanted = element.value === "address" ? await askSource(source) : element.value;
      if (wanted === null) element.value = kindOf(source);
      else await proposeFrom(element, kindOf(source), change(wanted));
    },
    { dataset: { key } },
  );
  return element;
}

async function askSource(source) {
  const address = make("input", {
    name: "address",
    required: true,
    value: kindOf(source) === "address" ? source.replace("usesrc ", "") : "",
    placeholder: "198.51.100.7",
    autocomplete: "off",
  });
  const [foreign, field] = switchField(
    "foreign",
    "This host does not have the address (usesrc)",
    source.startsWith("usesrc "),
  );
  const answer = await dialog(
    "Connect from an address",
    make("div", { className: "fields" }, control("Address", address), field),
    [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ],
  );
  return answer === "go" ? `${foreign.checked ? "usesrc " : ""}${address.value.trim()}` : null;
}

function farmBody(farm) {
  const source = sourceControl(
    farm.source,
    (wanted) => ({ op: "set-source", farm: farm.name, source: wanted }),
    `source of ${farm.name}`,
  );
  const balance = select(Object.fromEntries(BALANCES.map((each) => [each, each || "default"])), farm.balance, () =>
    proposeFrom(balance, farm.balance, { op: "set-balance", farm: farm.name, balance: balance.value }),
  );
  const add = make(
    "button",
    { type: "button", className: "small add-server", onclick: () => attempt(() => askServer(farm), add) },
    "Add a server …",
  );
  return make(
    "div",
    { className: "body" },
    make(
      "div",
      { className: "fields" },
      control("Transparent proxying", source, "", true),
      control("Balance", balance),
      timeoutField("To reach a server", farm, "connect", { farm: farm.name }),
      timeoutField("Server may be silent", farm, "server", { farm: farm.name }),
    ),
    make("div", { className: "bar inner" }, make("h3", {}, "Servers"), make("span", { className: "grow" }), add),
    farm.servers.length ? drawServers(farm) : empty("No server yet."),
    make(
      "div",
      { className: "buttons" },
      make("span", { className: "dim grow" }, `${farm.section}, line ${farm.line}`),
      renamer("farm", farm.name),
      remover("Remove the farm …", { op: "remove-farm", name: farm.name }),
    ),
  );
}

function drawServers(farm) {
  const rows = farm.servers.map((server) => {
    const edit = make(
      "button",
      {
        type: "button",
        className: "small",
        "aria-label": `Change ${server.name}`,
        onclick: () => attempt(() => askServer(farm, server), edit),
      },
      "Change …",
    );
    const remove = remover("Remove …", { op: "remove-server", farm: farm.name, server: server.name });
    remove.setAttribute("aria-label", `Remove ${server.name} …`);
    const words = [
      server.check && badge("checked", "good"),
      server.backup && badge("backup", "blue"),
      server.disabled && badge("disabled", "warn"),
      server.source !== farm.source && badge(server.source, "blue"),
    ];
    return [
      server.name,
      make("code", {}, server.address + (server.port ? `:${server.port}` : "")),
      server.weight,
      words,
      make("div", { className: "actions" }, edit, renamer("server", farm.name, server.name), remove),
    ];
  });
  return table(`Servers of ${farm.name}`, ["name", "address", "#weight", "", ""], rows);
}

/** A dialog for a new server, or for one that is there: then only what differs is changed. */
async function askServer(farm, server = null) {
  const field = (name, value, more = {}) => make("input", { name, value: value ?? "", autocomplete: "off", ...more });
  const fields = {
    name: server ? null : nameField(`${farm.name}${farm.servers.length + 1}`),
    address: field("address", server?.address, { required: true, spellcheck: false }),
    port: field("port", server?.port || "", { type: "number", min: 0, max: 65535 }),
    weight: field("weight", server?.weight ?? 1, { type: "number", min: 0, max: 256 }),
    maxconn: field("maxconn", server?.maxconn ?? 0, { type: "number", min: 0 }),
  };
  const switches = ["check", "backup", "disabled"].map((name) => [
    name,
    ...switchField(
      name,
      { check: "Health check", backup: "Backup", disabled: "Disabled" }[name],
      server?.[name] ?? false,
    ),
  ]);
  const content = make(
    "div",
    { className: "fields" },
    fields.name ? control("Name", fields.name) : null,
    control("Address", fields.address),
    control("Port", fields.port, "empty: the client's"),
    control("Weight", fields.weight),
    control("Most sessions", fields.maxconn, "0: no limit"),
    switches.map(([, , label]) => label),
  );
  if (
    (await dialog(server ? `Change ${server.name}` : `Add a server to ${farm.name}`, content, [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ])) !== "go"
  )
    return;
  const values = {
    address: fields.address.value.trim(),
    port: Number(fields.port.value),
    weight: Number(fields.weight.value),
    maxconn: Number(fields.maxconn.value),
  };
  for (const [name, input] of switches) values[name] = input.checked;
  const before = server ?? { port: 0, weight: 1, maxconn: 0, check: false, backup: false, disabled: false };
  const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== before[name]));
  if (server && !Object.keys(changed).length) return;
  keepOpen("farm", farm.name);
  await saving.propose(
    server
      ? { op: "set-server", farm: farm.name, server: server.name, ...changed }
      : { op: "add-server", farm: farm.name, name: fields.name.value, ...changed },
  );
}

export async function askFarm() {
  const name = nameField("servers");
  const source = select(
    Object.fromEntries(Object.entries(SOURCES).filter(([kind]) => kind !== "address")),
    "none",
    null,
    { name: "source" },
  );
  const balance = select(Object.fromEntries(BALANCES.map((each) => [each, each || "default"])), "", null, {
    name: "balance",
  });
  const content = make(
    "div",
    { className: "fields" },
    control("Name", name),
    control("Transparent proxying", source, "", true),
    control("Balance", balance),
  );
  if (
    (await dialog("Add a farm", content, [
      ["", "Cancel"],
      ["go", "Go on", "primary"],
    ])) !== "go"
  )
    return;
  keepOpen("farm", name.value);
  await saving.propose({
    op: "add-farm",
    name: name.value,
    mode: "tcp",
    ...(source.value !== "none" ? { source: source.value } : {}),
    ...(balance.value ? { balance: balance.value } : {}),
  });
}
