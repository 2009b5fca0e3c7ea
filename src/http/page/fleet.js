// What is known of all servers: their rows by id, and what time it is to the collector.

// The worst first.
export const STATES = ["failing", "overdue", "incomplete", "starting", "running", "stopping"];

export const rows = new Map();

// Seconds from one point of a chart to the next, and milliseconds that the collector's clock is ahead.
export const fleet = { every: 30, clockOffset: 0 };

export const timeThere = () => Date.now() + fleet.clockOffset;
