// Dead letters: firings that were given up, by what they failed of.

import { get, post, mayChange, every, session } from "./api.js";
import { h, put, renew, say, ask } from "./dom.js";
import { show, said, time, ago, count, shortAction, plural, answer, ruleHref } from "./show.js";
import { link, arrow } from "./live.js";
import { firing } from "./deliveries.js";

const reasons = [["", "any reason"], ["attempts", "all attempts failed"], ["age", "too old"], ["permanent", "refused for good"], ["dropped", "no room"], ["cancelled", "cancelled"], ["damaged", "damaged"], ["rewound", "lost in a failover"]];

const GROUPS = innerWidth > 760 ? 6 : 3; // causes that are shown at first
const CAUSES = 20; // causes are counted for one part in so many of the time

export function dead(room, at) {
  const reason = h("select", { name: "reason", "aria-label": "Reason" }, reasons.map(([value, text]) => h("option", { value, text })));
  reason.value = at.params.get("reason") || "";
  const input = (name, placeholder) => h("input", { name, placeholder, "aria-label": placeholder, value: at.params.get(name) || "" });
  const ruleName = input("rule", "rule"), action = input("action", "action");
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  const bulk = h("div", { class: "bulk", hidden: true });
  const causes = h("section", { class: "causes", "aria-label": "Causes", hidden: true });
  const body = h("tbody", {});
  const empty = h("div", { class: "empty", hidden: true });
  const foot = h("div", { class: "bar" });
  const everyone = h("input", { type: "checkbox", "aria-label": "Choose all that are shown", disabled: !mayChange(), onchange: () => { chosen = new Set(everyone.checked ? list.map((d) => d.number) : []); draw(); } });
  let list = [], next = 0, pages = 1, chosen = new Set(), cause = null, groups = [], more = false, everyCause = false, fresh = 0, countedOf = "";
  put(room,
    h("div", { class: "bar" }, reason, ruleName, action, h("span", { class: "grow" }), h("a", { href: "/api/v1/dead-letters/export", download: "dead-letters.jsonl", text: "Export" })), error, causes, bulk,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Dead letters" }, h("table", { class: "cards" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, everyone), ["#", "Key", "Rule → action", "Tries", "Given up", "Why"].map((t) => h("th", { scope: "col", text: t, class: t === "Tries" ? "num" : "" })))), body), empty), foot);

  const filter = () => ({ reason: reason.value, rule: ruleName.value.trim(), action: action.value.trim() });
  const narrowed = () => (cause ? { ...filter(), action: cause.action, reason: cause.reason, ...errorOf(cause) } : filter());
  // Without values nobody is told what errors say, so that none can be chosen.
  const errorOf = (g) => (session.show_values ? { error: g.error } : {});

  async function load() {
    const found = [];
    next = 0;
    for (let i = 0; i < pages; i++) {
      const got = await get("dead-letters", { ...narrowed(), limit: 100, before: next || "" });
      found.push(...got.dead_letters);
      next = got.next || 0;
      if (!next) break;
    }
    list = found;
    const there = new Set(list.map((d) => d.number));
    chosen = new Set([...chosen].filter((n) => there.has(n)));
    error.hidden = true;
    draw();
    if (session.features.includes("causes")) await countCauses();
    room.dataset.loaded = "dead";
  }

  // countCauses asks for the groups, for which the daemon reads all dead letters:
  // seldom, unless something has been done.
  async function countCauses() {
    const of = JSON.stringify(filter());
    if (of === countedOf && Date.now() < fresh) return;
    const began = Date.now();
    const got = await get("dead-letters/causes", filter());
    const now = Date.now();
    [groups, more, fresh, countedOf] = [got.causes || [], got.more, now + CAUSES * (now - began), of];
    drawCauses();
  }

  // drawCauses offers each group whole. What has come since it was counted is not
  // changed with it: the daemon refuses then.
  function drawCauses() {
    const shown = everyCause ? groups : groups.slice(0, GROUPS);
    const rest = groups.length - shown.length;
    renew(causes, (groups.length > 1 || next || cause) && h("table", { class: "cards" }, h("thead", {}, h("tr", {}, ["Cause", "Action", "How many", "First", "Last", "All of it"].map((t) => h("th", { scope: "col", text: t, class: t === "How many" ? "num" : "" })))),
      h("tbody", {}, shown.map((g) => h("tr", { "data-cause": g.error, "data-row": `${g.action} ${g.reason} ${g.error}` },
        h("td", { class: "full" }, h("button", { class: "plain", "aria-pressed": String(same(g)), title: "Show only these", onclick: () => { cause = same(g) ? null : g; pages = 1; drawCauses(); stop.now(); } }, said(answer(g.error) || g.reason, { max: 100 }, "span", "bad"))),
        h("td", {}, said(shortAction(g.action), { max: 60 })), h("td", { class: "num", text: count(g.count) }),
        h("td", { class: "dim nowrap wide", text: ago(g.first) }), h("td", { class: "dim nowrap wide", text: ago(g.last) }),
        h("td", { class: "nowrap act" }, h("button", { text: "Retry", disabled: !mayChange(), onclick: () => changeGroup("retry", g) }), " ",
          h("button", { class: "danger", text: "Drop", disabled: !mayChange(), onclick: () => changeGroup("drop", g) })))))),
    (rest > 0 || everyCause) && h("p", { class: "under" }, h("button", { class: "plain", id: "morecauses", text: everyCause ? `Only the ${GROUPS} largest` : `${plural(rest, "more cause")}, of ${plural(groups.slice(GROUPS).reduce((n, g) => n + g.count, 0), "dead letter")}`, onclick: () => { everyCause = !everyCause; drawCauses(); } }),
      everyCause && more && h("span", { class: "dim", text: "There are more: filter by action or rule." })));
    causes.hidden = !causes.firstChild;
  }

  const same = (g) => cause && cause.action === g.action && cause.reason === g.reason && cause.error === g.error;

  async function changeGroup(what, g) {
    const ok = await ask(what === "retry"
      ? { title: `Retry ${plural(g.count, "dead letter")}?`, text: `All of ${shortAction(g.action)} that were given up for: ${answer(g.error) || g.reason}. They are tried anew.`, go: "Retry" }
      : { title: `Drop ${plural(g.count, "dead letter")}?`, text: `All of ${shortAction(g.action)} that were given up for: ${answer(g.error) || g.reason}. They are deleted, and nobody gets them any more. This cannot be undone.`, go: "Drop", danger: true, confirm: g.count });
    if (!ok) return;
    try {
      const done = await post(`dead-letters/${what}`, { all: true, action: g.action, reason: g.reason, ...errorOf(g), rule: ruleName.value.trim() || undefined, expect: g.count });
      say(`${plural(done.count || 0, "dead letter")} ${what === "retry" ? "will be tried anew" : "dropped"}`);
    } catch (e) { say(e.status === 409 ? `Nothing was changed: ${e.message}` : e.message); }
    cause = null;
    fresh = 0;
    at.refresh();
    stop.now();
  }

  function draw() {
    renew(body, list.map((d) => h("tr", { "data-id": d.id },
      h("td", { class: "wide" }, h("input", { type: "checkbox", "aria-label": `Choose dead letter ${d.number}`, checked: chosen.has(d.number), disabled: !mayChange(), onchange: (e) => { e.target.checked ? chosen.add(d.number) : chosen.delete(d.number); drawBulk(); } })),
      h("td", {}, h("a", { href: `/dead/${d.number}`, text: `#${d.number}` })),
      h("td", { class: "mono name" }, said(d.key ?? "", { max: 90 })),
      h("td", { class: "full line" }, link(ruleHref(d.rule), d.rule), arrow(), said(shortAction(d.action), { max: 60 }, "span")),
      h("td", { class: "num", "data-label": "tries" }, count(d.attempts)),
      h("td", { class: "nowrap dim", title: time(d.given_up) }, ago(d.given_up)),
      h("td", { class: "bad full" }, said(answer(d.error), { max: 120 })))));
    empty.hidden = list.length > 0;
    put(empty, h("h2", { text: Object.values(filter()).some(Boolean) ? "No dead letter is as the filter says" : "No dead letters" }), h("p", { text: "What cannot be delivered in all its attempts is kept here." }));
    renew(foot, h("span", { class: "dim", text: next ? `the latest ${count(list.length)}` : plural(list.length, "dead letter") }), h("span", { class: "grow" }), next ? h("button", { text: "More", onclick: () => { pages++; stop.now(); } }) : false);
    drawBulk();
  }

  function drawBulk() {
    bulk.hidden = !chosen.size;
    everyone.checked = chosen.size > 0 && chosen.size === list.length;
    put(bulk, h("b", { text: `${chosen.size} chosen` }),
      h("button", { class: "go", text: "Retry", onclick: () => change("retry") }),
      h("button", { class: "danger", text: "Drop", onclick: async () => {
        const n = chosen.size;
        if (await ask({ title: `Drop ${plural(n, "dead letter")}?`, text: "They are deleted, and nobody gets them any more. This cannot be undone.", go: "Drop", danger: true, confirm: n > 1 ? n : 0 })) change("drop");
      } }),
      h("button", { text: "None", onclick: () => { chosen.clear(); draw(); } }));
  }

  async function change(what) {
    try {
      const done = await post(`dead-letters/${what}`, { numbers: [...chosen] });
      say(`${plural(done.count || 0, "dead letter")} ${what === "retry" ? "will be tried anew" : "dropped"}`);
    } catch (e) { say(e.message); }
    chosen.clear();
    fresh = 0;
    at.refresh();
    stop.now();
  }

  let typing;
  const again = () => { clearTimeout(typing); typing = setTimeout(() => { at.set(filter()); pages = 1; stop.now(); }, 250); };
  for (const i of [ruleName, action]) i.addEventListener("input", again);
  reason.addEventListener("change", again);
  const stop = every(2000, load, (e) => { show(error, e.message); error.hidden = false; });
  return { filter: ruleName, close: () => { stop(); clearTimeout(typing); } };
}

export function letter(room, at, number) {
  const body = h("div", { class: "scroll pad", tabindex: "0", role: "region", "aria-label": "Dead letter" });
  const head = h("div", { class: "head" });
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  put(room, head, error, body);
  let d;
  const stop = every(5000, async () => {
    d = await get(`dead-letters/${encodeURIComponent(number)}`);
    error.hidden = true;
    firing(head, body, { ...d, now: "dead" }, at, (path) => at.go(path.endsWith("retry") ? `/deliveries/${encodeURIComponent(d.id)}` : "/dead"));
    room.dataset.loaded = number;
  }, (e) => {
    show(error, e.status === 404 ? `There is no dead letter ${number}: it was retried or dropped.` : e.message);
    error.hidden = false;
  });
  return { back: () => history.back(), close: () => stop() };
}
