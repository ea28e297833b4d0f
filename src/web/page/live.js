// Live: what the proxy does now, by its stats socket.
//
// The server keeps the last ten minutes; this page asks for it every two seconds while it is seen. Transparent settings come
// from the text of the file, which is described beside it.

import { attempt, badge, bytes, empty, find, get, make, number, table } from "./common.js";
import { plot } from "./plots.js";
import * as saving from "./saving.js";

const PAUSE = 2000;
const TOTAL_POINTS = 299;
const POINTS = 59;
const ROWS = 60; // at first; more at a button

let parts = null;
let timer = null;
let stats = true;
let answered = true; // what the proxy did not say is not known
let shown = { listeners: ROWS, farms: ROWS };
const open = new Set();

export function begin(_find, session) {
  stats = session.stats;
  if (parts) return;
  const filter = make("input", {
    type: "search",
    className: "filter",
    placeholder: "Filter by name",
    "aria-label": "Filter by name",
    oninput: () => refresh(),
  });
  const sessions = make(
    "button",
    { type: "button", id: "show-sessions", onclick: () => attempt(drawSessions, sessions) },
    "Show sessions",
  );
  parts = {
    filter,
    state: make("p", { role: "status", className: "dim" }),
    total: make("div", { className: "tiles" }),
    refusals: make("div"),
    listeners: make("div"),
    farms: make("div"),
    sessions: make("div"),
    more: make("div"),
  };
  find("live").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, "The proxy now"), filter),
    parts.state,
    parts.total,
    parts.refusals,
    make("div", { className: "bar" }, make("h2", {}, "Listeners")),
    parts.listeners,
    make("div", { className: "bar" }, make("h2", {}, "Farms")),
    parts.farms,
    make("div", { className: "bar", hidden: !stats }, make("h2", {}, "Sessions"), sessions),
    parts.sessions,
  );
  saving.subscribe(() => !stats && drawWithoutProxy());
}

export function show() {
  if (stats) refresh();
  else drawWithoutProxy();
}

export function hide() {
  clearTimeout(timer);
}

function drawWithoutProxy() {
  parts.state.textContent = "No counters: start this page with --stats-socket PATH. This is what the file says.";
  draw({ rows: [], reasons: [], history: {}, info: {} });
}

async function refresh() {
  clearTimeout(timer);
  try {
    const live = await get("/api/live");
    if (live.problem) parts.state.textContent = `The proxy cannot be asked: ${live.problem}`;
    const info = readInfo(live.info || "");
    if (!live.problem)
      parts.state.textContent = info.Name
        ? `${info.Name} ${info.Version ?? ""}, up ${info.Uptime ?? "?"}, process ${info.Pid ?? "?"}`
        : "The proxy is being asked.";
    draw({ rows: readCsv(live.stat || ""), reasons: readCsv(live.reasons || ""), history: live.history, info });
  } catch (error) {
    parts.state.textContent = error.message;
    if (error.status === 401) return;
  }
  if (!find("live").hidden) timer = setTimeout(refresh, PAUSE);
}

function readInfo(text) {
  return Object.fromEntries(
    text
      .split("\n")
      .map((line) => line.split(/:\s*(.*)/))
      .filter((pair) => pair.length > 1),
  );
}

/** The rows of HAProxy's CSV as objects by column. */
export function readCsv(text) {
  const [head, ...lines] = text.split("\n").filter(Boolean);
  const names = (head ?? "").replace(/^#\s*/, "").split(",");
  return lines.map((line) => {
    const fields = [];
    for (const [, quoted, plain] of line.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*))(?:,|$)/g))
      fields.push(quoted !== undefined ? quoted.replaceAll('""', '"') : plain);
    return Object.fromEntries(names.map((name, index) => [name, fields[index] ?? ""]));
  });
}

// --- drawing ---

function draw(live) {
  answered = live.rows.length > 0;
  const describe = saving.current().describe ?? { listeners: [], farms: [] };
  const by = new Map();
  for (const row of live.rows) {
    if (!by.has(row.pxname)) by.set(row.pxname, { servers: [] });
    const group = by.get(row.pxname);
    if (row.svname === "FRONTEND") group.front = row;
    else if (row.svname === "BACKEND") group.back = row;
    else if (row.type === "2") group.servers.push(row);
  }
  if (stats) drawTotal(live);
  drawRefusals(live);
  const listeners = names(describe.listeners, by, "front").map((name) => [
    name,
    describe.listeners.find((each) => each.name === name),
    by.get(name),
  ]);
  const farms = names(describe.farms, by, "back").map((name) => [
    name,
    describe.farms.find((each) => each.name === name),
    by.get(name),
  ]);
  fill(parts.listeners, "listeners", listeners, (each) => drawListener(each, live.history), "There is no listener.");
  fill(parts.farms, "farms", farms, (each) => drawFarm(each, live.history), "There is no farm.");
}

