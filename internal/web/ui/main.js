// The shell: which view is shown, who one is, what is wrong now, and keys.

import { get, post, session, adopt, onSession, mayChange, every, APIError } from "./api.js";
import { h, put, say, ask } from "./dom.js";
import { said, span, time, clockIs } from "./show.js";
import { live } from "./live.js";
import { rules, rule } from "./rules.js";
import { play } from "./play.js";
import { deliveries, delivery } from "./deliveries.js";
import { dead, letter } from "./dead.js";
import { streams } from "./streams.js";

const main = document.getElementById("main");
const banner = document.getElementById("banner");
const top = document.getElementById("top");

const views = [
  { path: "/", name: "Live", key: "l", also: ["/live"] },
  { path: "/rules", name: "Rules", key: "r" },
  { path: "/play", name: "Playground", short: "Play", key: "y" },
  { path: "/deliveries", name: "Deliveries", key: "d" },
  { path: "/dead", name: "Dead letters", short: "Dead", key: "x" },
  { path: "/streams", name: "Streams", key: "s" },
];

function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; } // the page has not made it
}

// what opens a path: a function that fills a room and returns what the shell may
// ask of it: close(), filter (the field of "/"), pause(), move(by), open(), copy().
function viewOf(path) {
  const [, first, ...rest] = path.split("/");
  const name = decoded(rest.join("/"));
  switch (first) {
    case "": case "live": return ["/", live];
    case "rules": return ["/rules", name ? (room, at) => rule(room, at, name) : rules];
    case "play": return ["/play", play];
    case "deliveries": return ["/deliveries", name ? (room, at) => delivery(room, at, name) : deliveries];
    case "dead": return ["/dead", name ? (room, at) => letter(room, at, name) : dead];
    case "streams": return ["/streams", streams];
  }
  return ["", (room) => { put(room, h("div", { class: "empty" }, h("h1", { text: "There is no such view" }), h("p", {}, h("a", { href: "/", text: "Live" })))); return {}; }];
}

let current = {};

// at is what a view knows of the place it is at. Filters stand in the URL.
function place() {
  const params = new URLSearchParams(location.search);
  return {
    params,
    set(changes, push) {
      const next = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changes)) value ? next.set(name, value) : next.delete(name);
      const text = next.toString();
      history[push ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
    },
    go,
    refresh: () => pulse?.now(),
  };
}

function draw() {
  current.close?.();
  const [path, view] = viewOf(location.pathname);
  for (const a of top.querySelectorAll("nav a")) {
    if (a.getAttribute("href") === path) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  put(main);
  current = {};
  if (!session.role) {
    login();
    return;
  }
  const name = views.find((v) => v.path === path)?.name || "triggerd";
  const one = decoded(location.pathname.split("/").slice(2).join("/")).slice(0, 60);
  document.title = `${one ? `${one} · ` : ""}${name} · triggerd`;
  main.dataset.ready = "";
  current = view(main, place()) || {};
  if (!main.querySelector("h1, .head")) main.prepend(h("h1", { class: "sr", text: name }));
  main.dataset.ready = location.pathname;
}

function go(url) {
  history.pushState(null, "", url);
  draw();
  main.focus({ preventScroll: true });
}

addEventListener("popstate", draw);
document.addEventListener("click", (e) => {
  const a = e.target.closest?.("a[href^='/']");
  if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.target) return;
  e.preventDefault();
  go(a.getAttribute("href"));
});

// The top

const parts = {};

function drawTop() {
  parts.dead = h("span", { class: "count", hidden: true });
  parts.dot = h("span", { class: "dot" });
  parts.link = h("span", { class: "wide" });
  put(top,
    h("a", { class: "brand", href: "/" }, h("img", { src: document.querySelector("link[rel=icon]").getAttribute("href"), alt: "", width: "20", height: "20" }), "triggerd"),
    h("nav", { "aria-label": "Views" }, views.map((v) => h("a", { href: v.path }, v.short ? [h("span", { class: "wide", text: v.name }), h("span", { class: "narrow", text: v.short })] : v.name, v.path === "/dead" && parts.dead))),
    h("div", { class: "end" },
      h("a", { class: "link", href: "/streams", title: "Streams" }, parts.dot, h("span", { class: "sr", text: "Stream " }), parts.link),
      session.role === "reader" && h("span", { class: "chip", text: "read only", title: "You are logged in with read_token: nothing can be changed" }),
      session.token && session.role && h("button", { class: "plain", text: "Log out", onclick: logout }),
      h("button", { class: "plain", text: "◐", title: "Dark or light", "aria-label": "Dark or light", onclick: turn }),
      h("button", { class: "plain", text: "?", title: "Keys and help", "aria-label": "Keys and help", onclick: help })));
}

function turn() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
  keep("theme", document.documentElement.dataset.theme);
}

function keep(name, value) {
  try { localStorage.setItem(`triggerd.${name}`, value); } catch { /* a browser may forbid it */ }
}

function kept(name) {
  try { return localStorage.getItem(`triggerd.${name}`); } catch { return null; }
}

// What is wrong now

let pulse;

function watch() {
  pulse?.();
  let stale = null;
  pulse = every(2000, async () => {
    const o = await get("overview");
    stale = null;
    drawNow(o);
  }, (e) => {
    stale ||= new Date();
    if (e instanceof APIError && e.status === 401) return;
    parts.dot.className = "dot bad";
    put(parts.link, "no answer");
    delete banner.dataset.text;
    put(banner, problem({ level: "bad", text: e.status ? e.message : "triggerd does not answer", do: `What is shown is of ${time(stale)}; trying again` }));
  });
}

