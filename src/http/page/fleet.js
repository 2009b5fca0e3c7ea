// The shared data of the page: the rows by server id, and the collector's clock.

// In the order of severity.
export const STATES = ["failing", "overdue", "incomplete", "starting", "running", "standby", "paused", "stopping"];

export const rows = new Map();

// every: seconds from one point of a chart to the next. clockOffset: milliseconds that the collector's clock is ahead.
// isKnown: whether the collector has read the list of servers from its repository.
export const fleet = { every: 30, clockOffset: 0, isKnown: false };

export const collectorTime = () => Date.now() + fleet.clockOffset;
