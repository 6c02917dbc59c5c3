// Live: what happens, as it happens. An entry of the feed is a match, a firing or
// an attempt; what belongs together is one row, which tells how it went.

import { get, session, every } from "./api.js";
import { h, put, copy } from "./dom.js";
import { show, said, time, rate, count, span, shortAction, answer, ruleHref } from "./show.js";
import { rows } from "./list.js";
import { spark } from "./spark.js";

const KEPT = 5000;     // rows
const HIDDEN = 10_000; // ms after which a page that nobody sees lets go of its stream

const outcomes = { delivered: ["✓", "ok"], retried: ["✗", "bad"], given_up: ["✗", "bad"] };

export function live(room, at) {
  const { params } = at;
  const all = []; // rows, the oldest first
  let byPlace = new Map();
  let paused = false, held = [], unseen = 0, missed = 0, opened = null, cursor = -1;
  let source, last = "", retry = 500, hiddenTimer, closed = false, connected = false, wrong = "";

  // The filter
  const key = h("input", { class: "mono", name: "key", placeholder: "key, or a glob: stock:*", "aria-label": "Key", value: params.get("key") || "" });
  const ruleSelect = h("select", { name: "rule", "aria-label": "Rule" }, h("option", { value: "", text: "all rules" }));
  const outcome = h("select", { name: "outcome", "aria-label": "Outcome" },
    [["", "any outcome"], ["delivered", "delivered"], ["retried", "failed, to be tried again"], ["given_up", "given up"]].map(([value, text]) => h("option", { value, text })));
  const sees = session.show_values;
  const when = h("input", { class: "mono", name: "when", placeholder: sees ? "when: num(after) < 5" : "no condition: show_values is false", "aria-label": "Condition, as in when", value: sees && params.get("when") || "", disabled: !sees });
  const everything = h("input", { type: "checkbox", name: "all", checked: params.get("all") === "1" });
  const pauseButton = h("button", { id: "pause", "aria-pressed": "false", onclick: pause, title: "Key: p" }, "Pause");
  const clearButton = h("button", { text: "Clear", onclick: clear });
  outcome.value = params.get("outcome") || "";

  const error = h("div", { class: "error", role: "alert", hidden: true });
  const rateLine = h("div", { class: "rates" });
  const note = h("span", { class: "wide" });
  const more = h("button", { class: "more", hidden: true, onclick: () => { list.el.scrollTop = 0; unseen = 0; change(); } });
  const empty = h("div", { class: "empty" });
  const side = h("aside", { class: "side", "aria-label": "One firing", hidden: true });

  const list = rows({
    label: "What happens", of: () => all.length, open: (i, row) => open(row ? all.length - 1 - all.lastIndexOf(row.shows) : cursor),
    make: () => {
      const row = h("div", { class: "row cells" }, ["time dim", "kind dim", "key", "change", "rule", "out"].map((c) => h("span", { class: c })));
      row.cells = row.children;
      return row;
    },
    fill: (row, i) => fill(row, all[all.length - 1 - i], i),
  });

  put(room,
    h("div", { class: "bar" }, key, ruleSelect, outcome, when, h("label", { class: "check" }, everything, "all changes"), h("span", { class: "grow wide" }), note, clearButton, pauseButton),
    error, rateLine,
    h("div", { class: "cols live" }, h("div", { class: "main" }, h("div", { class: "cells titles" }, ["Time", "", "Key", "Before → after", "Rule", "Outcome"].map((t) => h("span", { text: t }))), more, list.el, empty), side));

  function fill(row, r, i) {
    row.classList.toggle("open", r === opened || i === cursor);
    if (row.shows === r && row.version === r.version) return;
    row.shows = r;
    row.version = r.version;
    row.classList.toggle("state", r.kind === "state" || r.kind === "lost");
    const [t, kind, k, change, rule, out] = row.cells;
    t.textContent = time(r.at, true);
    kind.textContent = r.word;
    if (r.kind === "state" || r.kind === "lost") {
      show(k, r.name || "");
      show(change, r.text || "");
      show(rule, "");
      show(out, r.state || "");
      out.className = "out";
      return;
    }
    show(k, r.key);
    drawChange(change, r);
    show(rule, r.rule || "");
    const [sign, cls, text] = told(r);
    out.className = `out ${cls}`;
    show(out, `${sign} ${text}`, { max: 90 });
  }

  // Entries become rows.

  function add(e) {
    if (e.kind === "lost") {
      missed += e.count || 0;
      if (!e.count) push({ kind: "lost", word: "", at: e.at, name: "", text: e.text || "some entries are not shown", version: 0 });
      return;
    }
    if (e.kind === "state") {
      push({ kind: "state", word: "state", at: e.at, name: e.name, state: e.state, text: e.text, version: 0 });
      return;
    }
    const where = `${e.rule || ""}\u0000${e.offset}\u0000${e.key}\u0000${e.event}${e.kind === "event" ? "\u0000e" : ""}`;
    let r = byPlace.get(where);
    if (!r) {
      r = { kind: e.kind, word: e.kind, at: e.at, key: e.key, event: e.event, rule: e.rule, offset: e.offset, db: e.db, where, firings: new Map(), version: 0 };
      byPlace.set(where, r);
      push(r);
    }
    for (const name of ["command", "before", "after", "type"]) if (e[name] !== undefined && r[name] === undefined) r[name] = e[name];
    if (e.kind === "match") r.matched = e.at;
    if (e.kind === "firing" || e.kind === "attempt") {
      r.kind = "firing";
      r.word = "firing";
      const f = r.firings.get(e.id) || { id: e.id, action: e.action, attempts: [] };
      if (e.kind === "firing") f.planned = e.at;
      else f.attempts.push({ at: e.at, outcome: e.outcome, seconds: e.seconds, text: e.text, attempt: e.attempt });
      r.firings.set(e.id, f);
    }
    r.version++;
    if (r === opened) drawSide();
  }

  function push(r) {
    all.push(r);
    if (list.el.scrollTop > 4) {
      unseen++;
      list.el.scrollTop += list.height(); // what is looked at stays where it is
    }
    if (cursor >= 0) cursor++;
    if (all.length > KEPT + 500) {
      for (const old of all.splice(0, all.length - KEPT)) if (byPlace.get(old.where) === old) byPlace.delete(old.where);
    }
  }

  let changing = false;
  function change() {
    if (changing) return;
    changing = true;
    requestAnimationFrame(() => {
      changing = false;
      if (list.el.scrollTop <= 4) unseen = 0;
      more.hidden = unseen === 0 && !held.length;
      more.textContent = paused && held.length ? `${count(held.length)} new while paused` : `↑ ${count(unseen)} new`;
      note.textContent = missed ? `${count(missed)} not shown` : "";
      note.title = "More happened than is sent to a browser; rates above count all";
      drawEmpty();
      list.draw();
    });
  }

  function drawEmpty() {
    empty.hidden = all.length > 0;
    list.el.hidden = all.length === 0;
    const now = `${room.dataset.live} ${filterText()}`;
    if (all.length || empty.dataset.for === now) return;
    empty.dataset.for = now;
    put(empty, connected && filterText()
      ? [h("h2", { text: "Nothing matches the filter yet" }), h("p", {}, h("button", { text: "Clear the filter", onclick: unfilter }))]
      : connected
        ? [h("h2", { text: "Connected. Nothing has happened yet" }), h("p", {}, "What rules match, fire and deliver is shown here as it happens. Write a key that a rule looks at, or tick ", h("b", { text: "all changes" }), ".")]
        : [h("h2", { text: room.dataset.live === "cut" ? "Not connected" : "Connecting …" })]);
  }

  const filters = () => ({ key: key.value.trim(), rule: ruleSelect.value, outcome: outcome.value, when: when.value.trim(), all: everything.checked ? "1" : "" });
  const filterText = () => { const f = filters(); return [f.key, f.rule, f.outcome, f.when].filter(Boolean).join(" "); };

  function unfilter() {
    key.value = when.value = ruleSelect.value = outcome.value = "";
    refilter();
  }

  // The stream

  function connect() {
    source?.close();
    if (closed) return;
    const query = new URLSearchParams(Object.entries(filters()).filter(([, v]) => v));
    query.set("batch", "1");
    if (last) query.set("after", last);
    source = new EventSource(`/api/v1/events?${query}`);
    source.onopen = () => { connected = true; retry = 500; wrong = ""; error.hidden = true; room.dataset.live = "open"; change(); };
    source.onmessage = (m) => {
      if (m.lastEventId) last = m.lastEventId;
      const entries = JSON.parse(m.data);
      if (paused) {
        held.push(...entries);
        if (held.length > KEPT) {
          missed += held.length - KEPT;
          held.splice(0, held.length - KEPT);
        }
      } else for (const e of entries) add(e);
      change();
    };
    source.onerror = async () => {
      if (closed || source.readyState !== EventSource.CLOSED) return fail("The stream was cut; trying again", true);
      // Whoever is answered by something else than a stream is not told what it was.
      try {
        await get("events", { ...filters(), try: "1" });
        fail("The stream was cut; trying again");
      } catch (e) {
        fail(e.message, e.status === 400);
        if (e.status === 400 || e.status === 401) return;
      }
      retry = Math.min(retry * 2, 15_000);
      setTimeout(connect, retry);
    };
  }

  function fail(text) {
    connected = false;
    room.dataset.live = "cut";
    change();
    if (text === wrong) return;
    wrong = text;
    show(error, text, { max: 600, lines: true });
    error.hidden = false;
  }

  let typing;
  function refilter() {
    clearTimeout(typing);
    typing = setTimeout(() => {
      const f = filters();
      at.set(f);
      last = "";
      all.length = 0;
      byPlace = new Map();
      held = [];
      missed = unseen = 0;
      cursor = -1;
      error.hidden = true;
      wrong = "";
      connected = false;
      room.dataset.live = "";
      change();
      connect();
    }, 250);
  }
  for (const input of [key, when]) input.addEventListener("input", refilter);
  for (const input of [ruleSelect, outcome, everything]) input.addEventListener("change", refilter);

  function pause() {
    paused = !paused;
    pauseButton.setAttribute("aria-pressed", String(paused));
    pauseButton.textContent = paused ? "Go on" : "Pause";
    if (!paused) {
      const entries = held;
      held = [];
      for (const e of entries) add(e);
    }
    change();
  }

  function clear() {
    all.length = 0;
    byPlace = new Map();
    held = [];
    missed = unseen = 0;
    cursor = -1;
    change();
  }

  const hidden = () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(() => { source?.close(); source = null; }, HIDDEN);
    else if (!source) connect();
  };
  document.addEventListener("visibilitychange", hidden);

  // One row

  function open(i) {
    const r = all[all.length - 1 - i];
    if (!r || r.kind === "state" || r.kind === "lost") return;
    opened = r;
    cursor = i;
    drawSide();
    list.change();
  }

  function shut() {
    opened = null;
    side.hidden = true;
    list.change();
  }

  function drawSide() {
    const r = opened;
    side.hidden = false;
    const steps = [
      ["Command", r.at, "", [r.command ? said(r.command, { max: 1000, lines: true }, "pre") : h("p", { class: "none", text: session.show_values ? "not of a command" : "values are not shown: show_values is false" })]],
      ["Event", r.at, "", [h("p", {}, said(r.event, {}, "b"), " of ", said(r.key, { max: 1000 }, "span", "mono")),
        (r.before !== undefined || r.after !== undefined) && h("div", { class: "two" }, h("span", { class: "dim", text: "before" }), value(r.before, 1000), h("span", { class: "dim", text: "after" }), value(r.after, 1000))]],
    ];
    if (r.rule) steps.push(["Match", r.matched || r.at, "", [h("p", {}, "rule ", link(ruleHref(r.rule), r.rule))]]);
    for (const f of r.firings.values()) {
      steps.push(["Firing", f.planned || r.at, "", [h("p", {}, "to ", said(shortAction(f.action))), h("p", { class: "dim" }, "id ", said(f.id, {}, "span", "mono"))]]);
      for (const a of f.attempts) {
        const [, cls] = outcomes[a.outcome] || ["", ""];
        const took = `after ${span(a.seconds)}`;
        const words = { delivered: `delivered ${took}`, retried: `failed ${took}, to be tried again`, given_up: `failed ${took}, and is given up` }[a.outcome] || `${a.outcome} ${took}`;
        steps.push([`Attempt ${a.attempt || ""}`, a.at, cls, [h("p", { class: cls, text: words }), a.text && said(a.text, { max: 1000, lines: true }, "pre")]]);
      }
      if (!f.attempts.length) steps.push(["Attempt", null, "wait", [h("p", { class: "dim", text: "waits for its turn" })]]);
    }
    if (!r.firings.size && r.rule) steps.push(["Firing", null, "wait", [h("p", { class: "dim", text: "none yet: the rule waits, is paused, in dry run, or suppresses it" })]]);
    const first = [...r.firings.values()][0];
    put(side,
      h("header", {}, h("h2", { text: r.firings.size ? "Firing" : r.rule ? "Match" : "Change" }), h("button", { text: "Close", onclick: shut, title: "Key: Esc" })),
      h("ol", { class: "chain" }, steps.map(([name, t, cls, body]) => h("li", { class: cls }, h("h3", {}, name, t && h("time", { text: time(t, true) })), body))),
      h("div", { class: "bar" },
        first && h("a", { href: `/deliveries/${encodeURIComponent(first.id)}`, text: "Delivery" }),
        r.command && h("a", { href: playURL(r), text: "Try it in the playground" }),
        first && h("button", { class: "plain", text: "Copy the id", onclick: () => copy(first.id, "the id") })));
  }

  // Rates, and the names of rules

  const stop = every(2000, async () => {
    const r = await get("rates");
    const of = (name) => (r[name]?.length ? r[name].slice(-5).reduce((a, b) => a + b, 0) / Math.min(5, r[name].length) : 0);
    put(rateLine,
      h("span", {}, h("b", { text: rate(of("events")) }), " changes/s"), h("span", {}, h("b", { text: rate(of("matches")) }), " matches/s"),
      h("span", {}, h("b", { text: rate(of("firings")) }), " firings/s"), h("span", {}, h("b", { text: rate(of("delivered")) }), " delivered/s"),
      h("span", { class: of("failed") ? "bad" : "" }, h("b", { class: of("failed") ? "bad" : "", text: rate(of("failed")) }), " failed/s"),
      h("span", { class: "wide" }, spark(r.events || [], { width: 160, length: 120, label: "Changes a second, the last minutes" })));
    const names = r.rules || [];
    if (ruleSelect.options.length !== names.length + 1) {
      const chosen = ruleSelect.value || params.get("rule") || "";
      put(ruleSelect, h("option", { value: "", text: "all rules" }), names.map((n) => show(h("option", { value: n }), n, { max: 60 })));
      ruleSelect.value = chosen;
    }
  });

  if (params.get("rule")) {
    const name = params.get("rule");
    ruleSelect.append(show(h("option", { value: name }), name));
    ruleSelect.value = name;
  }
  drawEmpty();
  connect();

  return {
    filter: key, pause,
    back: shut,
    move: (by) => { cursor = Math.min(Math.max(cursor + by, 0), all.length - 1); list.into(cursor); opened ? open(cursor) : list.change(); list.el.focus({ preventScroll: true }); },
    close() {
      closed = true;
      stop();
      source?.close();
      clearTimeout(hiddenTimer);
      clearTimeout(typing);
      document.removeEventListener("visibilitychange", hidden);
      list.close();
    },
  };
}

