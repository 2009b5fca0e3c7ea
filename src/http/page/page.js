// The status page: what the visitor does is heard from here on, and what the collector tells is asked for.

import { chip } from "./counts.js";
import { STATES } from "./fleet.js";
import { arrange, sortBy, view, work } from "./order.js";
import { byId } from "./patch.js";
import { open, tick } from "./stream.js";
import * as theme from "./theme.js";

for (const kind of ["pointerdown", "keydown", "focusin"]) {
  byId("rows").addEventListener(kind, () => { work.last = performance.now(); });
}
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
theme.begin();
setInterval(tick, 1000);
open();
