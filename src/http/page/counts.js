// Counts the servers by state: the summary, and the buttons that filter by state.

import { STATES, fleet, rows } from "./fleet.js";
import { compact } from "./format.js";
import { arrange, view } from "./order.js";
import { byId, setText } from "./patch.js";

// States whose button is hidden while no server has them.
const OPTIONAL_STATES = ["starting", "standby", "paused", "stopping"];

export function summarize() {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const row of rows.values()) counts[row.server.state] += 1;
  const others = STATES.filter((state) => counts[state] > 0 && state !== "running").map((state) => `${counts[state]} ${state}`);
  const counted = [`${counts.running} running`, ...others].join(", ");
  const empty = fleet.isKnown ? "No servers." : "The servers are not known yet.";
  setText(byId("summary"), rows.size === 0 ? empty : `${rows.size === 1 ? "1 server" : `${rows.size} servers`}: ${counted}`);
  const worst = STATES.find((state) => counts[state] > 0);
  document.title = counts.failing + counts.overdue > 0 ? `${counts[worst]} ${worst} · powa-collector` : "powa-collector";
  for (const chip of byId("chips").children) {
    const { state } = chip.dataset;
    const count = state ? counts[state] : rows.size;
    setText(chip.querySelector("b"), compact.format(count));
    chip.toggleAttribute("data-none", count === 0);
    chip.hidden = count === 0 && OPTIONAL_STATES.includes(state) && view.state !== state;
  }
}

// The button that shows only the servers of a state, or all (null).
export function chip(state) {
  const button = document.createElement("button");
  const [dot, label, count] = ["i", "span", "b"].map((name) => document.createElement(name));
  button.type = "button";
  button.className = "chip";
  button.setAttribute("aria-pressed", String(state === null));
  if (state) button.dataset.state = state;
  label.textContent = state || "all";
  count.textContent = "0";
  if (state) button.append(dot);
  button.append(label, count);
  button.addEventListener("click", () => {
    view.state = view.state === state ? null : state;
    for (const other of byId("chips").children) {
      other.setAttribute("aria-pressed", String((other.dataset.state || null) === view.state));
    }
    arrange();
  });
  return button;
}