export function link(href, text) {
  return show(h("a", { href }), text);
}

export function value(v, max) {
  if (v === undefined) return h("span", { class: "none", text: "not known" });
  if (v === null) return h("span", { class: "none", text: "nothing" });
  if (v === "") return h("span", { class: "none", text: "empty" });
  return said(v, { max }, "span", "mono");
}

function drawChange(el, r) {
  el.className = "change";
  if (r.before === undefined && r.after === undefined) {
    show(el, r.event);
    el.classList.add("dim");
    return;
  }
  put(el, changed(r.before, r.after) || [value(r.before, 60), arrow(), value(r.after, 60)]);
}

export const arrow = () => h("span", { class: "arrow", text: "→" });

// changed shows of two hashes the fields that differ; null if they are no hashes.
export function changed(before, after) {
  const a = fieldsOf(before), b = fieldsOf(after);
  if (!a || !b || !Object.keys(b).length) return null;
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((n) => a[n] !== b[n]);
  if (!names.length) return [h("span", { class: "none", text: "as before" })];
  return names.slice(0, 3).map((n, i) => [i > 0 && ", ", said(n, { max: 30 }, "span", "dim"), " ", n in a ? value(String(a[n]), 30) : h("span", { class: "none", text: "nothing" }), arrow(), n in b ? value(String(b[n]), 30) : h("span", { class: "none", text: "nothing" })]);
}

function fieldsOf(text) {
  if (text === null) return {};
  if (typeof text !== "string" || text[0] !== "{") return null;
  try { return JSON.parse(text); } catch { return null; }
}

// told says how a row went: sign, class and words.
function told(r) {
  if (r.kind === "event") return ["", "dim", r.event];
  const list = [...r.firings.values()];
  if (!list.length) return ["~", "dim", "matched"];
  const last = list.map((f) => f.attempts.at(-1));
  const failed = last.find((a) => a && a.outcome !== "delivered");
  if (failed) return ["✗", "bad", `${failed.outcome === "given_up" ? "given up" : `attempt ${failed.attempt || ""} failed`} ${answer(failed.text)}`];
  if (last.some((a) => !a)) return ["…", "dim", "waits"];
  const a = last.at(-1);
  return ["✓", "ok", `${answer(a.text) || "delivered"} ${span(Math.max(...last.map((x) => x.seconds || 0)))}${list.length > 1 ? ` ×${list.length}` : ""}`];
}

export function playURL(r) {
  const q = new URLSearchParams();
  if (r.rule) q.set("rule", r.rule);
  q.set("event", r.key);
  return `/play?${q}`;
}
