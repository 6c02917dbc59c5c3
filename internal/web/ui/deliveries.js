// Deliveries: firings that wait, fail, or were delivered; and one of them, from
// its event to the answer.

import { get, post, mayChange, every, session } from "./api.js";
import { h, put, renew, say, ask, copy, region } from "./dom.js";
import { show, said, time, ago, count, span, shortAction, plural, answer, now, ruleHref } from "./show.js";
import { link, value, arrow } from "./live.js";

const states = [["pending", "Waiting"], ["failing", "Failing"], ["delivered", "Delivered"]];

export function deliveries(room, at) {
  let state = at.params.get("state") || "pending";
  const input = (name, placeholder, cls) => h("input", { name, class: cls, placeholder, "aria-label": placeholder, value: at.params.get(name) || "" });
  const searches = session.features.includes("search");
  const key = input("key", "key or glob", "mono"), id = input("id", "id", "mono"), ruleName = input("rule", "rule"), action = input("action", "action");
  const tabs = h("div", { class: "tabs", role: "group", "aria-label": "State" });
  const body = h("tbody", {});
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  const foot = h("div", { class: "bar" });
  const empty = h("div", { class: "empty", hidden: true });
  const bulk = h("div", { class: "bulk", hidden: true });
  let list = [], next = 0, pages = 1, chosen = new Set();

  const heads = h("tr", {});
  put(room,
    h("div", { class: "bar" }, tabs, searches && key, ruleName, action, searches && id, h("span", { class: "grow" }), h("a", { href: "/dead", text: "Dead letters" })), error, bulk,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Deliveries" }, h("table", { class: "cards" }, h("thead", {}, heads), body), empty), foot);

  function drawTabs() {
    renew(tabs, states.map(([name, text]) => h("button", { type: "button", text, "aria-pressed": String(name === state), onclick: () => { state = name; at.set({ state: name === "pending" ? "" : name }); again(); drawTabs(); } })));
    put(heads, ["", "#", "Key", "Rule → action", "Tries", state === "delivered" ? "Delivered" : "Next try", "Answer"].map((t, i) => h("th", { scope: "col", class: i === 4 ? "num" : "" }, t || h("span", { class: "sr", text: "Choose" }))));
  }

  function again() {
    pages = 1;
    chosen = new Set();
    stop.now();
  }

  const query = () => ({ state: state === "failing" ? "pending" : state, failing: state === "failing" ? "1" : "", rule: ruleName.value.trim(), action: action.value.trim(), ...(searches ? { key: key.value.trim(), id: id.value.trim() } : {}), limit: 100 });

  async function load() {
    const found = [];
    next = 0;
    for (let i = 0; i < pages; i++) {
      const got = await get("deliveries", { ...query(), before: next || "" });
      found.push(...got.deliveries);
      next = got.next || 0;
      if (!next) break;
    }
    list = found;
    error.hidden = true;
    draw();
    room.dataset.loaded = state;
  }

  function draw() {
    renew(body, list.map((d) => h("tr", { "data-id": d.id },
      h("td", { class: "wide" }, (state === "failing" || (state === "delivered" && session.features.includes("redeliver"))) && mayChange() && h("input", { type: "checkbox", "aria-label": `Choose delivery ${d.number}`, checked: chosen.has(d.number), onchange: (e) => { e.target.checked ? chosen.add(d.number) : chosen.delete(d.number); drawBulk(); } })),
      h("td", {}, h("a", { href: `/deliveries/${d.number}`, text: `#${d.number}` })),
      h("td", { class: "mono name" }, d.key ? said(d.key, { max: 90 }) : h("span", { class: "none", text: d.event || "not kept" })),
      h("td", { class: "full line" }, link(ruleHref(d.rule), d.rule), arrow(), said(shortAction(d.action), { max: 60 }, "span")),
      h("td", { class: "num", "data-label": "tries" }, count(d.attempts)),
      h("td", { class: "nowrap dim" }, state === "delivered" ? `${time(d.delivered)} · ${span((new Date(d.delivered) - new Date(d.planned)) / 1000)}` : d.due && new Date(d.due) > now() ? ago(d.due) : d.attempts ? "when its turn comes" : `planned ${ago(d.planned)}`),
      h("td", { class: d.last_error ? "bad full" : "ok full" }, said(answer(d.last_error) || d.status || "", { max: 120 })))));
    empty.hidden = list.length > 0;
    if (!list.length) put(empty, h("h2", { text: state === "delivered" ? "Nothing has been delivered yet" : state === "failing" ? "Nothing fails" : "Nothing waits" }), h("p", { text: filtered() ? "at least nothing that the filter selects" : state === "pending" ? "Firings are delivered as they come." : "" }));
    renew(foot, h("span", { class: "dim", text: next ? `the first ${count(list.length)}` : plural(list.length, "delivery", "deliveries") }), h("span", { class: "grow" }),
      next ? h("button", { text: "More", onclick: () => { pages++; stop.now(); } }) : false);
    drawBulk();
  }

  const filtered = () => [key, id, ruleName, action].some((i) => i.value.trim());

  function drawBulk() {
    bulk.hidden = !chosen.size;
    put(bulk, h("b", { text: `${chosen.size} chosen` }), state === "delivered"
      ? h("button", { class: "go", text: "Deliver again", onclick: () => change("redeliver", "will be delivered once more", { title: `Deliver ${plural(chosen.size, "firing")} again?`, text: "The receivers get the same events a second time, with the same ids.", go: "Deliver again" }) })
      : h("button", { class: "go", text: "Retry now", onclick: () => change("retry", "will be tried as soon as its turn comes") }),
    state !== "delivered" && session.features.includes("cancel") && h("button", { class: "danger", text: "Cancel", onclick: () => change("cancel", "will not be delivered: see the dead letters", { title: `Cancel ${plural(chosen.size, "firing")}?`, text: "They are not delivered any more, and become dead letters.", go: "Cancel them", danger: true }) }), h("button", { text: "None", onclick: () => { chosen.clear(); draw(); } }));
  }

  async function change(what, done, question) {
    if (question && !await ask(question)) return;
    try {
      const got = await post(`deliveries/${what}`, { numbers: [...chosen] });
      say(`${plural(got.count || 0, "firing")} ${done}`);
    } catch (e) { say(e.message); }
    at.refresh();
    again();
  }

  let typing;
  for (const i of [key, id, ruleName, action]) i.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => { at.set({ [i.name]: i.value.trim() }); again(); }, 250); });
  const stop = every(2000, load, (e) => { show(error, e.message); error.hidden = false; });
  drawTabs();
  return { filter: searches ? key : ruleName, close: () => { stop(); clearTimeout(typing); } };
}

