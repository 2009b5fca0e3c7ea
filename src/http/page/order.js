// Which servers are shown, and in which order?

import { STATES, rows } from "./fleet.js";
import { byId, put } from "./patch.js";

// So long nothing is moved under the hands of one who is at work in the rows.
export const AT_WORK = 5000;

// What the visitor wants to see.
export const view = { state: null, text: "", key: "state", down: false };

// When somebody was last at work in the rows.
export const work = { last: -AT_WORK };

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
let arranged = true, later = null;

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
export function arrange() {
  arranged = true;
  const body = byId("rows"), focused = document.activeElement;
  const sorted = [...rows.values()].sort(compare);
  const left = work.last + AT_WORK - performance.now();
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
    const before = work.last;
    focused.focus({ preventScroll: true });
    work.last = before;
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
export function arrangeSoon() {
  if (!arranged) return;
  arranged = false;
  requestAnimationFrame(arrange);
}

// By the same once more is the other way.
export function sortBy(key) {
  view.down = view.key === key && !view.down;
  view.key = key;
  arrange();
}
