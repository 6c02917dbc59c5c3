// The API of the daemon. Errors have a status and say what the daemon said.

export class APIError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const session = { role: "", token: false, show_values: true, version: "", features: [] };

const listeners = new Set();

// onSession calls f when what one may do has changed.
export function onSession(f) {
  listeners.add(f);
}

export function adopt(s) {
  Object.assign(session, { role: "", version: "", features: [] }, s);
  document.documentElement.classList.toggle("reader", session.role === "reader");
  for (const f of listeners) f(session);
}

export const mayChange = () => session.role === "operator";

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new APIError(0, "triggerd does not answer");
  }
  const text = await answer.text();
  let body = {};
  try {
    body = JSON.parse(text);
  } catch {
    body = { error: text.slice(0, 300) || answer.statusText };
  }
  if (!answer.ok) {
    if (answer.status === 401 && path !== "login" && session.role) adopt({ role: "", token: true });
    throw new APIError(answer.status, body.error || answer.statusText);
  }
  return body;
}

export const get = (path, query, signal) => {
  const q = new URLSearchParams(Object.entries(query || {}).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  const text = q.toString();
  return call(text ? `${path}?${text}` : path, { signal });
};

export const post = (path, body, signal) => call(path, {
  method: "POST", signal, headers: { "Content-Type": "application/json", "X-Triggerd": "1" }, body: JSON.stringify(body),
});

// every calls f at once and then again and again, while the page is seen, and
// returns what ends it. f may throw; failed hears of it. What takes the daemon long
// is asked less often.
export function every(ms, f, failed = () => {}) {
  let timer, ended = false, running = false, again = false;
  async function turn() {
    clearTimeout(timer);
    if (ended) return;
    if (running) { // what it is about to show may be of before
      again = true;
      return;
    }
    running = true;
    const began = Date.now();
    try {
      if (!document.hidden) await f();
    } catch (e) {
      if (!ended) failed(e);
    }
    running = false;
    if (!ended) timer = setTimeout(turn, again ? 0 : Math.max(ms, 4 * (Date.now() - began)));
    again = false;
  }
  const seen = () => { if (!document.hidden) turn(); };
  document.addEventListener("visibilitychange", seen);
  turn();
  const stop = () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
  stop.now = turn;
  return stop;
}
