// Filters and sorts the rows.

import { STATES, fleet, rows } from "./fleet.js";
import { byId, setText } from "./patch.js";

// Milliseconds after an interaction with the rows during which no row is moved.
export const INTERACTION_PAUSE = 5000;

// The filter and the order that the user chose.
export const view = { state: null, text: "", key: "state", descending: false };

// The time of the last interaction with the rows.
export const interaction = { last: -INTERACTION_PAUSE };

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
let isScheduled = false, timer = null;

// Unknown values (null) come last in both directions.
function compare(a, b) {
  const [one, other] = [KEYS[view.key](a), KEYS[view.key](b)];
  const byName = () => collator.compare(a.server.name, b.server.name) || Number(a.id) - Number(b.id);
  if (one === other) return byName();
  if (one === null) return 1;
  if (other === null) return -1;
  const order = typeof one === "string" ? collator.compare(one, other) : one - other;
  return (view.descending ? -order : order) || byName();
}

function matches(row) {
  return (view.state === null || row.server.state === view.state) && row.haystack.includes(view.text);
}

// Moves no row that is in its place already, and none for a moment after an interaction with the rows.
export function arrange() {
  isScheduled = false;
  const body = byId("rows"), focused = document.activeElement;
  const sorted = [...rows.values()].sort(compare);
  const left = interaction.last + INTERACTION_PAUSE - performance.now();
  clearTimeout(timer);
  if (left > 0) timer = setTimeout(scheduleArrange, left);
  let at = body.firstElementChild, shown = 0;
  for (const row of sorted) {
    const { node } = row, visible = matches(row);
    if (node.hidden === visible) node.hidden = !visible;
    if (visible) shown += 1;
    if (node === at) at = at.nextElementSibling;
    else if (left > 0 && node.isConnected) continue;
    else if (at && at.nextElementSibling === node) {
      // The row at this place belongs further down. It is inserted there later, so that all rows in between stay.
      at.remove();
      at = node.nextElementSibling;
    } else body.insertBefore(node, at);
  }
  // A row that is moved loses the focus. Restoring it is not an interaction.
  if (focused !== document.activeElement && body.contains(focused)) {
    const previous = interaction.last;
    focused.focus({ preventScroll: true });
    interaction.last = previous;
  }
  const empty = fleet.isKnown ? "No server is registered yet."
    : "The list of servers is not known: the collector has not connected to its repository yet.";
  setText(byId("nothing"), rows.size === 0 ? empty : "No server matches the filter.");
  byId("nothing").hidden = shown > 0;
  for (const head of document.querySelectorAll("thead th")) {
    if (head.dataset.key === view.key) head.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  byId("order").value = view.key;
}

// Arranges once in the next frame, however often it is called.
export function scheduleArrange() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(arrange);
}

// The same key again reverses the order.
export function sortBy(key) {
  view.descending = view.key === key && !view.descending;
  view.key = key;
  arrange();
}
