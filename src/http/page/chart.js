// Draws the line chart of a row.

import { fleet } from "./fleet.js";
import { setAttribute, setText } from "./patch.js";

const SVG_WIDTH = 120, SVG_HEIGHT = 28, MIN_INTERVALS = 10;

export const MAX_POINTS = 120;

// The newest point is on the right, and null is a gap in the line. The points share the width, but at least MIN_INTERVALS do.
export function chart(svg, values, title, format) {
  const known = values.filter((value) => value !== null);
  const max = Math.max(1, ...known);
  const step = SVG_WIDTH / Math.max(MIN_INTERVALS, values.length - 1);
  const left = SVG_WIDTH - (values.length - 1) * step;
  let line = "", area = "", start = null, x = left;
  const end = (at) => {
    if (start !== null) area += `L${at.toFixed(1)} ${SVG_HEIGHT}L${start.toFixed(1)} ${SVG_HEIGHT}Z`;
    start = null;
  };
  values.forEach((value, index) => {
    x = left + index * step;
    if (value === null) return end(x - step);
    const y = SVG_HEIGHT - 2 - (SVG_HEIGHT - 4) * value / max;
    const to = `${start === null ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (start === null) start = x;
    line += to;
    area += to;
    // A single point is drawn as a dot.
    if (index + 1 === values.length) line += "h.01";
  });
  end(x);
  setAttribute(svg.querySelector(".line"), "d", line);
  setAttribute(svg.querySelector(".area"), "d", area);
  const minutes = Math.round(values.length * fleet.every / 60);
  const range = known.length === 0 ? "no data yet"
    : `${format(Math.min(...known))} to ${format(max)} in the last ${minutes} min`;
  setText(svg.querySelector("title"), `${title}: ${range}`);
}
