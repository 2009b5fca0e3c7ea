// The status page. It is told everything by one stream of events, and changes only what is different: a row is made once
// and patched from then on. All that comes from elsewhere becomes text, never markup.
"use strict";

const STATES = ["failing", "overdue", "incomplete", "starting", "running", "stopping"];
// Those that are not shown as a choice while there are none.
const SELDOM = ["starting", "stopping"];
const SVG_WIDTH = 120, SVG_HEIGHT = 28, MOST_POINTS = 120, FEW_POINTS = 10;
// Milliseconds: of silence until it is over, until an answer, until another try, and that where it would be in vain by now.
const SILENCE = 6000, UNANSWERED = 10000, RETRY = 4000, REFUSED_RETRY = { 401: 300000, 503: 30000 };
// So long nothing is moved under the hands of one who is at work in the rows; and seldom is unseen text brought up to date.
const AT_WORK = 5000, TICKS_UNSEEN = 15;
const STATUS_IS_FINE = "running";

const byId = (id) => document.getElementById(id);
const rows = new Map();
const view = { state: null, text: "", key: "state", down: false };
// A page may have been opened with a name and a token in its address, with which no script may ask.
const EVENTS = new URL("events", location.href);
EVENTS.username = EVENTS.password = "";
let clockOffset = 0, every = 30, heard = 0, asked = 0, asking = null, retry = null, lost = null, trouble = null;
let doubted = false, arranged = false, worked = -AT_WORK, later = null, ticks = 0;

// --- Words -------------------------------------------------------------------------------------------------------------

const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${numbers.format(Math.floor(seconds / 360) / 10)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function millis(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${numbers.format(ms / 1000)} s` : `${numbers.format(ms / 60000)} min`;
}

function bytes(n) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${numbers.format(n)} ${units[unit]}`;
}

// What is in the way, or was the last time.
function errorOf(server) {
  if (server.trouble) return server.trouble;
  if (server.status !== STATUS_IS_FINE && server.state === "failing") return server.status;
  if (!server.snapshot || server.snapshot.errors.length === 0) return "";
  const [first, ...others] = server.snapshot.errors;
  const more = others.length + server.snapshot.more_errors;
  return more > 0 ? `${first} (and ${more} more)` : first;
}

// --- Patching ----------------------------------------------------------------------------------------------------------

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// --- One server --------------------------------------------------------------------------------------------------------

class Row {
  constructor(id) {
    this.id = id;
    this.took = [];
    this.age = [];
    this.node = byId("row").content.firstElementChild.cloneNode(true);
    this.node.dataset.id = id;
    const find = (selector) => this.node.querySelector(selector);
    this.parts = {
      word: find(".pill b"), title: find(".title"), phase: find(".phase"),
      last: find(".last .value"), frequency: find(".last small"), gauge: find(".gauge"), fill: find(".gauge i"),
      ages: find(".last svg"), next: find(".next .value"), took: find(".took .value"), parts: find(".took small"),
      times: find(".took svg"), rows: find(".rows .value"), bytes: find(".rows small"), error: find(".error button"),
    };
    this.visible = false;
    this.drawn = false;
    this.parts.error.addEventListener("click", () => {
      const open = this.parts.error.getAttribute("aria-expanded") === "true";
      this.parts.error.setAttribute("aria-expanded", String(!open));
    });
    seen.observe(this.node);
  }

  take(server) {
    this.server = server;
    this.last = server.last ? Date.parse(server.last) : null;
    this.next = server.next ? Date.parse(server.next) : null;
    this.error = errorOf(server);
    this.haystack = `${server.name}\n${this.error}\n${server.state}\n${server.status}`.toLowerCase();
    const { snapshot } = server;
    this.total = snapshot ? snapshot.collect_ms + snapshot.load_ms : null;
    mark(this.node, "data-state", server.state);
    put(this.parts.word, server.state);
    put(this.parts.title, server.name);
    // Seen or not: it is also read aloud, looked for and printed.
    const { parts } = this;
    put(parts.phase, server.phase);
    put(parts.frequency, `every ${span(server.frequency)}`);
    put(parts.error, this.error);
    put(parts.took, snapshot ? millis(this.total) : "–");
    put(parts.parts, snapshot ? `${millis(snapshot.collect_ms)} + ${millis(snapshot.load_ms)}` : "");
    mark(parts.parts, "title", "collecting + loading");
    put(parts.rows, snapshot ? numbers.format(snapshot.rows) : "–");
    put(parts.bytes, snapshot ? bytes(snapshot.bytes) : "");
    this.tick(Date.now() + clockOffset);
  }

  // The time goes on.
  tick(now) {
    const { parts, server } = this;
    const age = this.last === null ? null : Math.max(0, (now - this.last) / 1000);
    put(parts.last, age === null ? "none yet" : `${span(age)} ago`);
    const ratio = age === null ? 0 : age / server.frequency;
    const fill = Math.min(1, ratio).toFixed(2);
    if (fill !== this.fill) {
      this.fill = fill;
      parts.fill.style.setProperty("--fill", fill);
    }
    mark(parts.gauge, "data-late", ratio > 2 ? "very" : ratio > 1.2 ? "yes" : "no");
    put(parts.next, this.nextWord(now));
  }

  nextWord(now) {
    if (this.server.phase !== "idle") return "now";
    if (this.next === null) return "–";
    const left = (this.next - now) / 1000;
    return left < 1 ? "now" : `in ${span(left)}`;
  }

  // Only what somebody sees is drawn.
  draw() {
    this.drawn = this.visible;
    if (!this.visible) return;
    chart(this.parts.times, this.took, "Took", (ms) => millis(ms));
    chart(this.parts.ages, this.age, "Age of the last snapshot", (seconds) => span(seconds));
  }

  add(took, age) {
    for (const [list, value] of [[this.took, took], [this.age, age]]) {
      list.push(value);
      if (list.length > MOST_POINTS) list.shift();
    }
    this.draw();
  }

  remove() {
    seen.unobserve(this.node);
    this.node.remove();
    rows.delete(this.id);
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = rows.get(entry.target.dataset.id);
    if (!row) continue;
    row.visible = entry.isIntersecting;
    if (!row.visible) continue;
    row.tick(Date.now() + clockOffset);
    if (!row.drawn) row.draw();
  }
}, { rootMargin: "200px" });