function drawNow(o) {
  clockIs(o.at);
  parts.dead.hidden = !o.dead_letters;
  parts.dead.textContent = o.dead_letters > 999 ? "999+" : String(o.dead_letters);
  const s = o.streams?.[0] || {};
  const good = o.ready === "ok";
  parts.dot.className = `dot ${good ? "ok" : "bad"}`;
  put(parts.link, good ? `${s.state}${s.behind_seconds > 1 ? `, ${span(s.behind_seconds)} behind` : ""}` : s.state || "not ready");
  const problems = [...(o.problems || [])];
  if (session.version && o.version !== session.version) problems.unshift({ id: "version", level: "warn", text: `triggerd is ${o.version} now, and this page of ${session.version}`, do: "Load the page anew." });
  const text = JSON.stringify(problems);
  if (banner.dataset.text !== text) {
    banner.dataset.text = text;
    put(banner, problems.map(problem));
  }
  current.overview?.(o);
}

function problem(p) {
  const what = said(p.text, { max: 300 }, "span", "what");
  const todo = p.do && h("span", { class: "do" }, " ", said(p.do, { max: 300 }));
  const more = p.more && said(p.more, { max: 8000, lines: true }, "pre");
  return h("div", { class: `problem ${p.level}`, "data-problem": p.id },
    h("span", { class: "sign", text: p.level === "bad" ? "✗" : "!", "aria-hidden": "true" }),
    more ? h("details", {}, h("summary", {}, what, todo), more) : h("div", {}, what, todo),
    p.href && h("a", { href: p.href, text: p.link || "Show" }),
    p.resume && mayChange() && h("button", { text: "Resume", onclick: () => resume(p.resume) }));
}

async function resume(name) {
  try {
    await post("resume", { name });
    say(`${name} goes on`);
    pulse.now();
  } catch (e) {
    say(e.message);
  }
}

// Who one is

function login() {
  document.title = "triggerd: log in";
  const error = h("p", { class: "bad", role: "alert", id: "wrong", hidden: true });
  const input = h("input", { type: "password", name: "token", id: "token", autocomplete: "current-password", required: true, "aria-describedby": "wrong" });
  put(banner);
  put(main, h("div", { class: "login" },
    h("h1", { text: "Log in" }),
    h("p", { class: "dim", text: "This triggerd asks for its token: [http] token of the rules file changes things, read_token only looks." }),
    h("form", { onsubmit: async (e) => {
      e.preventDefault();
      error.hidden = true;
      try {
        await enter(input.value);
      } catch (err) {
        error.textContent = err.message;
        error.hidden = false;
        input.select();
      }
    } }, h("label", { for: "token", text: "Token" }), input, h("button", { class: "go", type: "submit", text: "Log in" }), error)));
  input.focus();
  main.dataset.ready = "login";
}

async function enter(token) {
  const s = await post("login", { token });
  adopt({ ...(await get("session").catch(() => s)) });
}

async function logout() {
  await post("logout", {}).catch(() => {});
  adopt({ role: "", token: true });
}

// Keys

const keys = [
  ["/", "to the filter"], ["p", "pause, or go on"], ["j k", "next row, row before"], ["Enter", "open the row"], ["Esc", "close, back"],
  ["c", "copy a firing as curl"], ["g l", "Live"], ["g r", "Rules"], ["g y", "Playground"], ["g d", "Deliveries"], ["g x", "Dead letters"], ["g s", "Streams"], ["?", "this help"],
];

function help() {
  if (document.querySelector("dialog[open]")) return;
  const on = h("input", { type: "checkbox", checked: kept("keys") !== "off", onchange: (e) => keep("keys", e.target.checked ? "on" : "off") });
  const dialog = h("dialog", { "aria-labelledby": "helptitle" },
    h("form", { method: "dialog" },
      h("h1", { id: "helptitle", text: "Keys" }),
      h("table", { class: "keys" }, h("tbody", {}, keys.map(([k, does]) => h("tr", {}, h("td", {}, k.split(" ").map((one, i) => [i > 0 && " ", h("kbd", { text: one })])), h("td", { text: does }))))),
      h("label", { class: "check" }, on, "Keys are on. No key changes anything in triggerd."),
      h("p", { class: "dim" }, `triggerd ${session.version}. `, "Times are this browser's."),
      h("div", { class: "buttons" }, h("button", { class: "go", text: "Close" }))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

let prefix = 0;

addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
  const typing = e.target.closest?.("input, textarea, select, [contenteditable]");
  if (e.key === "Escape") {
    if (typing) typing.blur();
    else current.back?.();
    return;
  }
  if (typing || kept("keys") === "off") return;
  if (prefix && Date.now() - prefix < 1500) {
    prefix = 0;
    const view = views.find((v) => v.key === e.key);
    if (view) {
      e.preventDefault();
      go(view.path);
    }
    return;
  }
  prefix = 0;
  const does = {
    "/": () => { current.filter?.focus(); current.filter?.select?.(); },
    p: () => current.pause?.(), j: () => current.move?.(1), k: () => current.move?.(-1), c: () => current.copy?.(), g: () => { prefix = Date.now(); },
    "?": help,
  }[e.key];
  if (does) {
    e.preventDefault();
    does();
  }
});

// The beginning

async function begin() {
  const theme = kept("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  onSession(() => {
    drawTop();
    if (session.role) watch();
    else pulse?.();
    draw();
  });
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    // It reached no log: a fragment is not sent.
    history.replaceState(null, "", location.pathname + location.search);
    if (await enter(token).then(() => true, () => false)) return;
  }
  for (;;) {
    try {
      adopt(await get("session"));
      return;
    } catch (e) {
      put(main, h("div", { class: "empty" }, h("h1", { text: "triggerd does not answer" }), h("p", {}, said(e.message))));
      await new Promise((r) => setTimeout(r, 2000));
    }
  }
}

begin();
