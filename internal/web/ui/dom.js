// Small tools over the document. Nothing here makes markup of a text.

// h makes an element. Of the attributes, those that begin with "on" are
// listeners, "text" is shown as it is, and false and undefined are left out.
export function h(tag, attrs, ...children) {
  const el = document.createElement(tag);
  set(el, attrs);
  el.append(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

export function set(el, attrs) {
  for (const [name, value] of Object.entries(attrs || {})) {
    if (value === false || value === undefined || value === null) continue;
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "text") el.textContent = value;
    else if (name === "value" || name === "checked" || name === "disabled") el[name] = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
}

const svgNS = "http://www.w3.org/2000/svg";

export function svg(tag, attrs, ...children) {
  const el = document.createElementNS(svgNS, tag);
  for (const [name, value] of Object.entries(attrs || {})) el.setAttribute(name, value);
  el.append(...children.flat());
  return el;
}

export function put(el, ...children) {
  el.replaceChildren(...children.flat(3).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

// pressed is what a pointer is held down on. A click comes only if that is still
// there when it is let go.
let pressed = null;
addEventListener("pointerdown", (e) => { pressed = e.button || onScrollbar(e) ? null : e.target; }, true);
addEventListener("pointermove", (e) => { if (!e.buttons) pressed = null; }, true); // it was let go outside
addEventListener("click", () => { pressed = null; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(() => { pressed = null; }), true); // behind its click

// onScrollbar reports whether a pointer is on the scrollbar of an element: what is
// scrolled is drawn meanwhile, and browsers need not tell when that is let go.
const onScrollbar = ({ target: t, offsetX, offsetY }) =>
  (t.scrollHeight > t.clientHeight || t.scrollWidth > t.clientWidth) && t.clientWidth > 0 && (offsetX >= t.clientWidth || offsetY >= t.clientHeight);

// isPressed reports whether a pointer is held down on a part of el, which is left
// alone until then.
export const isPressed = (el) => pressed !== null && el.contains(pressed);

const focusable = "a, button, input, select, textarea, summary, [tabindex]";

// renew is put for what is shown anew again and again. It leaves alone a part in
// which somebody selects text or presses something, and keeps the focus, by row and
// place, how far inner parts are scrolled, and which are unfolded.
export function renew(el, ...children) {
  const chosen = getSelection();
  if (!chosen.isCollapsed && el.contains(chosen.anchorNode) || isPressed(el)) return el;
  const focus = el.contains(document.activeElement) && document.activeElement !== el ? document.activeElement : null;
  const row = focus?.closest("[data-id], [data-row]");
  const which = focus && [...(row || el).querySelectorAll(focusable)].indexOf(focus);
  const scrolled = [...el.querySelectorAll("[role=region]")].map((e) => [e.scrollTop, e.scrollLeft]);
  const unfolded = [...el.querySelectorAll("details")].map((e) => e.open);
  put(el, ...children);
  el.querySelectorAll("details").forEach((e, i) => { e.open = unfolded[i] || e.open; });
  el.querySelectorAll("[role=region]").forEach((e, i) => { if (scrolled[i]) [e.scrollTop, e.scrollLeft] = scrolled[i]; });
  if (focus) {
    const again = row ? [...el.querySelectorAll("[data-id], [data-row]")].find((r) => r.dataset.id === row.dataset.id && r.dataset.row === row.dataset.row) : el;
    again?.querySelectorAll(focusable)[which]?.focus({ preventScroll: true });
  }
  return el;
}

// region makes what scrolls reachable by the keyboard.
export function region(el, label) {
  set(el, { tabindex: "0", role: "region", "aria-label": label });
  return el;
}

// say tells what a deed came to, where screen readers hear it too.
let silence;
export function say(text) {
  const place = document.getElementById("says");
  put(place, h("p", { text: String(text).slice(0, 400) }));
  clearTimeout(silence);
  silence = setTimeout(() => put(place), 6000);
}

// ask opens a dialog and resolves to what its form has, or to null.
export function ask({ title, text, fields = [], go, danger, confirm }) {
  return new Promise((resolve) => {
    const inputs = fields.map((f) => {
      const input = f.options
        ? h("select", { name: f.name }, f.options.map(([value, label]) => h("option", { value, text: label })))
        : h("input", { name: f.name, placeholder: f.placeholder || "", autocomplete: "off" });
      return [f.name, input, h("label", {}, f.label, input)];
    });
    const typed = confirm && h("input", { name: "confirm", autocomplete: "off", inputmode: "numeric" });
    const button = h("button", { type: "submit", class: danger ? "danger" : "go", text: go, disabled: Boolean(confirm) });
    if (typed) typed.addEventListener("input", () => { button.disabled = typed.value.replaceAll(/[ ,.]/g, "") !== String(confirm); });
    const dialog = h("dialog", { "aria-labelledby": "asked" },
      h("form", { method: "dialog", onsubmit: (e) => {
        e.preventDefault();
        if (button.disabled) return;
        finish(Object.fromEntries(inputs.map(([name, input]) => [name, input.value])));
      } },
      h("h1", { id: "asked", text: title }),
      text && h("p", { text }),
      inputs.map(([, , label]) => label),
      typed && h("label", {}, `Type ${confirm} to go on`, typed),
      h("div", { class: "buttons" }, h("button", { type: "button", text: "Cancel", onclick: () => finish(null) }), button)));
    let done = false;
    function finish(value) {
      if (done) return;
      done = true;
      dialog.close();
      dialog.remove();
      resolve(value);
    }
    dialog.addEventListener("cancel", () => finish(null));
    document.body.append(dialog);
    dialog.showModal();
  });
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} is in the clipboard`);
  } catch {
    // A page without TLS on another machine has no clipboard.
    const area = h("textarea", { rows: "8", readonly: true, "aria-label": what });
    area.value = text;
    const dialog = h("dialog", { "aria-label": what }, h("form", { method: "dialog" }, h("h1", { text: `Copy ${what}` }), area, h("div", { class: "buttons" }, h("button", { text: "Close" }))));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }
}
