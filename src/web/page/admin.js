// LB Admin: listeners and farms as forms. Each change is one operation on the text, and its difference is shown before it is
// taken; the server changes the words that are meant and nothing else.

import { attempt, badge, dialog, empty, find, inParts, make, table } from "./common.js";
import * as saving from "./saving.js";

const SOURCES = {
  none: "none: from this host's own address",
  clientip: "clientip: from the client's address",
  client: "client: from the client's address and port",
  address: "an address …",
};
const BALANCES = ["", "roundrobin", "static-rr", "leastconn", "first", "source", "random"];

let parts = null;
let drawn = null; // what is on the page, as text, so that nothing is drawn twice
let drawing = {};
const open = new Set();

export function begin() {
  if (parts) return;
  const filter = make("input", { type: "search", id: "filter", className: "filter", placeholder: "Filter by name or address", "aria-label": "Filter by name or address", oninput: narrow });
  const addListener = make("button", { type: "button", id: "add-listener", onclick: () => attempt(askListener, addListener) }, "Add a listener …");
  const addFarm = make("button", { type: "button", id: "add-farm", onclick: () => attempt(askFarm, addFarm) }, "Add a farm …");
  const button = (id, words, work) => make("button", { type: "button", id, onclick: (event) => attempt(work, event.target) }, words);
  parts = { filter, problems: make("div"), listeners: make("div", { id: "listeners" }), farms: make("div", { id: "farms" }) };
  find("admin").replaceChildren(
    make("div", { className: "bar" }, filter, button("admin-undo", "Undo", saving.undo), button("admin-redo", "Redo", saving.redo), button("admin-versions", "Versions", saving.showVersions)),
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
  parts.problems.replaceChildren(!blank && describe.errors.length ? drawProblems(describe.errors) : "");
  drawList(parts.listeners, describe.listeners, drawListener, "There is no listener yet. A listener is an address and a port that clients connect to.");
  drawList(parts.farms, describe.farms, drawFarm, "There is no farm yet. A farm is a group of servers that connections are passed on to.");
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function drawProblems(errors) {
  return make("div", { className: "card problem-card" }, make("h2", {}, "The proxy would not take this text"),
    make("ul", { className: "messages" }, errors.slice(0, 20).map((each) => make("li", { className: "error" }, `${each.line ? `Line ${each.line}: ` : ""}${each.message}`))));
}

function drawList(box, list, drawOne, words) {
  box.replaceChildren(...(list.length ? [] : [empty(words)]));
  const token = drawing;
  inParts(list, (each) => {
    const element = drawOne(each);
    element.hidden = !matches(element);
    box.append(element);
  }, token);
}

const matches = (element) => element.dataset.words.includes(parts.filter.value.trim().toLowerCase());

function narrow() {
  for (const element of find("admin").querySelectorAll("details.entry")) element.hidden = !matches(element);
}

/** A row that opens; what is inside is made when it does. */
function entry(kind, name, words, summary, body) {
  const key = `${kind} ${name}`;
  const element = make("details", { className: "card entry", dataset: { words: words.join(" ").toLowerCase(), name, kind } },
    make("summary", { dataset: { key } }, summary));
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

const endpoint = (bind) => {
  const host = bind.address.includes(":") ? `[${bind.address}]` : bind.address;
  return `${host}:${bind.port_low}${bind.port_high !== bind.port_low ? `-${bind.port_high}` : ""}`;
};

const sourceBadge = (source) => (source === "none" ? null : badge(source, "good"));

const run = (change, button) => attempt(() => saving.propose(change), button);

const control = (label, input, hint, wide = false) => make("label", { className: wide ? "field wide" : "field" }, label, input, hint ? make("small", {}, hint) : null);

function select(values, value, onchange, more = {}) {
  const element = make("select", { onchange, ...more }, Object.entries(values).map(([each, words]) => make("option", { value: each, selected: each === value }, words)));
  if (!(value in values) && value !== undefined) element.append(make("option", { value, selected: true }, value));
  return element;
}

/** A control whose change is proposed; where that is not taken, the old value comes back. */
async function proposeFrom(element, old, change) {
  const taken = await attempt(() => saving.propose(change));
  if (!taken && element.isConnected) element.type === "checkbox" ? (element.checked = old) : (element.value = old);
}

function toggle(label, checked, change, key) {
  const input = make("input", { type: "checkbox", role: "switch", checked, dataset: { key }, onchange: () => proposeFrom(input, checked, change(input.checked)) });
  return make("label", { className: "switch" }, input, label);
}

function remover(words, change) {
  const button = make("button", { type: "button", className: "small danger", onclick: () => run(change, button) }, words);
  return button;
}

function renamer(kind, name, server) {
  const button = make("button", { type: "button", className: "small", "aria-label": `Rename ${server ?? name}`, onclick: () => attempt(async () => {
    const input = make("input", { name: "to", value: server ?? name, required: true, pattern: "[A-Za-z0-9_.:\\-]+", autocomplete: "off" });
    if ((await dialog("Rename", control("New name", input), [["", "Cancel"], ["go", "Go on", "primary"]])) !== "go") return;
    const change = server !== undefined ? { op: "rename-server", farm: name, server, to: input.value } : { op: `rename-${kind}`, name, to: input.value };
    await saving.propose(change);
  }, button) }, "Rename …");
  return button;
}

// --- listeners ---

function drawListener(listener) {
  const transparent = listener.binds.some((bind) => bind.transparent);
  const summary = make("span", { className: "summary" },
    make("b", {}, listener.name), make("span", { className: "dim" }, listener.binds.slice(0, 3).map(endpoint).join(", ") + (listener.binds.length > 3 ? ` and ${listener.binds.length - 3} more` : "")),
    transparent ? badge("transparent", "good") : badge("not transparent"),
    listener.default_backend ? make("span", { className: "dim" }, `→ ${listener.default_backend}`) : badge("no farm", "warn"));
  return entry("listener", listener.name, [listener.name, ...listener.binds.map(endpoint)], summary, () => listenerBody(listener));
}

function listenerBody(listener) {
  const { farms } = saving.current().describe;
  const names = Object.fromEntries([["", "none"], ...farms.map((farm) => [farm.name, farm.name])]);
  const farm = select(names, listener.default_backend, () => proposeFrom(farm, listener.default_backend, { op: "set-default-backend", listener: listener.name, farm: farm.value }), { dataset: { key: `farm of ${listener.name}` }, disabled: listener.section === "listen" });
  const mode = select({ tcp: "tcp", http: "http", udp: "udp" }, listener.mode, () => proposeFrom(mode, listener.mode, { op: "set-mode", listener: listener.name, mode: mode.value }));
  const maxconn = make("input", { type: "number", min: 0, value: listener.maxconn, onchange: () => proposeFrom(maxconn, listener.maxconn, { op: "set-maxconn", listener: listener.name, maxconn: Number(maxconn.value) }) });
  const add = make("button", { type: "button", className: "small", onclick: () => attempt(() => askBind(listener), add) }, "Add an address …");
  return make("div", { className: "body" },
    make("div", { className: "binds" }, listener.binds.map((bind) => drawBind(listener, bind)), add),
    make("div", { className: "fields" }, control("Farm", farm, listener.section === "listen" ? "a listen section has its own servers" : ""), control("Mode", mode), control("Most sessions", maxconn, "0: no limit of its own")),
    make("div", { className: "buttons" }, make("span", { className: "dim grow" }, `${listener.section}, line ${listener.line}`), renamer("listener", listener.name), remover("Remove the listener …", { op: "remove-listener", name: listener.name })));
}

function drawBind(listener, bind) {
  const where = { listener: listener.name, bind: bind.index };
  const edit = make("button", { type: "button", className: "small", "aria-label": `Change ${endpoint(bind)}`, onclick: () => attempt(() => askAddress(where, bind), edit) }, "Change …");
  return make("div", { className: "bind" },
    make("code", {}, endpoint(bind)),
    toggle(make("span", {}, "Transparent binding", make("span", { className: "unseen" }, ` of ${endpoint(bind)}`)), bind.transparent, (transparent) => ({ op: "set-transparent", ...where, transparent }), `bind ${listener.name} ${bind.index}`),
    bind.shared > 1 ? make("small", { className: "dim" }, `with ${bind.shared - 1} more of line ${bind.line}`) : null,
    make("span", { className: "grow" }), edit, listener.binds.length > 1 ? remover("Remove …", { op: "remove-bind", ...where }) : null);
}

const portValue = (text) => (/^\d+$/.test(text) ? Number(text) : text);

function addressFields(address = "", port = "") {
  const fields = {
    address: make("input", { name: "address", value: address, placeholder: "any address", autocomplete: "off", spellcheck: false }),
    port: make("input", { name: "port", value: port, required: true, inputMode: "numeric", pattern: "[0-9]+(-[0-9]+)?", autocomplete: "off" }),
  };
  return [fields, [control("Address", fields.address, "IPv4 or IPv6; empty: any"), control("Port", fields.port, "or LOW-HIGH")]];
}

const bindOf = (fields) => ({ ...(fields.address.value.trim() ? { address: fields.address.value.trim() } : {}), port: portValue(fields.port.value.trim()) });

async function askAddress(where, bind) {
  const ports = bind.port_low === bind.port_high ? bind.port_low : `${bind.port_low}-${bind.port_high}`;
  const [fields, controls] = addressFields(bind.address, ports);
  if ((await dialog("Change the address", make("div", { className: "fields" }, controls), [["", "Cancel"], ["go", "Go on", "primary"]])) === "go") await saving.propose({ op: "set-bind", ...where, ...bindOf(fields) });
}

const switchField = (name, words, checked) => {
  const input = make("input", { type: "checkbox", role: "switch", name, checked });
  return [input, make("label", { className: "switch" }, input, words)];
};

async function askBind(listener) {
  const [fields, controls] = addressFields();
  const [transparent, field] = switchField("transparent", "Transparent binding", false);
  if ((await dialog(`Add an address to ${listener.name}`, make("div", { className: "fields" }, controls, field), [["", "Cancel"], ["go", "Go on", "primary"]])) !== "go") return;
  open.add(`listener ${listener.name}`);
  await saving.propose({ op: "add-bind", listener: listener.name, ...bindOf(fields), transparent: transparent.checked });
}

const nameField = (placeholder) => make("input", { name: "name", required: true, pattern: "[A-Za-z0-9_.:\\-]+", placeholder, autocomplete: "off", spellcheck: false });

async function askListener() {
  const { farms } = saving.current().describe ?? { farms: [] };
  const name = nameField("web");
  const [fields, controls] = addressFields();
  const [transparent, field] = switchField("transparent", "Transparent binding", false);
  const farm = select(Object.fromEntries([["", "none yet"], ...farms.filter((each) => each.section !== "listen").map((each) => [each.name, each.name])]), "", null, { name: "farm" });
  const content = make("div", { className: "fields" }, control("Name", name), controls, control("Farm", farm), field);
  if ((await dialog("Add a listener", content, [["", "Cancel"], ["go", "Go on", "primary"]])) !== "go") return;
  open.add(`listener ${name.value}`);
  const bind = { ...bindOf(fields), transparent: transparent.checked };
  await saving.propose({ op: "add-listener", name: name.value, binds: [bind], mode: "tcp", ...(farm.value ? { default_backend: farm.value } : {}) });
}

// --- farms ---

function drawFarm(farm) {
  const summary = make("span", { className: "summary" },
    make("b", {}, farm.name), make("span", { className: "dim" }, farm.original ? "to where clients connect to" : `${farm.servers.length} server${farm.servers.length === 1 ? "" : "s"}`),
    sourceBadge(farm.source) ?? badge("this host's address"),
    farm.used_by.length ? make("span", { className: "dim" }, `← ${farm.used_by.slice(0, 3).join(", ")}${farm.used_by.length > 3 ? " …" : ""}`) : badge("no listener", "warn"));
  const words = [farm.name, ...farm.servers.flatMap((server) => [server.name, `${server.address}:${server.port}`])];
  return entry("farm", farm.name, words, summary, () => farmBody(farm));
}

const kindOf = (source) => (source in SOURCES ? source : "address");

/** The choice of transparent proxying; `change` makes the operation from a source. */
function sourceControl(source, change, key) {
  const kinds = { ...SOURCES };
  if (kindOf(source) === "address") kinds.address = `${source} …`;
  const element = select(kinds, kindOf(source), async () => {
    const wanted = element.value === "address" ? await askSource(source) : element.value;
    if (wanted === null) element.value = kindOf(source);
    else await proposeFrom(element, kindOf(source), change(wanted));
  }, { dataset: { key } });
  return element;
}

async function askSource(source) {
  const address = make("input", { name: "address", required: true, value: kindOf(source) === "address" ? source.replace("usesrc ", "") : "", placeholder: "198.51.100.7", autocomplete: "off" });
  const [foreign, field] = switchField("foreign", "This host does not have the address (usesrc)", source.startsWith("usesrc "));
  const answer = await dialog("Connect from an address", make("div", { className: "fields" }, control("Address", address), field), [["", "Cancel"], ["go", "Go on", "primary"]]);
  return answer === "go" ? `${foreign.checked ? "usesrc " : ""}${address.value.trim()}` : null;
}

function farmBody(farm) {
  const source = sourceControl(farm.source, (wanted) => ({ op: "set-source", farm: farm.name, source: wanted }), `source of ${farm.name}`);
  const balance = select(Object.fromEntries(BALANCES.map((each) => [each, each || "default"])), farm.balance, () => proposeFrom(balance, farm.balance, { op: "set-balance", farm: farm.name, balance: balance.value }));
  const add = make("button", { type: "button", className: "small add-server", onclick: () => attempt(() => askServer(farm), add) }, "Add a server …");
  return make("div", { className: "body" },
    make("div", { className: "fields" }, control("Transparent proxying", source, "", true), control("Balance", balance)),
    make("div", { className: "bar inner" }, make("h3", {}, "Servers"), make("span", { className: "grow" }), add),
    farm.servers.length ? drawServers(farm) : empty("No server yet."),
    make("div", { className: "buttons" }, make("span", { className: "dim grow" }, `${farm.section}, line ${farm.line}`), renamer("farm", farm.name), remover("Remove the farm …", { op: "remove-farm", name: farm.name })));
}

function drawServers(farm) {
  const rows = farm.servers.map((server) => {
    const edit = make("button", { type: "button", className: "small", "aria-label": `Change ${server.name}`, onclick: () => attempt(() => askServer(farm, server), edit) }, "Change …");
    const remove = remover("Remove …", { op: "remove-server", farm: farm.name, server: server.name });
    remove.setAttribute("aria-label", `Remove ${server.name} …`);
    const words = [server.check && badge("checked", "good"), server.backup && badge("backup", "blue"), server.disabled && badge("disabled", "warn"), server.source !== farm.source && badge(server.source, "blue")];
    return [server.name, make("code", {}, server.address + (server.port ? `:${server.port}` : "")), server.weight, words, make("div", { className: "actions" }, edit, renamer("server", farm.name, server.name), remove)];
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
  const switches = ["check", "backup", "disabled"].map((name) => [name, ...switchField(name, { check: "Health check", backup: "Backup", disabled: "Disabled" }[name], server?.[name] ?? false)]);
  const content = make("div", { className: "fields" }, fields.name ? control("Name", fields.name) : null, control("Address", fields.address), control("Port", fields.port, "empty: the client's"), control("Weight", fields.weight), control("Most sessions", fields.maxconn, "0: no limit"), switches.map(([, , label]) => label));
  if ((await dialog(server ? `Change ${server.name}` : `Add a server to ${farm.name}`, content, [["", "Cancel"], ["go", "Go on", "primary"]])) !== "go") return;
  const values = { address: fields.address.value.trim(), port: Number(fields.port.value), weight: Number(fields.weight.value), maxconn: Number(fields.maxconn.value) };
  for (const [name, input] of switches) values[name] = input.checked;
  const before = server ?? { port: 0, weight: 1, maxconn: 0, check: false, backup: false, disabled: false };
  const changed = Object.fromEntries(Object.entries(values).filter(([name, value]) => value !== before[name]));
  if (server && !Object.keys(changed).length) return;
  open.add(`farm ${farm.name}`);
  await saving.propose(server ? { op: "set-server", farm: farm.name, server: server.name, ...changed } : { op: "add-server", farm: farm.name, name: fields.name.value, ...changed });
}

async function askFarm() {
  const name = nameField("servers");
  const source = select(Object.fromEntries(Object.entries(SOURCES).filter(([kind]) => kind !== "address")), "none", null, { name: "source" });
  const balance = select(Object.fromEntries(BALANCES.map((each) => [each, each || "default"])), "", null, { name: "balance" });
  const content = make("div", { className: "fields" }, control("Name", name), control("Transparent proxying", source, "", true), control("Balance", balance));
  if ((await dialog("Add a farm", content, [["", "Cancel"], ["go", "Go on", "primary"]])) !== "go") return;
  open.add(`farm ${name.value}`);
  await saving.propose({ op: "add-farm", name: name.value, mode: "tcp", ...(source.value !== "none" ? { source: source.value } : {}), ...(balance.value ? { balance: balance.value } : {}) });
}
