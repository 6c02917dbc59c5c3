// A list of any length, of which only the rows that are seen are in the document.

import { h, isPressed } from "./dom.js";

// rows makes the list. of() is its length, fill(row, i) shows the item i in a
// row that may have shown another, and make() makes an empty row. open(i, row) is
// told of a click on a row, whose item may have moved since it was drawn; i is -1
// for the Enter key.
export function rows({ make, fill, of, open, label }) {
  const pad = h("div", { "aria-hidden": "true" });
  pad.style.width = "1px";
  const el = h("div", { class: "rows", role: "list", "aria-label": label, tabindex: "0" }, pad);
  const pool = [];
  let height = 28, due = false, seen = 0;

  function measure() {
    height = parseInt(getComputedStyle(el).getPropertyValue("--row"), 10) || 28;
  }

  function draw() {
    due = false;
    if (isPressed(el)) { // a row that showed another item meanwhile would open that, or nothing
      change();
      return;
    }
    const n = of();
    const first = Math.max(0, Math.floor(el.scrollTop / height) - 2);
    const shown = Math.min(Math.ceil(el.clientHeight / height) + 5, Math.max(0, n - first));
    pad.style.height = `${n * height}px`;
    while (pool.length < shown) {
      const row = make();
      row.setAttribute("role", "listitem");
      row.addEventListener("click", () => open(row.at, row));
      pool.push(row);
      el.append(row);
    }
    for (let i = 0; i < pool.length; i++) {
      const row = pool[i];
      row.hidden = i >= shown;
      if (row.hidden) continue;
      row.at = first + i;
      row.style.transform = `translateY(${row.at * height}px)`;
      fill(row, row.at);
    }
    seen++;
  }

  function change() {
    if (due) return;
    due = true;
    requestAnimationFrame(draw);
  }

  const resized = new ResizeObserver(() => { measure(); change(); });
  resized.observe(el);
  el.addEventListener("scroll", change, { passive: true });
  el.addEventListener("keydown", (e) => {
    if (e.key === "Enter" && e.target === el) open(-1);
  });
  return {
    el, change, draw, close: () => resized.disconnect(), height: () => height, drawn: () => seen,
    into(i) {
      const y = i * height;
      if (y < el.scrollTop) el.scrollTop = y;
      else if (y + height > el.scrollTop + el.clientHeight) el.scrollTop = y + height - el.clientHeight;
    },
  };
}
