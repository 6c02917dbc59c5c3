// Streams: where changes come from, how far they are dealt with, and where firings
// go.

import { get, every } from "./api.js";
import { h, put, renew, svg } from "./dom.js";
import { show, said, time, ago, count, span, bytes, shortAction, plural, rate, ruleHref } from "./show.js";
import { link } from "./live.js";
import { pauseButton } from "./rules.js";
import { table } from "./table.js";

export function streams(room, at) {
  const error = h("div", { class: "error", hidden: true, role: "alert" });
  const cards = h("div", { class: "grid" });
  const store = h("div", {});
  const graph = h("div", {});
  const actionTable = table({
    at, caption: "Actions", id: (a) => a.name, columns: [
      { title: "Action", by: (a) => a.name, cell: (a) => [said(shortAction(a.name), { max: 60 }, "b"), " ", h("span", { class: "dim" }, a.kind, " ", said(a.destination, { max: 80 }, "span"))], cls: "full line" },
      { title: "State", by: (a) => a.state, cell: (a) => h("span", { class: `chip ${stateClass(a)}`, text: a.paused_since ? "paused" : a.state, title: a.why || "" }) },
      { title: "Waiting", num: true, label: "waiting", by: (a) => a.pending, cell: (a) => count(a.pending) },
      { title: "Delivered", num: true, label: "delivered", by: (a) => a.delivered, cell: (a) => count(a.delivered) },
      { title: "Failed", num: true, label: "failed", by: (a) => a.retried, cell: (a) => count(a.retried) },
      { title: "Given up", num: true, cls: "wide", by: (a) => a.given_up, cell: (a) => count(a.given_up) },
      { title: "An attempt takes", num: true, cls: "wide", by: took, cell: (a) => (took(a) ? span(took(a)) : "") },
      { title: "Last success", cls: "wide nowrap", by: (a) => -(a.last_success ? new Date(a.last_success) : 0), cell: (a) => h("span", { class: "dim", text: a.last_success ? ago(a.last_success) : "none yet" }) },
      { title: "Why", cls: "full", cell: (a) => said(a.state === "up" && !a.paused_since ? "" : a.pause?.reason || a.why || a.last_error || "", { max: 120 }, "span", "bad") },
      { title: "", head: h("span", { class: "sr", text: "Pause" }), cls: "num act", cell: (a) => pauseButton(a.name, a, () => { at.refresh(); stop.now(); }) },
    ],
  });
  actionTable.el.className = "";
  put(room, error, h("div", { class: "scroll pad", tabindex: "0", role: "region", "aria-label": "Streams" }, h("div", { class: "grid" },
    h("div", { class: "w12" }, cards),
    h("section", { class: "card w8" }, h("header", {}, h("h2", { text: "Rules and where they send" })), h("div", { class: "body" }, graph)),
    h("section", { class: "card w4" }, h("header", {}, h("h2", { text: "Store and rules" })), h("div", { class: "body" }, store)),
    h("section", { class: "card w12" }, h("header", {}, h("h2", { text: "Actions" })), actionTable.el))));

  const stop = every(2000, async () => {
    const s = await get("status");
    error.hidden = true;
    renew(cards, s.streams.map((x) => h("section", { class: "card w12" },
      h("header", {}, h("span", { class: `dot ${x.state === "streaming" ? "ok" : "bad"}` }), h("h2", { class: "name" }, said(x.name)), said(x.server, {}, "span", "mono dim"), h("span", { class: "grow" }), h("span", { class: "dim", text: `${x.state}, since ${time(x.since)}` })),
      h("div", { class: "body grid" },
        list("w4", [["Server", [x.server_name || "", " ", x.server_version || ""].join("").trim() || "not told"], ["Its role", x.server_role || "not told"], ["Replication ID", said(x.replid, {}, "span", "mono")], ["Last heard of", x.last_data && ago(x.last_data)], ["Last error", x.last_error && said(x.last_error, { max: 300 }, "span", "bad")]]),
        list("w4", [["Received to", count(x.received_offset)], ["Handled to", count(x.handled_offset)], ["Behind", x.behind_bytes ? h("span", { class: x.behind_seconds > 5 ? "bad" : "", text: `${bytes(x.behind_bytes)}, ${span(x.behind_seconds)}` }) : "nothing"], ["At the server", x.server_bytes ? bytes(x.server_bytes) : "nothing waits"], ["Saved to", x.saved_offset && `${count(x.saved_offset)}, ${ago(x.saved_at)}`], ["Headroom", headroom(x)]]),
        list("w4", [["Connects", `${count(x.connects)}: ${count(x.partial_resyncs)} partial, ${plural(x.full_resyncs, "full resync")}`], ["Gaps", h("span", { class: x.gaps ? "bad" : "", text: count(x.gaps) })],
          ["Values kept", `${plural(x.counts.mirror_keys, "key")}, ${bytes(x.counts.mirror_bytes)}`], ["Values lost", x.counts.values_lost && h("span", { class: "warn", text: count(x.counts.values_lost) })], ["Spool", `${bytes(x.spool.bytes)} of ${bytes(x.spool.limit)}${x.spool.files ? ", on disk" : ", in memory"}`], ["Spool is full", x.spool.full && said(x.spool.full, {}, "span", "bad")]])))));
    renew(store, h("dl", { class: "facts" }, facts([["Size", bytes(s.store.bytes)], ["Free on the disk", s.store.free_bytes >= 0 && bytes(s.store.free_bytes)], ["Waiting", `${count(s.counts.pending)} of ${count(s.max_pending)}`], ["Dead letters", h("a", { href: "/dead", text: `${count(s.dead_letters)}${s.dead_letters_more ? " or more" : ""}` })], ["Full", s.store.full && said(s.store.full, {}, "span", "bad")], ["Damaged", s.store.damaged && h("span", { class: "bad", text: plural(s.store.damaged, "record") })],
      ["Rules", plural(s.rules.length, "rule")], ["File", s.reload.file && said(s.reload.file, {}, "span", "mono")], ["Last read", `${ago(s.reload.at)}${s.reload.ok ? "" : ", and refused"}`], ["Running since", `${time(s.started)} (${ago(s.started)})`], ["Version", s.version]])));
    drawGraph(graph, s);
    actionTable.set(s.actions);
    room.dataset.loaded = "streams";
  }, (e) => { show(error, e.message); error.hidden = false; });
  return { close: () => stop() };
}

