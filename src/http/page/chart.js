// How is a line drawn of what was?

import { fleet } from "./fleet.js";
import { mark, put } from "./patch.js";

const SVG_WIDTH = 120, SVG_HEIGHT = 28, FEW_POINTS = 10;

export const MOST_POINTS = 120;

// The newest is on the right; where nothing is known, the line is broken. Few points are drawn wide, many narrow.
export function chart(svg, values, what, word) {
  const known = values.filter((value) => value !== null);
  const most = Math.max(1, ...known);
  const step = SVG_WIDTH / Math.max(FEW_POINTS, values.length - 1);
  const left = SVG_WIDTH - (values.length - 1) * step;
  let line = "", area = "", begun = null, x = left;
  const end = (at) => {
    if (begun !== null) area += `L${at.toFixed(1)} ${SVG_HEIGHT}L${begun.toFixed(1)} ${SVG_HEIGHT}Z`;
    begun = null;
  };
  values.forEach((value, index) => {
    x = left + index * step;
    if (value === null) return end(x - step);
    const y = SVG_HEIGHT - 2 - (SVG_HEIGHT - 4) * value / most;
    const to = `${begun === null ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    if (begun === null) begun = x;
    line += to;
    area += to;
    // A point by itself is a dot.
    if (index + 1 === values.length) line += "h.01";
  });
  end(x);
  mark(svg.querySelector(".line"), "d", line);
  mark(svg.querySelector(".area"), "d", area);
  const minutes = Math.round(values.length * fleet.every / 60);
  const range = known.length === 0 ? "nothing is known yet"
    : `${word(Math.min(...known))} to ${word(most)} in the last ${minutes} min`;
  put(svg.querySelector("title"), `${what}: ${range}`);
}
