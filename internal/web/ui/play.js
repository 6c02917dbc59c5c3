// The playground: rules that are tried without being used. It asks the daemon,
// which plays commands to them as triggerd explain and test do. Nothing is sent,
// and no file is changed.

import { get, post, session, every } from "./api.js";
import { h, put, say, copy, region } from "./dom.js";
import { show, said, time, count, plural } from "./show.js";
import { value, link } from "./live.js";

const example = `[[rule]]
name = "sold-out"
key = "stock:{sku}"
when = 'num(before) > 0 && num(after) <= 0'

  [[rule.action]]
  type = "webhook"
  url = "https://example.com/hook"
`;

// pretty breaks JSON into lines, with numbers as they are written.
function pretty(text) {
  try { JSON.parse(text); } catch { return text; }
  let out = "", depth = 0, quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      out += c;
      if (c === "\\") out += text[++i];
      else if (c === '"') quoted = false;
      continue;
    }
    const line = () => "\n" + "  ".repeat(depth);
    if (c === '"') { quoted = true; out += c; }
    else if ((c === "{" || c === "[") && /^\s*[}\]]/.test(text.slice(i + 1, i + 20))) { out += c; }
    else if (c === "{" || c === "[") { depth++; out += c + line(); }
    else if (c === "}" || c === "]") { if (!/[{[]$/.test(out)) { depth--; out += line(); } out += c; }
    else if (c === ",") out += c + line();
    else if (c === ":") out += ": ";
    else if (!/\s/.test(c)) out += c;
  }
  return out;
}

const exampleCommands = "SET stock:7 1\nDECR stock:7\n";

