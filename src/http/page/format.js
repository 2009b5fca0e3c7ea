// Formats numbers, times and errors for display.

export const numbers = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
export const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${numbers.format(Math.floor(seconds / 360) / 10)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function millis(ms) {
  if (ms < 1000) return `${ms} ms`;
  return ms < 60000 ? `${numbers.format(ms / 1000)} s` : `${numbers.format(ms / 60000)} min`;
}

export function bytes(n) {
  const units = ["B", "kB", "MB", "GB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${numbers.format(n)} ${units[unit]}`;
}

// The error that prevents snapshots, the errors of the last snapshot, or why its schedule has no effect.
export function errorOf(server) {
  if (server.trouble) return server.trouble;
  if (server.status !== "running" && server.state === "failing") return server.status;
  if (!server.snapshot || server.snapshot.errors.length === 0) return server.invalid_schedule || "";
  const [first, ...others] = server.snapshot.errors;
  const more = others.length + server.snapshot.more_errors;
  return more > 0 ? `${first} (and ${more} more)` : first;
}
