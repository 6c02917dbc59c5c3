// Rules: which fire, which fail, which are paused; and one of them in full.

import { get, post, mayChange, every, session } from "./api.js";
import { h, put, renew, say, ask, copy } from "./dom.js";
import { show, said, ago, rate, count, span, time, shortAction, plural, ruleHref } from "./show.js";
import { table } from "./table.js";
import { spark } from "./spark.js";
import { link, value, playURL } from "./live.js";

const healths = [["", "All"], ["firing", "Firing"], ["erring", "Erring"], ["paused", "Paused"]];

function stateOf(r) {
  if (!r.enabled) return ["off", ""];
  if (r.paused_since) return ["paused", "warn"];
  if (r.dry_run) return ["dry run", "warn"];
  if (r.condition_error) return ["erring", "bad"];
  return ["on", "ok"];
}

export function rules(room, at) {
  const q = h("input", { name: "q", placeholder: "filter by name or text", "aria-label": "Filter", value: at.params.get("q") || "" });
  let health = at.params.get("health") || "";
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "Which rules" });
  const sum = h("span", { class: "dim" });
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  const t = table({
    at, caption: "Rules", sort: "", id: (r) => r.name, columns: [
      { title: "Rule", by: (r) => r.name, cell: (r) => link(ruleHref(r.name), r.name), cls: "name", width: "22%" },
      { title: "State", by: (r) => stateOf(r)[0], cell: (r) => { const [text, cls] = stateOf(r); return h("span", { class: `chip ${cls}`, text }); } },
      { title: "Last 10 min", cls: "wide", cell: (r) => spark(r.rates || [], { length: 60, label: `Matches in the last ten minutes: ${(r.rates || []).reduce((a, b) => a + b, 0)}` }) },
      { title: "Matches/s", num: true, label: "matches/s", by: (r) => r.match_rate, cell: (r) => rate(r.match_rate) },
      { title: "Matches", num: true, cls: "wide", by: (r) => r.matches, cell: (r) => count(r.matches) },
      { title: "Firings", num: true, label: "firings", by: (r) => r.firings, cell: (r) => count(r.firings) },
      { title: "Last match", cls: "nowrap wide", by: (r) => -(r.last_match ? new Date(r.last_match) : 0), cell: (r) => h("span", { class: "dim", text: r.last_match ? ago(r.last_match) : "none yet" }) },
      { title: "Suppressed", num: true, cls: "wide", by: (r) => suppressed(r), cell: (r) => count(suppressed(r)) },
      { title: "Cost", num: true, cls: "wide", by: (r) => r.condition_share, cell: (r) => `${(100 * r.condition_share).toFixed(r.condition_share < 0.001 ? 0 : 1)} %` },
      { title: "", head: h("span", { class: "sr", text: "Pause" }), cls: "num act", cell: (r) => pauseButton(`rule/${r.name}`, r, () => stop.now()) },
    ],
  });
  function drawTabs() {
    renew(tabs, healths.map(([name, text]) => h("button", { type: "button", "aria-pressed": String(name === health), text, onclick: () => { health = name; at.set({ health }); drawTabs(); stop.now(); } })));
  }
  put(room, h("div", { class: "bar" }, q, tabs, h("span", { class: "grow" }), sum), error, t.el);
  let typing;
  q.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { at.set({ q: q.value.trim() }); stop.now(); }, 200); });
  const stop = every(2000, async () => {
    const got = await get("rules", { q: q.value.trim(), health });
    error.hidden = true;
    sum.textContent = `${count(got.rules.length)} of ${plural(got.total, "rule")}`;
    t.set(got.rules);
    room.dataset.loaded = "rules";
  }, (e) => { show(error, e.message); error.hidden = false; });
  drawTabs();
  return { filter: q, close: () => { stop(); clearTimeout(typing); } };
}

export function suppressed(r) {
  return Object.values(r.suppressed || {}).reduce((a, b) => a + b, 0);
}

// pauseButton pauses, with an end and a reason, or resumes.
export function pauseButton(name, of, done) {
  if (!mayChange()) return h("button", { text: of.paused_since ? "Resume" : "Pause", disabled: true, title: "read_token only looks" });
  if (of.paused_since) {
    return h("button", { text: "Resume", onclick: async () => {
      try { await post("resume", { name }); say(`${name} goes on`); done(); } catch (e) { say(e.message); }
    } });
  }
  return h("button", { text: "Pause", onclick: async () => {
    const got = await ask({
      title: `Pause ${shortAction(name)}?`, go: "Pause", text: name.startsWith("rule/") && name.split("/").length === 2 ? "Matches are counted and not delivered until it goes on." : "Its firings wait until it goes on.",
      fields: [{ name: "for", label: "For how long", options: [["15m", "15 minutes"], ["1h", "1 hour"], ["8h", "8 hours"], ["24h", "a day"], ["", "until somebody resumes it"]] }, { name: "reason", label: "Reason, for whoever looks next", placeholder: "the CRM is being moved" }],
    });
    if (!got) return;
    try {
      const answer = await post("pause", { name, for: got.for || undefined, reason: got.reason || undefined });
      say(`${answer.name} is paused${answer.until ? ` until ${time(answer.until)}` : ""}`);
      done();
    } catch (e) { say(e.message); }
  } });
}

