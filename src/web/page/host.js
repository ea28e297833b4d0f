// The host: what `tproxyctl check` finds, what `plan` would do, and what `prove` tried.

import { attempt, badge, command, dialog, empty, find, get, make, notice, post, rich, table } from "./common.js";

const STATES = ["harmful", "missing", "unknown", "advice", "ok"];
const TITLES = {
  harmful: "Harmful: connections fail because of it",
  missing: "Missing: connections fail without it",
  unknown: "Not judged",
  advice: "Advice",
  ok: "Well",
};
const SIGNS = { harmful: "✗", missing: "✗", unknown: "?", advice: "i", ok: "✓" };

let session = null;
let parts = null;
let checking = 0;

export function begin(_find, made) {
  session = made;
  if (parts) return;
  parts = { check: make("div"), plan: make("div"), prove: make("div") };
  const again = make("button", { type: "button", onclick: () => check(again) }, "Check again");
  const plan = make("button", { type: "button", onclick: () => drawPlan(plan) }, "Show the plan again");
  const prove = make("button", { type: "button", onclick: () => drawProof(prove) }, "Try this kernel");
  find("host").replaceChildren(
    make("div", { className: "bar" }, make("h2", {}, "This host"), again),
    parts.check,
    make("div", { className: "bar" }, make("h2", {}, "What the set-up needs"), plan),
    parts.plan,
    make("div", { className: "bar" }, make("h2", {}, "What this kernel can do"), prove),
    parts.prove,
  );
  parts.prove.append(empty("Not tried yet. It takes some seconds, in namespaces of its own; the host stays as it is."));
}

export function show() {
  check();
  drawPlan();
}

// --- check ---

async function check(button) {
  const turn = ++checking;
  if (!parts.check.childElementCount) parts.check.replaceChildren(empty("Checking …"));
  parts.check.setAttribute("aria-busy", "true");
  const answer = await attempt(() => get("/api/host/check"), button);
  parts.check.removeAttribute("aria-busy");
  if (turn !== checking) return;
  if (!answer) parts.check.replaceChildren(empty("This host could not be checked."));
  else if (answer.output) drawReport(answer.output);
  else parts.check.replaceChildren(failure("check could not judge this host", answer.messages));
}

function failure(title, messages) {
  return make(
    "div",
    { className: "card problem-card" },
    make("h3", {}, title),
    make("pre", { tabIndex: 0, "aria-label": title }, messages),
  );
}

function drawReport(report) {
  const groups = Object.fromEntries(STATES.map((state) => [state, []]));
  for (const item of report.items) groups[item.state]?.push(item);
  parts.check.replaceChildren(
    verdict(report, groups),
    make(
      "details",
      { className: "about" },
      make("summary", {}, "What was judged"),
      make("pre", { tabIndex: 0, "aria-label": "What was judged" }, report.about),
    ),
    ...STATES.filter((state) => groups[state].length).map((state) => drawGroup(state, groups[state])),
  );
}

function verdict(report, groups) {
  const wrong = groups.harmful.length + groups.missing.length;
  const [kind, words] = wrong
    ? ["bad", `${wrong} item${wrong > 1 ? "s" : ""} to fix`]
    : report.well
      ? ["good", "This host is ready"]
      : ["unsure", "Nothing is wrong so far, but not everything was judged"];
  const next =
    !report.well && report.to_judge.length ? make("p", {}, `For a full verdict: ${report.to_judge.join("; ")}.`) : null;
  return make("div", { className: `verdict ${kind}`, role: "status" }, make("p", { className: "big" }, words), next);
}

function drawGroup(state, items) {
  const open = state === "harmful" || state === "missing";
  return make(
    "details",
    { className: `group ${state}`, open },
    make(
      "summary",
      {},
      make("span", { className: "sign", "aria-hidden": "true" }, SIGNS[state]),
      ` ${TITLES[state]} `,
      badge(items.length),
    ),
    items.map((item) => drawItem(item)),
  );
}

function drawItem(item) {
  const findings = item.findings.filter((each) => each.state === item.state);
  const commands = new Map(findings.flatMap((each) => each.commands).map((each) => [each.on + each.run, each]));
  return make(
    "article",
    { className: "card finding", dataset: { item: item.id } },
    make("h3", {}, rich(item.what), " ", make("code", {}, item.id)),
    make("p", { className: "why" }, rich(item.why)),
    make(
      "ul",
      {},
      findings.map((each) => make("li", {}, each.subject ? make("b", {}, `${each.subject}: `) : null, rich(each.read))),
    ),
    [...commands.values()].map((each) => drawCommand(each)),
  );
}

function drawCommand(each) {
  const here = each.on === "this host" && each.run;
  const run =
    here && session.allow_apply
      ? make("button", { type: "button", className: "small", onclick: () => fix(each, run) }, "Run …")
      : null;
  return make("div", {}, here ? null : make("p", { className: "where" }, `On ${each.on}:`), command(each.run, run));
}

