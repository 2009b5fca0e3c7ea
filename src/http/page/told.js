// What do events tell of the servers?

import { summarize } from "./counts.js";
import { fleet, rows } from "./fleet.js";
import { arrangeSoon } from "./order.js";
import { byId, put } from "./patch.js";
import { Row } from "./row.js";

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
    fleet.every = told.every;
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

export const isKnown = (name) => Object.hasOwn(events, name);

// How the servers are, or what of it is different.
export function take(name, told) {
  const hasChanged = name === "everything" || told.gone || Object.keys(told.servers || {}).length > 0;
  events[name](told);
  if (!hasChanged) return;
  summarize();
  arrangeSoon();
}

// What their charts go on with.
export function takePoints(points) {
  for (const [id, [took, age]] of Object.entries(points)) {
    const row = rows.get(id);
    if (row) row.add(took, age);
  }
}