function names(list, by, side) {
  const wanted = parts.filter.value.trim().toLowerCase();
  const all = new Set(list.map((each) => each.name));
  for (const [name, group] of by) if (group[side]) all.add(name);
  return [...all].filter((name) => name.toLowerCase().includes(wanted));
}

function fill(box, kind, list, drawOne, words) {
  const focused = document.activeElement?.dataset?.live;
  const rows = list.slice(0, shown[kind]).map(drawOne);
  if (list.length > shown[kind])
    rows.push(
      make(
        "button",
        {
          type: "button",
          onclick: () => {
            shown[kind] += 200;
            refresh();
          },
        },
        `Show more (${list.length - shown[kind]})`,
      ),
    );
  box.replaceChildren(...(rows.length ? rows : [empty(words)]));
  if (focused) document.querySelector(`[data-live="${CSS.escape(focused)}"]`)?.focus();
}

function tile(name, value, values) {
  return make(
    "div",
    { className: "card tile" },
    make("p", { className: "dim" }, name),
    make("p", { className: "value" }, value),
    values
      ? plot(values, TOTAL_POINTS, `${name}, the last ten minutes; highest ${number(Math.max(0, ...values))}`)
      : null,
  );
}

function drawTotal({ history, info }) {
  const all = history[""] ?? { rate: [], bytes: [], now: [] };
  const known = (words) => (answered ? words : "–");
  parts.total.replaceChildren(
    tile("Sessions a second", known(number(all.rate.at(-1))), all.rate),
    tile("Bytes a second", known(bytes(all.bytes.at(-1) ?? 0)), all.bytes),
    tile("Sessions now", known(number(all.now.at(-1))), all.now),
    ...(info.Maxconn ? [tile("Connections of the process", `${info.CurrConns ?? "?"} of ${info.Maxconn}`, null)] : []),
  );
}

// HAProxy's counters of what did not work, and in plain words what they count
const REFUSALS = {
  dreq: "refused by a rule",
  dcon: "refused by a rule at once",
  ereq: "a bad beginning by the client",
  econ: "the server could not be reached",
  eresp: "the server broke off",
  dresp: "the server's answer was refused",
  wretr: "tried again",
  wredis: "sent to another server",
  cli_abrt: "the client broke off",
  srv_abrt: "the server ended it early",
};

/** tproxyd counts its own reasons; of HAProxy, the counters say less. Frontends count each client once. */
function refusalsOf({ rows, reasons }) {
  const sums = new Map();
  const add = (name, words, value) =>
    value > 0 && sums.set(name, { words, value: (sums.get(name)?.value ?? 0) + value });
  for (const row of reasons)
    if (row.svname === "FRONTEND" && row.kind === "refused") add(row.reason, "clients refused:", Number(row.sessions));
  if (!reasons.length)
    for (const row of rows.filter((each) => each.svname === "FRONTEND" || each.svname === "BACKEND"))
      for (const name in REFUSALS) add(name, REFUSALS[name], Number(row[name]));
  return [...sums].sort((a, b) => b[1].value - a[1].value);
}

function drawRefusals(live) {
  const list = refusalsOf(live);
  parts.refusals.replaceChildren(
    ...(stats
      ? [
          make(
            "div",
            { className: "card" },
            make("h3", {}, "Refusals by reason"),
            list.length
              ? make(
                  "ul",
                  { className: "reasons" },
                  list.map(([name, { words, value }]) =>
                    make("li", {}, make("b", {}, number(value)), ` ${words} `, make("code", {}, name)),
                  ),
                )
              : make("p", { className: "dim" }, answered ? "Nothing so far." : "Not known: the proxy did not answer."),
          ),
        ]
      : []),
  );
}

const stateKind = (status) =>
  /^(UP|OPEN|no check)/.test(status)
    ? /\d+\/\d+/.test(status)
      ? "warn"
      : "good"
    : /^(DOWN|STOP|NOLB)/.test(status)
      ? "bad"
      : "warn";
const spark = (history, key, label) =>
  history[key]?.rate.length > 1
    ? make("div", { className: "spark" }, plot(history[key].rate, POINTS, label, { width: 120, height: 28 }))
    : null;

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const counts = (row) =>
  row
    ? make(
        "span",
        { className: "counts" },
        `${number(row.scur)} now`,
        make(
          "span",
          { className: "dim" },
          ` · ${number(row.stot)} in all · ${bytes(Number(row.bin))} in · ${bytes(Number(row.bout))} out`,
        ),
      )
    : make("span", { className: "dim" }, answered ? "not in the proxy" : "not known");

