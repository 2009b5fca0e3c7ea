// Applies events to the rows.

import { summarize } from "./counts.js";
import { fleet, rows } from "./fleet.js";
import { scheduleArrange } from "./order.js";
import { byId, setText } from "./patch.js";
import { Row } from "./row.js";

function updateServers(servers) {
  for (const [id, server] of Object.entries(servers)) {
    let row = rows.get(id);
    if (!row) {
      row = new Row(id);
      rows.set(id, row);
    }
    row.update(server);
  }
}

const handlers = {
  everything(data) {
    for (const [id, row] of [...rows]) if (!(id in data.servers)) row.remove();
    fleet.every = data.every;
    setText(byId("version"), data.version);
    updateServers(data.servers);
    for (const [id, { took, age }] of Object.entries(data.history)) {
      const row = rows.get(id);
      if (row) Object.assign(row, { took, age, drawn: false });
      if (row) row.draw();
    }
  },
  update(data) {
    for (const id of data.gone || []) {
      const row = rows.get(String(id));
      if (row) row.remove();
    }
    if (data.servers) updateServers(data.servers);
  },
};

export const isHandled = (name) => Object.hasOwn(handlers, name);

// Applies an event with the whole fleet, or with what has changed.
export function applyEvent(name, data) {
  const knownChanged = data.known !== fleet.isKnown;
  fleet.isKnown = data.known;
  const hasChanged = knownChanged || name === "everything" || data.gone || Object.keys(data.servers || {}).length > 0;
  handlers[name](data);
  if (!hasChanged) return;
  summarize();
  scheduleArrange();
}

// Adds a point to the charts.
export function addPoints(points) {
  for (const [id, [took, age]] of Object.entries(points)) {
    const row = rows.get(id);
    if (row) row.add(took, age);
  }
}