export function delivery(room, at, ref) {
  const body = h("div", { class: "scroll pad", tabindex: "0", role: "region", "aria-label": "Delivery" });
  const head = h("div", { class: "head" });
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  put(room, head, error, body);
  let d, shown = "";
  const stop = every(2000, async () => {
    d = await get(`deliveries/${encodeURIComponent(ref)}`);
    error.hidden = true;
    const text = JSON.stringify(d);
    if (text !== shown) {
      shown = text;
      firing(head, body, { ...d, now: d.state }, at, () => stop.now());
    }
    room.dataset.loaded = ref;
  }, (e) => {
    show(error, e.status === 404 ? `There is no delivery ${ref}: it was given up (then it is a dead letter), or it is older than what is kept.` : e.message);
    error.hidden = false;
  });
  return { back: () => history.back(), copy: () => curlOf(d), close: () => stop() };
}

// firing shows one delivery or dead letter: event, request, timeline.
export function firing(head, body, d, at, changed) {
  const dead = d.now === "dead";
  const ev = d.firing?.data || d.firing || {};
  const chip = dead || d.state === "dead" ? ["given up", "bad"] : d.state === "delivered" ? ["delivered", "ok"] : d.attempts ? ["failing", "bad"] : ["waits", ""];
  const act = (text, path, sent, question, cls) => h("button", { text, class: cls, disabled: !mayChange(), title: mayChange() ? "" : "read_token only looks", onclick: async () => {
    if (question && !await ask(question)) return;
    try {
      const done = await post(path, sent);
      say(`${text}: ${plural(done.count || 0, "firing")}`);
      at.refresh();
      changed(path);
    } catch (e) { say(e.message); }
  } });
  const has = (name) => session.features.includes(name);
  renew(head,
    h("h1", { text: dead ? `Dead letter #${d.number}` : `Delivery #${d.number}` }), h("span", { class: `chip ${chip[1]}`, text: chip[0] }),
    h("span", {}, d.key !== undefined && said(d.key, { max: 80 }, "span", "mono"), h("span", { class: "arrow", text: "›" }), link(ruleHref(d.rule), d.rule), h("span", { class: "arrow", text: "›" }), said(shortAction(d.action))),
    h("span", { class: "grow" }),
    d.state === "dead" && d.dead_letter && h("a", { href: `/dead/${d.dead_letter}`, text: `Dead letter #${d.dead_letter}` }),
    dead && act("Retry", "dead-letters/retry", { numbers: [d.number] }, null, "go"),
    dead && act("Drop", "dead-letters/drop", { numbers: [d.number] }, { title: `Drop dead letter #${d.number}?`, text: "It is deleted, and nobody gets it any more. This cannot be undone.", go: "Drop it", danger: true }, "danger"),
    d.state === "pending" && act("Retry now", "deliveries/retry", { numbers: [d.number] }, null, "go"),
    d.state === "pending" && has("cancel") && act("Cancel", "deliveries/cancel", { numbers: [d.number] }, { title: `Cancel delivery #${d.number}?`, text: "It is not delivered any more, and becomes a dead letter.", go: "Cancel it", danger: true }, "danger"),
    d.state === "delivered" && has("redeliver") && act("Redeliver", "deliveries/redeliver", { numbers: [d.number] }, { title: `Deliver #${d.number} again?`, text: "The receiver gets the same event a second time, with the same id.", go: "Redeliver" }, "go"),
    d.firing && h("button", { text: "Copy curl", onclick: () => curlOf(d), title: "Key: c" }));
  const chain = [];
  chain.push(["Planned", d.planned, "", h("p", { class: "dim" }, "id ", said(d.id, {}, "span", "mono"))]);
  const tries = d.timeline || [];
  for (const a of tries) {
    const cls = a.outcome === "delivered" ? "ok" : "bad";
    chain.push([a.uncounted ? "Probe, while the endpoint is down" : `Attempt ${a.number}`, a.at, cls, [
      h("p", { class: cls }, said(a.text || a.outcome, { max: 600 })), h("p", { class: "dim", text: `after ${span(a.seconds)}` }),
      a.excerpt && h("details", {}, h("summary", { class: "dim", text: "Answer" }), said(a.excerpt, { max: 4000, lines: true }, "pre"))]]);
  }
  if (!tries.length && d.attempts && d.state !== "delivered") chain.push([plural(d.attempts, "attempt"), null, "bad", h("p", { class: "bad" }, said(d.last_error || d.error || "", { max: 600 }))]);
  if (d.state === "delivered" && !tries.length) chain.push([d.attempts > 1 ? `Delivered by attempt ${d.attempts}` : "Delivered", d.delivered, "ok", h("p", { class: "ok" }, said(d.status || "", { max: 300 }))]);
  else if (d.state === "pending") chain.push(["Next attempt", d.due, "wait", h("p", { class: "dim", text: d.due && new Date(d.due) > now() ? ago(d.due) : "as soon as its turn comes" })]);
  if (d.redelivered && d.state === "pending") chain.push(["Once more", null, "wait", h("p", { class: "dim", text: "It was delivered before, and is delivered again." })]);
  if (dead || d.state === "dead") chain.push(["Given up", d.given_up, "bad", h("p", {}, said({ attempts: "all attempts failed", age: "it became too old", permanent: "the answer says that trying again is of no use", dropped: "there was no room for it", cancelled: "somebody cancelled it", damaged: "its record cannot be read", rewound: "the write that it tells of was lost in a failover" }[d.reason] || d.reason))]);
  renew(body, h("div", { class: "grid" },
    h("section", { class: "card w5" }, h("header", {}, h("h2", { text: "Timeline" })), h("div", { class: "body" }, h("ol", { class: "chain" }, chain.map(([name, t, cls, inner]) => h("li", { class: cls }, h("h3", {}, name, t && h("time", { text: time(t, true), title: ago(t) })), inner))))),
    h("section", { class: "card w7" }, h("header", {}, h("h2", { text: "Event" })), h("div", { class: "body" }, d.firing ? [
      h("dl", { class: "facts" }, [["Event", said(ev.event)], ["Key", said(ev.key, { max: 1000 }, "span", "mono")], ["Database", ev.db], ["Command", ev.command && said([ev.command, ...(ev.args || [])].join(" "), { max: 600 }, "span", "mono")],
        ["Before", ev.before === undefined ? undefined : value(textOf(ev.before), 600)], ["After", ev.after === undefined ? undefined : value(textOf(ev.after), 600)], ["Offset", ev.offset], ["Time", ev.time && time(ev.time, true)]]
        .filter(([, v]) => v !== undefined && v !== "" && v !== null).map(([k, v]) => [h("dt", { text: k }), h("dd", {}, v)]))]
      : h("p", { class: "dim", text: d.state === "delivered" ? "The event of what was delivered is not kept." : session.show_values ? "The event was not kept." : "Values are not shown: show_values is false." }))),
    d.excerpt && h("section", { class: "card w12" }, h("header", {}, h("h2", { text: "Answer" })), region(said(d.excerpt || "", { max: 8000, lines: true }, "pre", "block"), "Answer")),
    d.request && h("section", { class: "card w12" }, h("header", {}, h("h2", { text: d.request.sent ? "Request, as it was sent" : "Request, as it would be sent now" })), region(said(requestText(d.request), { max: 20000, lines: true }, "pre", "block"), "Request")),
    d.firing && h("section", { class: "card w12" }, h("header", {}, h("h2", { text: d.request && !d.request.event_body ? "The firing" : "What is sent" }), h("span", { class: "grow" }), h("button", { text: "Copy", onclick: () => copy(JSON.stringify(d.firing), "the event") })), region(said(JSON.stringify(d.firing, null, 2), { max: 20000, lines: true }, "pre", "block"), "What is sent"))));
}