function drawListener([name, listener, group], history) {
  const binds = listener?.binds ?? [];
  return make(
    "article",
    { className: "card line-card" },
    make(
      "div",
      { className: "summary" },
      make("h3", {}, name),
      group?.front ? badge(group.front.status, stateKind(group.front.status)) : null,
      binds
        .slice(0, 4)
        .map((bind) =>
          make(
            "span",
            {},
            make(
              "code",
              {},
              `${bind.address.includes(":") ? `[${bind.address}]` : bind.address}:${bind.port_low}${bind.port_high !== bind.port_low ? `-${bind.port_high}` : ""}`,
            ),
            " ",
            bind.transparent ? badge("transparent", "good") : null,
          ),
        ),
      binds.length > 4 ? make("span", { className: "dim" }, `and ${binds.length - 4} more`) : null,
      listener?.default_backend ? make("span", { className: "dim" }, `→ ${listener.default_backend}`) : null,
    ),
    make(
      "div",
      { className: "measure" },
      stats ? counts(group?.front) : null,
      spark(history, `${name}/FRONTEND`, `Sessions a second of ${name}`),
    ),
  );
}

function drawFarm([name, farm, group], history) {
  const source = farm?.source ?? "none";
  const servers = group?.servers ?? [];
  const down = servers.filter((row) => stateKind(row.status) === "bad").length;
  const body = () =>
    servers.length ? drawServers(name, servers) : empty(stats ? "The proxy shows no server." : "No counters.");
  const element = make(
    "details",
    { className: "card line-card" },
    make(
      "summary",
      { dataset: { live: name } },
      make(
        "span",
        { className: "summary" },
        make("b", {}, name),
        group?.back ? badge(group.back.status, stateKind(group.back.status)) : null,
        farm ? (source === "none" ? badge("this host's address") : badge(source, "good")) : null,
        make("span", { className: "dim" }, plural(servers.length || farm?.servers.length || 0, "server")),
        down ? badge(`${down} down`, "bad") : null,
      ),
      make(
        "span",
        { className: "measure" },
        stats ? counts(group?.back) : null,
        spark(history, `${name}/BACKEND`, `Sessions a second of ${name}`),
      ),
    ),
  );
  element.addEventListener("toggle", () => {
    element.open ? open.add(name) : open.delete(name);
    if (element.open && element.childElementCount === 1) element.append(body());
  });
  if (open.has(name) || (down && !open.has(`closed ${name}`))) {
    element.append(body());
    element.open = true;
  }
  element.querySelector("summary").addEventListener("click", () => element.open && open.add(`closed ${name}`));
  return element;
}

/** Why a server is in its state: what the last check said, in HAProxy's words. */
function reason(row) {
  const check = [
    row.check_status,
    row.check_code && `code ${row.check_code}`,
    row.check_duration && `${row.check_duration} ms`,
  ]
    .filter(Boolean)
    .join(", ");
  return [row.last_chk || row.check_desc, check && `(${check})`].filter(Boolean).join(" ") || "not checked";
}

function drawServers(name, rows) {
  return table(
    `Servers of ${name}`,
    ["server", "state", "why", "#now", "#in all", "#in", "#out"],
    rows.map((row) => [
      [row.svname, row.addr ? make("div", { className: "dim" }, row.addr) : null],
      badge(row.status, stateKind(row.status)),
      reason(row),
      number(row.scur),
      number(row.stot),
      bytes(Number(row.bin)),
      bytes(Number(row.bout)),
    ]),
  );
}

async function drawSessions() {
  const { sess } = await get("/api/live/sessions");
  const lines = sess.split("\n").filter((line) => line.startsWith("0x") && !line.includes("proto=unix"));
  const rows = lines.slice(0, 500).map((line) => {
    const value = (key) => line.match(new RegExp(`\\b${key}=(\\S*)`))?.[1] ?? "";
    const all = make(
      "details",
      {},
      make("summary", {}, "all"),
      make("pre", { tabIndex: 0, "aria-label": "session" }, line),
    );
    return [value("src"), value("fe"), [value("be"), value("srv")].filter(Boolean).join("/"), value("age"), all];
  });
  const caption = lines.length > 500 ? `500 of ${lines.length} sessions` : plural(lines.length, "session");
  parts.sessions.replaceChildren(
    rows.length
      ? table("Sessions", ["client", "listener", "server", "age", ""], rows, caption)
      : empty("There is no session."),
  );
}