async function fix(each, button) {
  const content = [
    make("p", {}, "This runs on this host, as root:"),
    make("pre", { tabIndex: 0, "aria-label": "command" }, each.run),
  ];
  if (each.undo)
    content.push(
      make("p", {}, "This takes it back:"),
      make("pre", { tabIndex: 0, "aria-label": "command" }, each.undo),
    );
  if (
    (await dialog(
      "Run this command?",
      content,
      [
        ["", "Cancel"],
        ["run", "Run it", "primary"],
      ],
      { wide: true },
    )) !== "run"
  )
    return;
  const done = await attempt(() => post("/api/host/fix", { run: each.run }), button);
  if (!done) return;
  if (done.exit === 0) notice("The command was run.");
  else notice(`The command ended with status ${done.exit}: ${done.messages}`, "problem");
  check();
  drawPlan();
}

// --- plan ---

async function drawPlan(button) {
  const answer = await attempt(() => get("/api/host/plan"), button);
  if (!answer) return;
  if (!answer.output) {
    parts.plan.replaceChildren(failure("There is no plan", answer.messages));
    return;
  }
  const plan = answer.output;
  const heading = `Recipe ${plan.recipe} by ${plan.firewall_tool}${plan.mark ? `, mark 0x${plan.mark.toString(16)}, table ${plan.table}` : ""}.`;
  parts.plan.replaceChildren(
    make(
      "p",
      {},
      heading,
      " ",
      session.allow_apply
        ? "Nothing is done before you confirm it."
        : "To let this page do it, start it with --allow-apply; or run the commands.",
    ),
    plan.steps.length
      ? make("ol", { className: "steps" }, plan.steps.map(drawStep))
      : empty("Nothing needs to be done."),
    session.allow_apply ? applyButtons(plan) : (null ?? ""),
  );
}

function drawStep(step) {
  const run = step.run ?? `sysctl -w ${step.name}=${step.value}`;
  return make(
    "li",
    { className: "card" },
    make("h3", {}, step.name),
    make("p", { className: "why" }, step.why),
    make(
      "pre",
      { tabIndex: 0, "aria-label": `command for ${step.name}` },
      step.input ? `${run} <<'END'\n${step.input}END` : run,
    ),
  );
}

function applyButtons(plan) {
  const apply = make(
    "button",
    { type: "button", className: "primary", id: "apply", onclick: () => change("apply", plan, apply) },
    "Apply the set-up …",
  );
  const revert = make(
    "button",
    { type: "button", id: "revert", onclick: () => change("revert", plan, revert) },
    "Take it back …",
  );
  return make("div", { className: "buttons" }, revert, apply);
}

async function change(verb, plan, button) {
  const words = {
    apply: [
      "Apply the set-up?",
      "All of these are done, or none. `tproxyctl revert` takes exactly them back.",
      "Apply",
    ],
    revert: ["Take the set-up back?", "What apply did on this host is undone.", "Take it back"],
  }[verb];
  const list =
    verb === "apply"
      ? make(
          "ul",
          {},
          plan.steps.map((step) => make("li", {}, step.name, ": ", step.why)),
        )
      : null;
  if (
    (await dialog(
      words[0],
      [make("p", {}, words[1]), list],
      [
        ["", "Cancel"],
        [verb, words[2], "primary"],
      ],
    )) !== verb
  )
    return;
  const done = await attempt(() => post(`/api/host/${verb}`), button);
  if (!done) return;
  const result = done.output?.result ?? "refused";
  notice(`${verb}: ${result}. ${done.messages}`.trim(), done.exit === 0 ? "well" : "problem");
  check();
  drawPlan();
}

// --- prove ---

async function drawProof(button) {
  parts.prove.replaceChildren(empty("Trying …"));
  const answer = await attempt(() => get("/api/host/prove"), button);
  if (!answer) parts.prove.replaceChildren(empty("Not tried."));
  else if (!answer.output) parts.prove.replaceChildren(failure("Nothing could be tried", answer.messages));
  else
    parts.prove.replaceChildren(
      drawProfiles(answer.output),
      drawConnections(answer.output),
      drawCapabilities(answer.output),
    );
}

const works = (state) =>
  make(
    "span",
    { className: state === "works" ? "good state" : "bad state" },
    `${state === "works" ? "✓" : "✗"} ${state}`,
  );

function drawProfiles(proof) {
  const rows = Object.entries(proof.profiles).map(([name, profile]) => [
    name,
    works(profile.provable ? "works" : "fails"),
    profile.by.map((each) => `${each.recipe} (${each.firewall_tool})`).join(", ") || profile.options.join(", "),
  ]);
  return table("Profiles", ["profile", "state", "by"], rows, `Profiles on kernel ${proof.kernel}`);
}

function drawConnections(proof) {
  const rows = proof.connections.map((each) => [
    each.recipe,
    each.firewall_tool,
    `${each.protocol.toUpperCase()}, IPv${each.family}`,
    works(each.state),
    each.detail,
  ]);
  return table(
    "Whole connections",
    ["recipe", "firewall tool", "protocol", "state", "what was seen"],
    rows,
    "Whole connections",
  );
}

function drawCapabilities(proof) {
  const rows = proof.capabilities.map((each) => [
    each.what,
    each.family ? `IPv${each.family}` : "",
    works(each.state),
    each.detail,
  ]);
  return table("Capabilities", ["what", "family", "state", "detail"], rows, "Capabilities");
}
