// The frame: logging in, tabs, and what is drawn when.

import { attempt, begin, find, get, post } from "./common.js";
import * as live from "./live.js";
import * as admin from "./admin.js";
import * as text from "./text.js";
import * as host from "./host.js";
import * as saving from "./saving.js";

const tabs = { live, admin, text, host };
let current = null;
let session = null;

function showLogin(problem = "") {
  session = null;
  if (current) tabs[current].hide?.();
  current = null;
  for (const panel of document.querySelectorAll("[role=tabpanel]")) panel.hidden = true;
  find("tabs").hidden = find("logout").hidden = find("file").hidden = find("draft").hidden = true;
  find("login").hidden = false;
  find("login-problem").textContent = problem;
  find("secret").focus();
}

function show(name, focus = false) {
  if (!(name in tabs)) name = "live";
  for (const each of Object.keys(tabs)) {
    const chosen = each === name;
    find(`tab-${each}`).setAttribute("aria-selected", chosen);
    find(`tab-${each}`).tabIndex = chosen ? 0 : -1;
    find(each).hidden = !chosen;
  }
  if (focus) find(`tab-${name}`).focus();
  if (current === name) return;
  if (current) tabs[current].hide?.();
  current = name;
  document.title = `${find(`tab-${name}`).textContent} · tproxyctl`;
  if (location.hash !== `#${name}`) history.replaceState(null, "", `#${name}`);
  tabs[name].show();
}

function enter(made) {
  session = made;
  begin(session, () => showLogin("The session has ended: log in again."));
  find("login").hidden = true;
  find("tabs").hidden = find("logout").hidden = find("draft").hidden = false;
  find("file").textContent = session.config;
  find("file").hidden = false;
  saving.begin(session);
  for (const tab of Object.values(tabs)) tab.begin(find, session);
  show(location.hash.slice(1));
}

async function login(secret) {
  try {
    enter(await post("/api/login", { secret }));
    find("secret").value = "";
  } catch (error) {
    showLogin(error.message);
  }
}

function moveByKeys(event) {
  const names = Object.keys(tabs);
  const at = names.indexOf(current);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1 + names.length, Home: 0, End: names.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  show(names[next % names.length], true);
}

async function start() {
  for (const name of Object.keys(tabs)) find(`tab-${name}`).addEventListener("click", () => show(name));
  find("tabs").addEventListener("keydown", moveByKeys);
  window.addEventListener("hashchange", () => session && show(location.hash.slice(1)));
  find("login-form").addEventListener("submit", (event) => {
    event.preventDefault();
    login(find("secret").value);
  });
  find("logout").addEventListener("click", () =>
    attempt(async () => {
      if (!(await saving.leave())) return;
      await post("/api/logout");
      location.replace("/"); // with nothing left of what was shown
    }),
  );
  const token = location.hash.match(/^#token=([0-9a-f]+)$/);
  if (token) {
    history.replaceState(null, "", "/"); // out of the history
    await login(token[1]);
  } else {
    try {
      enter(await get("/api/session"));
    } catch (error) {
      showLogin(error.status === 401 ? "" : error.message);
    }
  }
  document.documentElement.dataset.ready = "yes";
}

start();
