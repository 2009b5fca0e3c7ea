// One server: what its row shows, and what is drawn in it. A row is made once, and patched from then on.

import { MOST_POINTS, chart } from "./chart.js";
import { rows, timeThere } from "./fleet.js";
import { byId, mark, put } from "./patch.js";
import { bytes, errorOf, millis, numbers, span } from "./words.js";

export class Row {
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
    this.tick(timeThere());
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
    row.tick(timeThere());
    if (!row.drawn) row.draw();
  }
}, { rootMargin: "200px" });
