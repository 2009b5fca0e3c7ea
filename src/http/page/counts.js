// How many servers are how? In words, and as a choice of what is shown.

import { STATES, rows } from "./fleet.js";
import { arrange, view } from "./order.js";
import { byId, put } from "./patch.js";
import { compact } from "./words.js";

// Those that are not shown as a choice while there are none.
const SELDOM = ["starting", "stopping"];

export function summarize() {
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

// One to press: for the servers of a state, or for all.
export function chip(state) {
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