const took = (a) => a.attempt_seconds / Math.max(1, a.delivered + a.retried + a.given_up);

function stateClass(a) {
  if (a.paused_since) return "warn";
  return { up: "ok", slowed: "warn", suspect: "bad", down: "bad", held: "warn" }[a.state] || "";
}

function facts(list) {
  return list.filter(([, v]) => v !== undefined && v !== "" && v !== false && v !== 0 && v !== null).map(([k, v]) => [h("dt", { text: k }), h("dd", {}, v)]);
}

const list = (cls, of) => h("dl", { class: `facts ${cls}` }, facts(of));

function headroom(x) {
  if (!x.backlog_bytes) return "the server does not say";
  if (x.backlog_seconds === undefined || x.backlog_seconds === null) return `${bytes(x.backlog_bytes)} of backlog`;
  return h("span", { class: x.backlog_seconds < 60 ? "bad" : "", text: `${span(x.backlog_seconds)} away without a gap (${bytes(x.backlog_bytes)})` });
}

const SHOWN = 30; // rules in the graph; the table of rules has all

// drawGraph draws which rule sends to which action.
function drawGraph(el, s) {
  const actions = s.actions.slice(0, SHOWN);
  const rules = s.rules.slice(0, SHOWN);
  const at = new Map(actions.map((a, i) => [a.name, i]));
  const height = Math.max(rules.length, actions.length) * 38;
  const lines = svg("svg", { viewBox: `0 0 100 ${height}`, height, preserveAspectRatio: "none", "aria-hidden": "true" });
  rules.forEach((r, i) => (r.targets || []).forEach((t) => {
    const j = at.get(t);
    if (j === undefined) return;
    const y = i * 38 + 15, z = j * 38 + 15;
    lines.append(svg("path", { d: `M0 ${y}C50 ${y} 50 ${z} 100 ${z}`, class: ["down", "suspect"].includes(actions[j].state) ? "bad" : "", "vector-effect": "non-scaling-stroke" }));
  }));
  renew(el, h("div", { class: "state-graph" },
    h("ul", {}, rules.map((r) => h("li", { class: "node" }, h("span", { class: `dot ${r.paused_since || r.dry_run ? "warn" : r.condition_error ? "bad" : r.enabled ? "ok" : ""}` }), link(ruleHref(r.name), r.name), h("span", { class: "end dim wide", text: count(r.firings) })))),
    lines,
    h("ul", {}, actions.map((a) => h("li", { class: "node" }, h("span", { class: `dot ${stateClass(a)}` }), said(shortAction(a.name), { max: 60 }), h("span", { class: "end dim wide", text: a.pending ? `${count(a.pending)} waiting` : a.state }))))),
  s.rules.length > SHOWN && h("p", { class: "dim" }, `The first ${SHOWN} of ${count(s.rules.length)} rules; `, h("a", { href: "/rules", text: "all of them" })));
}
