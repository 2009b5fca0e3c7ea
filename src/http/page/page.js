// The entry point of the status page: handles the user's input, and opens the stream of events.

import { chip } from "./counts.js";
import { STATES } from "./fleet.js";
import { arrange, interaction, sortBy, view } from "./order.js";
import { byId } from "./patch.js";
import { open, tick } from "./stream.js";
import * as theme from "./theme.js";

for (const kind of ["pointerdown", "keydown", "focusin"]) {
  byId("rows").addEventListener(kind, () => { interaction.last = performance.now(); });
}
byId("chips").append(...[null, ...STATES].map(chip));
byId("text").addEventListener("input", (event) => {
  view.text = event.target.value.trim().toLowerCase();
  arrange();
});
byId("order").addEventListener("change", (event) => {
  view.key = event.target.value;
  view.descending = false;
  arrange();
});
for (const head of document.querySelectorAll("thead th")) {
  head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.key));
}
theme.start();
setInterval(tick, 1000);
open();
