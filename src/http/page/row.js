// The row of a server. It is made once, and then updated in place.

import { MAX_POINTS, chart } from "./chart.js";
import { collectorTime, rows } from "./fleet.js";
import { bytes, errorOf, millis, numbers, span } from "./format.js";
import { byId, setAttribute, setText } from "./patch.js";

export class Row {
  constructor(id) {
    this.id = id;
    this.took = [];
    this.age = [];
    this.node = byId("row").content.firstElementChild.cloneNode(true);
    this.node.dataset.id = id;
    const find = (selector) => this.node.querySelector(selector);
    this.parts = {
      state: find(".pill b"), title: find(".title"), phase: find(".phase"),
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
    visibility.observe(this.node);
  }

  update(server) {
    this.server = server;
    this.last = server.last ? Date.parse(server.last) : null;
    this.next = server.next ? Date.parse(server.next) : null;
    this.error = errorOf(server);
    const tags = Object.entries(server.tags || {}).map(([key, value]) => `${key}=${value}`).join("\n");
    this.haystack = `${server.name}\n${this.error}\n${server.state}\n${server.status}\n${tags}`.toLowerCase();
    const { snapshot } = server;
    this.total = snapshot ? snapshot.collect_ms + snapshot.load_ms : null;
    setAttribute(this.node, "data-state", server.state);
    setText(this.parts.state, server.state);
    setText(this.parts.title, server.name);
    setAttribute(this.parts.title, "title", tags);
    // Also for rows out of view: screen readers, search and printing use them.
    const { parts } = this;
    setText(parts.phase, server.phase);
    setText(parts.frequency, server.schedule || `every ${span(server.frequency)}`);
    setAttribute(parts.frequency, "title", server.schedule ? `schedule, ${server.time_zone}` : "");
    setText(parts.error, this.error);
    setText(parts.took, snapshot ? millis(this.total) : "–");
    setText(parts.parts, snapshot ? `${millis(snapshot.collect_ms)} + ${millis(snapshot.load_ms)}` : "");
    setAttribute(parts.parts, "title", "collecting + loading");
    setText(parts.rows, snapshot ? numbers.format(snapshot.rows) : "–");
    setText(parts.bytes, snapshot ? bytes(snapshot.bytes) : "");
    this.tick(collectorTime());
  }

  // Updates what depends on the time.
  tick(now) {
    const { parts, server } = this;
    const age = this.last === null ? null : Math.max(0, (now - this.last) / 1000);
    setText(parts.last, age === null ? "none yet" : `${span(age)} ago`);
    // A schedule has no even frequency.
    const ratio = age === null || server.schedule ? 0 : age / server.frequency;
    const fill = Math.min(1, ratio).toFixed(2);
    if (fill !== this.fill) {
      this.fill = fill;
      parts.fill.style.setProperty("--fill", fill);
    }
    const mayBeLate = server.state !== "standby" && server.state !== "paused";
    const late = ratio > 2 || (server.schedule && server.state === "overdue") ? "very" : ratio > 1.2 ? "yes" : "no";
    setAttribute(parts.gauge, "data-late", mayBeLate ? late : "no");
    setText(parts.next, this.nextText(now));
  }

  nextText(now) {
    if (this.server.phase !== "idle") return "now";
    if (this.next === null) return "–";
    const left = (this.next - now) / 1000;
    return left < 1 ? "now" : `in ${span(left)}`;
  }

  // Draws the charts if the row is in view.
  draw() {
    this.drawn = this.visible;
    if (!this.visible) return;
    chart(this.parts.times, this.took, "Took", millis);
    chart(this.parts.ages, this.age, "Age of the last snapshot", span);
  }

  add(took, age) {
    for (const [list, value] of [[this.took, took], [this.age, age]]) {
      list.push(value);
      if (list.length > MAX_POINTS) list.shift();
    }
    this.draw();
  }

  remove() {
    visibility.unobserve(this.node);
    this.node.remove();
    rows.delete(this.id);
  }
}

const visibility = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const row = rows.get(entry.target.dataset.id);
    if (!row) continue;
    row.visible = entry.isIntersecting;
    if (!row.visible) continue;
    row.tick(collectorTime());
    if (!row.drawn) row.draw();
  }
}, { rootMargin: "200px" });
