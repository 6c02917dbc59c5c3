// A table that is sorted by a click on its titles. Only the first rows of many are
// drawn; the filter finds the rest.

import { h, put, renew } from "./dom.js";

const SHOWN = 500;
const OLD = 10_000; // ms for which a row of the same item is not made anew: it may say how long ago something was

// table makes one of columns {title, cell(item), by(item), num, cls, label}.
// id(item) is what an item is known by. The order stands in the URL as sort=TITLE or sort=-TITLE.
export function table({ columns, at, caption, sort, cls = "", id }) {
  let order = at.params.get("sort") || sort || "";
  let items = [], kept = new Map();
  const head = h("tr", {});
  const body = h("tbody", {});
  const rest = h("p", { class: "pad dim", hidden: true });
  const el = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, h("table", { class: `cards ${cls}` }, h("caption", { hidden: true, text: caption }), h("thead", {}, head), body), rest);

  function drawHead() {
    renew(head, columns.map((c) => {
      const mine = order.replace("-", "") === c.title;
      const th = h("th", { scope: "col", class: `${c.num ? "num" : ""} ${c.cls || ""}`, "aria-sort": c.by ? (mine ? (order[0] === "-" ? "descending" : "ascending") : "none") : undefined });
      if (c.width) th.style.width = c.width;
      if (!c.by) return put(th, c.head || c.title);
      return put(th, h("button", { type: "button", text: c.title, onclick: () => {
        order = mine && order[0] !== "-" ? `-${c.title}` : mine ? c.title : c.num ? `-${c.title}` : c.title;
        at.set({ sort: order });
        drawHead();
        draw();
      } }));
    }));
  }

  const rowOf = (item) => h("tr", { "data-id": id(item) }, columns.map((col) => h("td", { class: `${col.num ? "num" : ""} ${col.cls || ""}`, "data-label": col.label }, col.cell(item))));

  function draw() {
    const c = columns.find((x) => x.title === order.replace("-", ""));
    let list = items;
    if (c?.by) {
      const sign = order[0] === "-" ? -1 : 1;
      list = items.toSorted((a, b) => {
        const x = c.by(a), y = c.by(b);
        return sign * (typeof x === "string" ? x.localeCompare(y) : (x || 0) - (y || 0));
      });
    }
    const before = kept;
    kept = new Map();
    renew(body, list.slice(0, SHOWN).map((item) => {
      const text = JSON.stringify(item), old = before.get(id(item));
      const one = old?.text === text && Date.now() - old.at < OLD ? old : { text, at: Date.now(), el: rowOf(item) };
      kept.set(id(item), one);
      return one.el;
    }));
    rest.hidden = list.length <= SHOWN;
    rest.textContent = `${list.length - SHOWN} more: filter, or sort by another column`;
  }

  drawHead();
  return { el, set(list) { items = list; draw(); }, redraw: draw };
}
