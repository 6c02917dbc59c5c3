// What others wrote is shown here and nowhere else: keys, values, answers, names
// of rules. It is never markup, it is cut before it is looked at, and what a
// reader could not see, or what would turn the text around, is boxed.

export const MAX = 256;

// Controls, soft hyphen and other fillers, bidirectional marks, zero-width and
// tag characters, variation selectors, private use, lone surrogates.
const unseen = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202f" +
  "\\u205f-\\u206f\\u3000\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\u{e0000}-\\u{e0fff}\\p{Cs}\\p{Co}]", "gu");

const named = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

// show fills an element with a text. max is how many characters are shown;
// lines keeps ends of lines and tabs.
export function show(el, text, { max = MAX, lines = false } = {}) {
  text = text === undefined || text === null ? "" : String(text);
  const cut = text.length > max;
  if (cut) text = text.slice(0, /[\ud800-\udbff]/.test(text[max - 1]) ? max - 1 : max);
  el.classList.add("said");
  unseen.lastIndex = 0;
  if (!cut && !unseen.test(text)) {
    el.textContent = text;
    return el;
  }
  unseen.lastIndex = 0; // matchAll begins where test has ended
  const parts = [];
  let at = 0;
  for (const m of text.matchAll(unseen)) {
    if (lines && (m[0] === "\n" || m[0] === "\t")) continue;
    parts.push(text.slice(at, m.index), boxed(named[m[0]] || `\\u{${m[0].codePointAt(0).toString(16)}}`));
    at = m.index + m[0].length;
  }
  parts.push(text.slice(at));
  if (cut) parts.push("…");
  el.replaceChildren(...parts);
  return el;
}

function boxed(name) {
  const el = document.createElement("span");
  el.className = "esc";
  el.textContent = name;
  return el;
}

// said makes an element that shows a text.
export function said(text, options, tag = "span", cls = "") {
  const el = document.createElement(tag);
  if (cls) el.className = cls;
  return show(el, text, options);
}

export function time(t, millis) {
  if (!t) return "";
  const d = new Date(t);
  if (isNaN(d)) return "";
  const clock = [d.getHours(), d.getMinutes(), d.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
  const out = millis ? `${clock}.${String(d.getMilliseconds()).padStart(3, "0")}` : clock;
  return Math.abs(Date.now() - d) < 20 * 3600e3 ? out : `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")} ${out}`;
}

// now is the daemon's time, as far as is known: a browser's clock may be wrong.
let skew = 0;
export const now = () => Date.now() - skew;

export function clockIs(t) {
  const off = Date.now() - new Date(t);
  skew = Math.abs(off) > 2000 ? off : 0; // less is the way that the answer took
}

// ago says how long ago something was, or in how long it is.
export function ago(t) {
  if (!t) return "never";
  const s = (now() - new Date(t)) / 1000;
  if (Math.abs(s) < 1) return s < 0 ? "now" : "just now";
  return s >= 0 ? `${span(s)} ago` : `in ${span(-s)}`;
}

export function span(s) {
  if (s < 0.001) return s > 0 ? "<1 ms" : "0 s";
  if (s < 0.9995) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s < 10 ? Math.round(s * 10) / 10 : Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  if (s < 86400) return `${Math.round(s / 360) / 10} h`;
  return `${Math.round(s / 8640) / 10} d`;
}

export function count(n) {
  return n === undefined || n === null ? "" : Math.round(n).toLocaleString("en-US");
}

export function rate(n) {
  if (!n) return "0";
  return n < 10 ? String(Math.round(n * 10) / 10) : count(n);
}

export function bytes(n) {
  if (n === undefined || n === null) return "";
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (Math.abs(n) < 1024 || unit === "TiB") return `${n < 10 && unit !== "B" ? Math.round(n * 10) / 10 : Math.round(n)} ${unit}`;
    n /= 1024;
  }
}

export function plural(n, one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

// ruleHref returns where a rule is shown. A browser would take a name of dots for
// the folder above; such a rule is found in the list.
export function ruleHref(name) {
  return /^\.\.?$/.test(name) ? `/rules?q=${name}` : `/rules/${encodeURIComponent(name)}`;
}

// last returns the end of an action's full name.
export function shortAction(name) {
  return (name || "").replace(/^(target|rule)\//, "");
}

// answer leaves out of what an attempt came to where it went, which stands beside
// it anyway.
export function answer(text) {
  return (text || "").replace(/^(GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS) \S+: /, "");
}