// The newest is on the right; where nothing is known, the line is broken. Few points are drawn wide, many narrow.
function chart(svg, values, what, word) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(1, ...known);
  const step = SVG_WIDTH / Math.max(FEW_POINTS, values.length - 1);
  const left = SVG_WIDTH - (values.length - 1) * step;
  let line = "", area = "", begun = null, x = left;
  const end = (at) => {
    if (begun !== null) area += `L${at.toFixed(1)} ${SVG_HEIGHT}L${begun.toFixed(1)} ${SVG_HEIGHT}Z`;
    begun = null;
  };
  values.forEach((value, index) => {
    x = left + index * step;
    if (value === null) return end(x - step);
    const y = SVG_HEIGHT - 2 - (SVG_HEIGHT - 4) * value / most;
    const to = `${begun === null ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (begun === null) begun = x;
    line += to;
    area += to;
    // A point by itself is a dot.
    if (index + 1 === values.length) line += "h.01";
  });
  end(x);
  mark(svg.querySelector(".line"), "d", line);
  mark(svg.querySelector(".area"), "d", area);
  const minutes = Math.round(values.length * every / 60);
  const range = known.length === 0 ? "nothing is known yet"
    : `${word(Math.min(...known))} to ${word(most)} in the last ${minutes} min`;
  put(svg.querySelector("title"), `${what}: ${range}`);
}

// --- All servers -------------------------------------------------------------------------------------------------------

const KEYS = {
  state: (row) => STATES.indexOf(row.server.state),
  name: (row) => row.server.name,
  last: (row) => row.last,
  next: (row) => row.next,
  took: (row) => row.total,
  rows: (row) => (row.server.snapshot ? row.server.snapshot.rows : null),
  error: (row) => row.error || null,
};
const collator = new Intl.Collator("en", { numeric: true });

// What is not known comes last, whichever way.
function compare(a, b) {
  const [one, other] = [KEYS[view.key](a), KEYS[view.key](b)];
  const byName = () => collator.compare(a.server.name, b.server.name) || Number(a.id) - Number(b.id);
  if (one === other) return byName();
  if (one === null) return 1;
  if (other === null) return -1;
  const way = typeof one === "string" ? collator.compare(one, other) : one - other;
  return (view.down ? -way : way) || byName();
}

function matches(row) {
  return (view.state === null || row.server.state === view.state) && row.haystack.includes(view.text);
}

// Filters and sorts. Nothing is moved that is where it should be, nor for a moment after somebody was at work in there.
function arrange() {
  arranged = true;
  const body = byId("rows"), focused = document.activeElement;
  const sorted = [...rows.values()].sort(compare);
  const left = worked + AT_WORK - performance.now();
  clearTimeout(later);
  if (left > 0) later = setTimeout(arrangeSoon, left);
  let at = body.firstElementChild, shown = 0;
  for (const row of sorted) {
    const { node } = row, visible = matches(row);
    if (node.hidden === visible) node.hidden = !visible;
    if (visible) shown += 1;
    if (node === at) at = at.nextElementSibling;
    else if (left > 0 && node.isConnected) continue;
    else if (at && at.nextElementSibling === node) {
      // One that has to go further down: it is put there when it is its turn, and all that follow stay.
      at.remove();
      at = node.nextElementSibling;
    } else body.insertBefore(node, at);
  }
  // What is moved loses it. To give it back is nobody's work.
  if (focused !== document.activeElement && body.contains(focused)) {
    const before = worked;
    focused.focus({ preventScroll: true });
    worked = before;
  }
  put(byId("nothing"), rows.size === 0 ? "No server is registered yet." : "No server is like that.");
  byId("nothing").hidden = shown > 0;
  for (const head of document.querySelectorAll("thead th")) {
    if (head.dataset.key === view.key) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  byId("order").value = view.key;
}

// However many ask for it, it is done once a frame.
function arrangeSoon() {
  if (!arranged) return;
  arranged = false;
  requestAnimationFrame(arrange);
}

function summarize() {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const row of rows.values()) counts[row.server.state] += 1;
  const told = STATES.filter((state) => counts[state] > 0 && state !== "running").map((state) => `${counts[state]} ${state}`);
  const words = [`${counts.running} running`, ...told].join(", ");
  put(byId("summary"), rows.size === 0 ? "No servers." : `${rows.size === 1 ? "1 server" : `${rows.size} servers`}: ${words}`);
  const worst = STATES.find((state) => counts[state] > 0);
  document.title = counts.failing + counts.overdue > 0 ? `${counts[worst]} ${worst} · powa-collector` : "powa-collector";
  for (const chip of byId("chips").children) {
    const { state } = chip.dataset;
    const count = state ? counts[state] : rows.size;
    put(chip.querySelector("b"), compact.format(count));
    chip.toggleAttribute("data-none", count === 0);
    chip.hidden = count === 0 && SELDOM.includes(state) && view.state !== state;
  }
}

// --- What is told ------------------------------------------------------------------------------------------------------

function takeServers(servers) {
  for (const [id, server] of Object.entries(servers)) {
    let row = rows.get(id);
    if (!row) {
      row = new Row(id);
      rows.set(id, row);
    }
    row.take(server);
  }
}

const events = {
  everything(told) {
    for (const [id, row] of [...rows]) if (!(id in told.servers)) row.remove();
    every = told.every;
    put(byId("version"), told.version);
    takeServers(told.servers);
    for (const [id, { took, age }] of Object.entries(told.history)) {
      const row = rows.get(id);
      if (row) Object.assign(row, { took, age, drawn: false });
      if (row) row.draw();
    }
  },
  update(told) {
    for (const id of told.gone || []) {
      const row = rows.get(String(id));
      if (row) row.remove();
    }
    if (told.servers) takeServers(told.servers);
  },
};

function hear(name, told) {
  heard = Date.now();
  clockOffset = told.now - heard;
  trouble = told.trouble;
  const has_changed = name === "everything" || told.gone || Object.keys(told.servers || {}).length > 0;
  events[name](told);
  say(null);
  if (has_changed) {
    summarize();
    arrangeSoon();
  }
}

// Why nothing is told, where it is refused.
function refusal(answer) {
  if (answer.status === 401) return "Your token is no longer good: reload the page.";
  // A proxy may say 503 as well, of a collector that is away.
  if (answer.status === 503 && answer.headers.has("retry-after")) return "Too many pages are open: close another one.";
  return null;
}

// Whether the page is still told, and what is wrong otherwise.
function say(since, why) {
  lost = since;
  document.body.classList.toggle("stale", lost !== null);
  mark(byId("live"), "data-live", lost === null ? "yes" : "no");
  put(byId("live-word"), lost === null ? "live" : why ? "refused" : "reconnecting");
  const time = new Date(lost).toLocaleTimeString();
  const words = lost === null ? (trouble ? `The collector is not ready: ${trouble}.` : "")
    : why ? `${why}${heard ? ` What is shown is from ${time}.` : ""}`
    : heard ? `The collector has not been heard since ${time}. What is shown is from then; trying again.`
    : "The collector has not been heard yet; trying again.";
  put(byId("banner"), words);
  byId("banner").hidden = words === "";
}

// What is told by one event. There are only such as have one line with a name and one with what they tell.
function take(text) {
  const parts = /^event: (\w+)\ndata: (.*)$/s.exec(text);
  if (!parts) return;
  const [, name, data] = parts;
  if (Object.hasOwn(events, name)) hear(name, JSON.parse(data));
  if (name !== "point") return;
  for (const [id, [took, age]] of Object.entries(JSON.parse(data))) {
    const row = rows.get(id);
    if (row) row.add(took, age);
  }
}

// Asks for the events, and takes them until there are no more. An EventSource would not say why it is refused.
async function open() {
  clearTimeout(retry);
  const mine = new AbortController();
  asking = mine;
  asked = Date.now();
  doubted = false;
  let why = null, pause = RETRY;
  try {
    const answer = await fetch(EVENTS, { signal: mine.signal, cache: "no-store" });
    if (answer.ok) {
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const texts = (rest + value).split("\n\n");
        rest = texts.pop();
        texts.forEach(take);
      }
    } else {
      why = refusal(answer);
      if (why) pause = REFUSED_RETRY[answer.status];
    }
  } catch (error) {
    // Nobody there is no news. What we do wrong is.
    if (!mine.signal.aborted && !(error instanceof TypeError)) console.error(error);
  }
  if (asking === mine) lose(why, pause);
}

// Nothing is answered. Where that is so only to what the browser has as a token, the browser asks for another one, and
// keeps it from us: then it is waited for, as there would be a question with every try.
async function doubt() {
  doubted = true;
  const mine = asking, asks = { method: "HEAD", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(RETRY) };
  const why = await fetch(EVENTS, asks).then(refusal, () => null);
  if (asking !== mine || heard >= asked) return;
  if (why) say(lost === null ? heard || Date.now() : lost, why);
  else lose(null, RETRY);
}

// It is tried again, in our own time.
function lose(why, pause) {
  asking.abort();
  asking = null;
  say(lost === null ? heard || Date.now() : lost, why);
  clearTimeout(retry);
  retry = setTimeout(open, pause);
}

function tick() {
  if (asking && heard >= asked && Date.now() - heard > SILENCE) lose(null, RETRY);
  if (asking && !doubted && heard < asked && Date.now() - asked > UNANSWERED) doubt();
  if (document.hidden || lost !== null) return;
  const now = Date.now() + clockOffset, all = ticks++ % TICKS_UNSEEN === 0;
  for (const row of rows.values()) if (all || row.visible) row.tick(now);
}

// --- What the visitor does -----------------------------------------------------------------------------------------------

function chip(state) {
  const button = document.createElement("button");
  const [dot, word, count] = ["i", "span", "b"].map((name) => document.createElement(name));
  button.type = "button";
  button.className = "chip";
  button.setAttribute("aria-pressed", String(state === null));
  if (state) button.dataset.state = state;
  word.textContent = state || "all";
  count.textContent = "0";
  if (state) button.append(dot);
  button.append(word, count);
  button.addEventListener("click", () => {
    view.state = view.state === state ? null : state;
    for (const other of byId("chips").children) {
      other.setAttribute("aria-pressed", String((other.dataset.state || null) === view.state));
    }
    arrange();
  });
  return button;
}

function sortBy(key) {
  view.down = view.key === key && !view.down;
  view.key = key;
  arrange();
}

for (const kind of ["pointerdown", "keydown", "focusin"]) {
  byId("rows").addEventListener(kind, () => { worked = performance.now(); });
}

const THEMES = { system: ["◐", "Colours: as the system has them"], light: ["☀", "Colours: light"], dark: ["☾", "Colours: dark"] };

function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const [sign, words] = THEMES[name];
  put(byId("theme").firstElementChild, sign);
  mark(byId("theme"), "aria-label", words);
  mark(byId("theme"), "title", words);
  byId("theme").dataset.name = name;
}

// A browser may refuse to keep anything.
const kept = {
  get() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set(name) { try { localStorage.setItem("theme", name); } catch { /* then it is for this visit */ } },
};

byId("chips").append(...[null, ...STATES].map(chip));
byId("text").addEventListener("input", (event) => {
  view.text = event.target.value.trim().toLowerCase();
  arrange();
});
byId("order").addEventListener("change", (event) => {
  view.key = event.target.value;
  view.down = false;
  arrange();
});
for (const head of document.querySelectorAll("thead th")) {
  head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.key));
}
byId("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  const name = names[(names.indexOf(byId("theme").dataset.name) + 1) % names.length];
  theme(name);
  kept.set(name);
});
theme(kept.get() in THEMES ? kept.get() : "system");
arranged = true;
setInterval(tick, 1000);
open();