export function rule(room, at, name) {
  const head = h("div", { class: "head" });
  const body = h("div", { class: "scroll pad", tabindex: "0", role: "region", "aria-label": "Rule" });
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  const by = h("input", { class: "mono", placeholder: "filter by value", "aria-label": "Filter the states", value: at.params.get("by") || "", hidden: !session.show_values });
  let cursor = "", before = [], scale = "s";
  put(room, head, error, body);
  const states = h("div", {});
  const source = h("div", {});
  const facts = h("div", {});
  const last = h("div", {});
  const graph = h("div", {});
  const scaleTabs = h("div", { class: "tabs", role: "group", "aria-label": "How far back" });
  const stateCard = h("section", { class: "card w12" }, h("header", {}, h("h2", { text: "States" }), h("span", { class: "grow" }), by), states);
  stateCard.hidden = true;
  put(body, h("div", { class: "grid" },
    h("section", { class: "card w8" }, h("header", {}, h("h2", { text: "Rule" }), h("span", { class: "grow" }), h("button", { text: "Copy", onclick: () => copy(text, "the rule") })), source),
    h("section", { class: "card w4" }, h("header", {}, h("h2", { text: "Counts" })), h("div", { class: "body" }, facts)),
    h("section", { class: "card w8" }, h("header", {}, h("h2", { text: "Matches and firings" }), h("span", { class: "grow" }), scaleTabs), h("div", { class: "body" }, graph)),
    h("section", { class: "card w4" }, h("header", {}, h("h2", { text: "Last match" })), h("div", { class: "body" }, last)),
    stateCard));
  let text = "";

  function drawScale() {
    renew(scaleTabs, [["s", "10 min"], ["m", "24 h"]].map(([s, label]) => h("button", { type: "button", text: label, "aria-pressed": String(s === scale), onclick: () => { scale = s; drawScale(); stop.now(); } })));
  }

  async function load() {
    const r = await get(`rules/${encodeURIComponent(name)}`, { by: by.value.trim(), cursor });
    error.hidden = true;
    const [word, cls] = stateOf(r);
    renew(head,
      h("h1", {}, said(r.name)), h("span", { class: `chip ${cls}`, text: word }),
      h("span", { class: "dim mono" }, said(r.file ? `${r.file}:${r.line}` : "")),
      r.pause && h("span", { class: "warn" }, r.pause.until ? `paused until ${time(r.pause.until)}` : "paused, with no end", r.pause.reason && [": ", said(r.pause.reason)], r.pause.by && [" by ", said(r.pause.by)]),
      h("span", { class: "grow" }), h("a", { href: `/?rule=${encodeURIComponent(r.name)}`, text: "Live" }), h("a", { href: `/play?rule=${encodeURIComponent(r.name)}`, text: "Playground" }),
      h("a", { href: `/deliveries?rule=${encodeURIComponent(r.name)}`, text: "Deliveries" }), pauseButton(`rule/${r.name}`, r, () => { at.refresh(); stop.now(); }));
    text = r.source || "";
    renew(source, text ? code(text, r.line) : h("p", { class: "pad dim", text: "The text is not known: the rules were not read from a file." }));
    renew(facts, h("dl", { class: "facts" }, [
      ["Matches", count(r.matches)], ["Firings", count(r.firings)], ["While paused", r.skipped && count(r.skipped)], ["In dry run", r.dry_runs && count(r.dry_runs)],
      ["No room", r.dropped && count(r.dropped)],
      ...Object.entries(r.suppressed || {}).map(([reason, n]) => [`Suppressed: ${reason.replace("_", " ")}`, count(n)]),
      ["Condition errors", r.condition_errors && h("span", { class: r.condition_errors ? "bad" : "", text: count(r.condition_errors) })],
      ["Not a number", r.not_numbers && count(r.not_numbers)],
      ["Last error", r.condition_error && said(r.condition_error, { max: 600 }, "span", "bad")],
      ["Cost", `${span(r.condition_seconds)} in all, ${(100 * r.condition_share).toFixed(2)} % of a core now`],
      ["Sends to", (r.targets || []).map((t, i) => [i > 0 && ", ", said(shortAction(t))])],
      ["Next run", r.next_run && `${time(r.next_run)} (${ago(r.next_run)})`], ["Opens", r.opens && `${time(r.opens)}, ${plural(r.held, "firing")} waiting`],
    ].filter(([, v]) => v !== undefined && v !== "" && v !== 0 && v !== false && v !== null).map(([k, v]) => [h("dt", { text: k }), h("dd", {}, v)])));
    const e = r.last_event;
    renew(last, !r.last_match ? h("p", { class: "dim", text: "None since triggerd began." }) : [
      h("p", {}, ago(r.last_match), h("span", { class: "dim", text: ` · ${time(r.last_match, true)}` })),
      e && e.at !== r.last_match && h("p", { class: "dim", text: `It fired last for, ${ago(e.at)}:` }),
      e && h("p", { class: "mono" }, said(e.key, { max: 300 })), e && session.show_values && h("p", {}, value(e.before, 120), h("span", { class: "arrow", text: "→" }), value(e.after, 120)),
      e && e.command && h("p", { class: "mono dim" }, said(e.command, { max: 300 })),
      e && h("p", {}, h("a", { href: playURL({ rule: r.name, key: e.key }), text: "Try it in the playground" }))]);
    const rates = await get(`rates/${encodeURIComponent(name)}`);
    const of = scale === "s" ? rates.seconds : rates.minutes;
    const sum = (list) => count((list || []).reduce((a, b) => a + b, 0));
    renew(graph, rates.kept === false
      ? h("p", { class: "dim", text: "Rates are kept of a thousand rules; this one is not among them." })
      : [spark(of.matches || [], { width: 800, height: 90, length: scale === "s" ? 600 : 1440, second: of.firings || [], label: `${sum(of.matches)} matches, ${sum(of.firings)} firings` }),
        h("p", { class: "dim" }, `${sum(of.matches)} matches, `, h("span", { class: "ok", text: `${sum(of.firings)} firings` }), scale === "s" ? " in the last 10 minutes, by the second" : " in the last 24 hours, by the minute")]);
    graph.querySelector("svg")?.setAttribute("width", "100%");
    drawStates(r);
    room.dataset.loaded = name;
  }

  function drawStates(r) {
    const timers = r.timers || [], windows = r.windows || [];
    stateCard.hidden = !r.states && !timers.length && !windows.length && !by.value;
    const lines = [...timers.map((t) => ({ ...t, what: t.fired && !t.due ? "has fired, waits for its end" : t.due ? `due ${ago(t.due)}` : "waits" })), ...windows.map((w) => ({ ...w, what: w.suppressed ? `${count(w.suppressed)} suppressed` : "" }))];
    renew(states,
      h("table", { class: "cards" }, h("thead", {}, h("tr", {}, ["By", "Stage", "Count", "Then"].map((t) => h("th", { scope: "col", text: t, class: t === "Count" ? "num" : "" })))),
        h("tbody", {}, lines.map((l) => h("tr", {}, h("td", { class: "mono name" }, said(l.by || (session.show_values ? "all" : "not shown"), { max: 120 })), h("td", { text: l.stage }), h("td", { class: "num", text: count(l.count) }), h("td", { class: "dim", text: l.what }))))),
      h("div", { class: "bar" }, h("span", { class: "dim", text: `${plural(r.states || 0, "state")} in all` }), h("span", { class: "grow" }),
        h("button", { text: "First", disabled: !before.length, onclick: () => { cursor = ""; before = []; stop.now(); } }),
        h("button", { text: "Next", disabled: !r.next, onclick: () => { before.push(cursor); cursor = r.next; stop.now(); } })));
  }

  let typing;
  by.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { cursor = ""; before = []; at.set({ by: by.value.trim() }); stop.now(); }, 250); });
  drawScale();
  const stop = every(2000, load, (e) => {
    show(error, e.status === 404 ? `There is no rule ${name}. It may have been removed by a reload.` : e.message);
    error.hidden = false;
  });
  return { filter: by, back: () => at.go("/rules"), close: () => { stop(); clearTimeout(typing); } };
}

// code shows lines of a file with their numbers.
export function code(text, first) {
  const pre = h("pre", { class: "code", tabindex: "0", role: "region", "aria-label": "Text" });
  text.replace(/\n+$/, "").split("\n").slice(0, 2000).forEach((line, i) => pre.append(h("span", { class: "n", text: String(first + i) }), said(line, { max: 1000, lines: true }), "\n"));
  return pre;
}