export function textOf(v) {
  return v === null || typeof v === "string" ? v : JSON.stringify(v);
}

function requestText(r) {
  return [(r.call || []).join(" "), ...(r.headers || []).map((x) => `${x.name}: ${x.value}`), ...(r.event_body ? [] : ["", r.body || ""])].join("\n").trim();
}

// curlOf copies a request as a command. Secrets are not known here, nor more of an
// address than its host.
export function curlOf(d) {
  if (!d?.firing) return;
  const r = d.request;
  if (r?.call?.length === 2 && /^https?:/.test(r.call[1])) {
    const lines = [`curl -X ${r.call[0]} ${shell(r.call[1])}`, ...(r.headers || []).filter((x) => !/^(content-length|accept-encoding|content-encoding)$/i.test(x.name)).map((x) => `-H ${shell(`${x.name}: ${x.value}`)}`), `--data-binary ${shell(r.event_body ? JSON.stringify(d.firing) : r.body || "")}`];
    copy(lines.join(" \\\n  "), "the request as curl");
    return;
  }
  copy(["curl -X POST \"$URL\" \\", `  -H 'content-type: application/json' -H ${shell(`webhook-id: ${d.id}`)} \\`, `  --data-binary ${shell(JSON.stringify(d.firing))}`].join("\n"), "the firing as curl");
}

const shell = (s) => `'${s.replaceAll("'", "'\\''")}'`;
