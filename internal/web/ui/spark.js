// Lines of rates, drawn without a library.

import { svg } from "./dom.js";

// spark returns a line of numbers, the latest at the right. With fewer than length
// of them nothing was before.
export function spark(values, { width = 120, height = 22, label = "", second, length = 0 } = {}) {
  const full = (list) => (list.length < length ? [...Array(length - list.length).fill(0), ...list] : list);
  values = full(values);
  second = second && full(second);
  const most = Math.max(1e-9, ...values, ...(second || []));
  const x = (i) => (values.length < 2 ? width : (i * width) / (values.length - 1));
  const y = (v) => height - 1.5 - (v / most) * (height - 3);
  const path = (list) => list.map((v, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("");
  const el = svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label, preserveAspectRatio: "none" });
  if (values.length) {
    el.append(svg("path", { class: "area", d: `${path(values)}L${width} ${height}L0 ${height}Z` }), svg("path", { class: "line", d: path(values) }));
    if (second) el.append(svg("path", { class: "second", d: path(second) }));
  }
  return el;
}