export function play(room, at) {
  const { params } = at;
  const kept = (name) => { try { return sessionStorage.getItem(`triggerd.play.${name}`); } catch { return null; } };
  const keep = (name, text) => { try { sessionStorage.setItem(`triggerd.play.${name}`, text); } catch { /* a browser may forbid it */ } };

  const text = h("textarea", { id: "text", spellcheck: "false", autocapitalize: "off", autocomplete: "off", "aria-label": "Rules", wrap: "off" });
  const gutter = h("div", { class: "gutter", "aria-hidden": "true" });
  const findings = h("div", { class: "findings", tabindex: "0", role: "region", "aria-label": "Mistakes" });
  const commands = h("textarea", { id: "commands", rows: "4", spellcheck: "false", "aria-label": "Commands, one a line; +30m moves the clock" });
  const before = h("input", { class: "mono", id: "before", placeholder: "JSON: 5, or {\"status\":\"new\"}", "aria-label": "The first key's value before" });
  const ruleSelect = h("select", { "aria-label": "Rule to explain", id: "rule" });
  const clock = h("input", { id: "clock", class: "mono", placeholder: "now", "aria-label": "The clock begins at", title: "As 2026-01-31T23:59:00Z; empty: now" });
  const db = h("input", { id: "db", type: "number", min: "0", max: "65535", value: "0", "aria-label": "Database" });
  db.style.width = "62px";
  const results = h("div", { class: "scroll", id: "results", tabindex: "0", role: "region", "aria-label": "What the rule makes of it" });
  const key = h("input", { class: "mono", placeholder: "key of a real event", "aria-label": "Key of a real event", value: params.get("event") || "" });
  const verdict = h("span", { class: "result", role: "status" });
  let errors = [], closed = false;

  text.value = kept("text") || example;
  commands.value = kept("commands") || exampleCommands;

  put(room, h("div", { class: "play" },
    h("section", {},
      h("div", { class: "title" }, h("h2", { text: "Rules" }), verdict, h("span", { class: "end" }, h("button", { text: "Copy rule", onclick: () => copy(ruleText(), "the rule") }), h("button", { id: "runtests", text: "Run its tests", onclick: tests }))),
      h("div", { class: "editor" }, gutter, text), findings),
    h("section", {},
      h("div", { class: "title" }, h("h2", { text: "Commands" }), h("span", { class: "end" }, key, h("button", { text: "Last event", onclick: lastEvent, title: "The last real event of a key that a rule matched" }))),
      h("div", { class: "pad" }, commands),
      h("div", { class: "bar" }, h("label", { class: "check" }, "before", before), h("label", { class: "check" }, "clock", clock),
        [["+1m"], ["+1h"], ["+1d", "+24h"]].map(([label, step]) => h("button", { text: label, title: "Move the clock: the rule's timers fire when they are due", onclick: () => { commands.value = `${commands.value.replace(/\n*$/, "\n")}${step || label}\n`; changed(); } })),
        h("label", { class: "check" }, "db", db), h("span", { class: "grow" }), ruleSelect, h("button", { class: "go", id: "run", text: "Explain", title: "Ctrl Enter", onclick: explain }), h("button", { text: "Copy test", onclick: copyTest })),
      results)));

  function drawGutter() {
    const lines = text.value.split("\n").length;
    const marks = new Map(errors.map((e) => [e.line, e.level]));
    put(gutter, Array.from({ length: Math.min(lines, 5000) }, (_, i) => h("div", { class: marks.get(i + 1) || "", text: marks.has(i + 1) ? `${marks.get(i + 1) === "bad" ? "✗" : "!"} ${i + 1}` : String(i + 1) })));
    gutter.scrollTop = text.scrollTop;
  }
  text.addEventListener("scroll", () => { gutter.scrollTop = text.scrollTop; });

  // The daemon counts columns in bytes.
  const encoder = new TextEncoder(), decoder = new TextDecoder();
  const place = (e) => {
    const lines = text.value.split("\n");
    const line = lines[e.line - 1] || "";
    const col = decoder.decode(encoder.encode(line).slice(0, Math.max(0, e.col - 1))).length;
    return { line, col, offset: lines.slice(0, e.line - 1).reduce((n, l) => n + l.length + 1, 0) + col };
  };

  function drawFindings(got) {
    errors = [...(got.errors || []).map((e) => ({ ...e, level: "bad" })), ...(got.warnings || []).map((e) => ({ ...e, level: "warn" }))];
    put(findings, errors.slice(0, 50).map((e) => {
      const { line, col, offset } = place(e);
      const from = Math.max(0, col - 60);
      return h("div", { class: `finding ${e.level}`, "data-line": e.line },
        h("button", { type: "button", onclick: () => { text.focus(); text.setSelectionRange(offset, offset); text.scrollTop = (e.line - 6) * 19; } }, e.line ? `${e.line}:${col + 1}` : "Rules"), " ",
        e.rule && [h("b", {}, said(e.rule)), " "], e.field && [said(e.field, {}, "span", "mono"), ": "], said(e.message, { max: 600 }), e.code && h("span", { class: "dim", text: ` [${e.code}]` }),
        line && h("pre", { "aria-hidden": "true" }, said(line.slice(from, col + 60), { max: 200, lines: true }), "\n", `${line.slice(from, col).replace(/[^\t]/g, " ")}^`),
        e.hint && h("div", { class: "dim" }, said(e.hint, { max: 600 })));
    }));
    drawGutter();
    verdict.className = `result ${got.ok ? "ok" : "bad"}`;
    verdict.textContent = got.ok ? (errors.length ? `✓ ok, ${plural(errors.length, "warning")}` : "✓ ok") : `✗ ${plural((got.errors || []).length, "mistake")}${(got.errors || []).length >= 200 ? " or more" : ""}`;
    if (!got.ok) {
      put(results, h("div", { class: "empty" }, h("p", { text: "What the rule does is shown once the mistakes are mended." })));
      delete results.dataset.fires;
      question++; // the answer to one that was asked before is not shown any more
    }
    const names = got.rules || [];
    if (got.ok || names.length) {
      const chosen = ruleSelect.value || params.get("rule") || "";
      put(ruleSelect, names.map((n) => show(h("option", { value: n }), n, { max: 60 })));
      ruleSelect.value = names.includes(chosen) ? chosen : names[0] || "";
    }
  }

  let checking, turn = 0, question = 0;
  async function check() {
    const mine = ++turn;
    try {
      const got = await post("check", { text: text.value });
      if (mine === turn && !closed) drawFindings(got);
      return got.ok;
    } catch (e) {
      if (mine !== turn || closed) return false;
      if (e.status === 429) { later(300); return false; }
      fail(e);
      return false;
    }
  }

  function fail(e) {
    put(results, h("div", { class: "error", role: "alert" }, said(e.message, { max: 2000, lines: true })));
  }

  function changed() {
    keep("text", text.value);
    keep("commands", commands.value);
    later(350);
  }

  // later checks the text and explains it, in so many ms.
  function later(ms) {
    clearTimeout(checking);
    checking = setTimeout(async () => { if (await check()) explain(); }, ms);
  }
  for (const field of [text, commands, before, clock, db]) field.addEventListener("input", changed);
  ruleSelect.addEventListener("change", () => { at.set({ rule: ruleSelect.value }); explain(); });
  text.addEventListener("input", drawGutter);
  for (const field of [text, commands, before, clock]) {
    field.addEventListener("keydown", (e) => {
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); check().then((ok) => ok && explain()); }
    });
  }

  const lines = () => commands.value.split("\n").map((l) => l.trim()).filter((l) => l && !l.startsWith("#"));

  async function explain() {
    if (!ruleSelect.value) return;
    const mine = ++question;
    try {
      const got = await post("explain", { text: text.value, rule: ruleSelect.value, commands: lines(), before: before.value.trim(), start: clock.value.trim(), db: Number(db.value) || 0 });
      if (closed || mine !== question) return;
      if (!got.ok) { drawFindings(got); return; }
      drawSteps(got);
    } catch (e) {
      if (closed || mine !== question) return;
      if (e.status === 429) { later(300); return; }
      fail(e);
    }
  }

  function drawSteps(got) {
    put(results,
      h("div", { class: "step" }, h("span", { class: `result ${got.fires ? "ok" : ""}`, text: got.fires ? `✓ fires ${got.fires === 1 ? "once" : `${got.fires} times`}` : "does not fire" }), " ",
        h("span", { class: "dim" }, got.found_by?.length ? ["the rule is tried for ", said(got.found_by.join("; or "), { max: 400 })] : "")),
      got.steps.map((s) => h("div", { class: "step", "data-step": s.command || s.pause },
        h("h3", {}, s.pause ? `${s.pause} later` : said(s.command, { max: 300 }), h("span", { class: "dim", text: time(s.at) })),
        s.arrives_as && h("p", { class: "warn" }, "does not arrive under its name; use ", said(s.arrives_as)),
        !s.pause && !s.events.length && h("p", { class: "dim", text: "makes no event: it changes no key, or waits for its EXEC" }),
        s.withheld && h("p", { class: "dim" }, said(s.withheld, { max: 400 })),
        s.fired.map((f) => fired(f, "It fires, by the clock")),
        s.events.map((e) => h("div", {},
          h("p", {}, h("b", {}, said(e.event)), e.key !== null && [" of ", said(e.key, { max: 200 }, "span", "mono")], e.known && [": ", value(e.before, 200), h("span", { class: "arrow", text: "→" }), value(e.after, 200)]),
          h("table", { class: "verdicts" }, h("tbody", {}, e.checks.map((c) => h("tr", {},
            h("td", { class: c.ok ? "ok" : "bad", text: c.ok ? "yes" : "no" }), h("td", { class: "dim", text: c.field }), h("td", { class: "mono" }, said(c.want, { max: 300 })),
            h("td", { class: "dim mono" }, "got ", said(c.got, { max: 200 }), c.saw.map((x) => [", ", said(x.source, { max: 100 }), " is ", said(x.value, { max: 100 })])))))),
          e.fired.map((f) => fired(f, "It fires")),
          !e.fired.length && h("p", { class: "dim" }, e.matches ? "It matches, and does not fire now" : "It does not fire", e.withheld && [": ", said(e.withheld, { max: 400 })]))))),
      got.cut && h("p", { class: "pad dim", text: "There is more, which is not shown." }));
    results.dataset.fires = String(got.fires);
  }

  function fired(f, says) {
    return h("div", {}, h("p", { class: "ok" }, h("b", { text: `✓ ${says}` }), f.dry_run && ", and delivers nothing: dry_run = true"),
      f.requests.map((r) => h("div", { class: "card" },
        h("header", {}, h("span", { class: "dim" }, "action ", said(r.action))),
        r.error ? h("p", { class: "pad bad" }, said(r.error, { max: 600 })) : h("div", {}, region(said([(r.call || []).join(" "), ...(r.named || []).map((n) => `${n.name}: ${n.value}`), "", pretty(r.body)].join("\n").trim(), { max: 8000, lines: true }, "pre", "block"), "What is sent")))));
  }

  async function tests() {
    try {
      const got = await post("test", { text: text.value });
      if (!got.ok) { drawFindings(got); return; }
      put(results, got.results.length
        ? [h("div", { class: "step" }, h("b", { class: got.failed ? "bad" : "ok", text: `${got.passed} passed, ${got.failed} failed` })), got.results.map((r) => h("div", { class: "step" }, h("h3", {}, h("span", { class: r.passed ? "ok" : "bad", text: r.passed ? "✓" : "✗" }), said(r.name)), r.differences.map((d) => h("p", { class: "bad" }, said(d, { max: 800 })))))]
        : h("div", { class: "empty" }, h("h2", { text: "There is no [[test]] in the rules" }), h("p", { text: "“Copy test” makes one of the commands." })));
    } catch (e) { fail(e); }
  }

  // What is copied

  const tomlString = (s) => JSON.stringify(s).replaceAll("\u007f", "\\u007f");

  function ruleText() {
    const all = text.value.split("\n");
    const begins = all.map((l, i) => [l, i]).filter(([l]) => /^\s*\[\[\s*rule\s*\]\]/.test(l)).map(([, i]) => i);
    for (let n = 0; n < begins.length; n++) {
      const rest = all.slice(begins[n] + 1).findIndex((l) => /^\s*\[\[?\s*(?!rule\.)[\w"-]+/.test(l) && !/^\s*\[\[?\s*rule\./.test(l));
      const part = all.slice(begins[n], rest < 0 ? undefined : begins[n] + 1 + rest).join("\n");
      if (part.includes(tomlString(ruleSelect.value)) || begins.length === 1) return `${part.trim()}\n`;
    }
    return text.value;
  }

  function copyTest() {
    const given = before.value.trim();
    const steps = lines().map((l) => (l.startsWith("+") ? `{ at = ${tomlString(l)} }` : tomlString(l)));
    const first = lines().find((l) => !l.startsWith("+"))?.split(/\s+/)[1];
    copy(["[[test]]", `name = ${tomlString(`${ruleSelect.value || "rule"} as tried in the playground`)}`,
      clock.value.trim() && `start = ${clock.value.trim()}`,
      given && first && /^("|\d|-)/.test(given) && `given = { ${tomlString(first)} = ${given.startsWith('"') ? given : tomlString(given)} }`,
      `feed = [${steps.join(", ")}]`, `expect = { ${tomlString(ruleSelect.value)} = ${results.dataset.fires || 0} }`, ""].filter((l) => l !== false && l !== "" && l !== undefined).join("\n") + "\n", "the test");
  }

  // What is real

  async function lastEvent() {
    const name = key.value.trim();
    if (!name) { key.focus(); return; }
    try {
      const e = await get("last-event", { key: name });
      commands.value = `${e.command}\n`;
      before.value = e.before === undefined || e.before === null ? "" : JSON.stringify(e.before);
      db.value = String(e.db || 0);
      at.set({ event: name });
      changed();
    } catch (e) { say(e.message); }
  }

  async function begin() {
    const name = params.get("rule");
    if (name) {
      try {
        const r = await get(`rules/${encodeURIComponent(name)}`);
        if (r.whole) text.value = r.whole;
      } catch (e) { say(e.message); }
    }
    if (closed) return;
    drawGutter();
    if (params.get("event") && session.show_values) await lastEvent();
    else if (name && !kept("commands")) commands.value = "";
    if (await check()) explain();
    room.dataset.loaded = "play";
  }
  begin();
  return { filter: text, close: () => { closed = true; clearTimeout(checking); } };
}
