// Receives the stream of events, and reconnects when it ends.

import { collectorTime, fleet, rows } from "./fleet.js";
import { byId, setAttribute, setText } from "./patch.js";
import { addPoints, applyEvent, isHandled } from "./updates.js";

// Milliseconds without an event after which the stream counts as lost, without a response to a request, until the next attempt,
// and until the next attempt after a refusal by status.
const SILENCE = 6000, NO_RESPONSE = 10000, RETRY = 4000, REFUSED_RETRY = { 401: 300000, 503: 30000 };
// Rows out of view are updated once in so many seconds.
const HIDDEN_ROWS_TICKS = 15;

// A page may have been opened with a name and a token in its address, but fetch() refuses such addresses.
const EVENTS = new URL("events", location.href);
EVENTS.username = EVENTS.password = "";

// Times of the last event, of the last request, and since when the stream is lost; the request and the timer for the next one.
let lastEvent = 0, requested = 0, lost = null, request = null, retry = null;
// What is wrong with the collector, whether the cause of a missing response was examined, and the number of ticks.
let trouble = null, isExamined = false, ticks = 0;

function handleUpdate(name, data) {
  lastEvent = Date.now();
  fleet.clockOffset = data.now - lastEvent;
  trouble = data.trouble;
  applyEvent(name, data);
  showConnection(null);
}

// Why the collector refuses the stream. null: for another reason than these two.
function refusal(response) {
  if (response.status === 401) return "Your token is no longer valid; reload the page.";
  // A proxy may also respond with 503 if the collector is down, but without this header.
  if (response.status === 503 && response.headers.has("retry-after")) return "Too many status pages are open; close another one.";
  return null;
}

// Shows since when the stream is lost and why it is refused, or what is wrong with the collector.
function showConnection(since, refused) {
  lost = since;
  document.body.classList.toggle("stale", lost !== null);
  setAttribute(byId("live"), "data-live", lost === null ? "yes" : "no");
  setText(byId("live-word"), lost === null ? "live" : refused ? "refused" : "reconnecting");
  const time = new Date(lost).toLocaleTimeString();
  const message = lost === null ? (trouble ?? "")
    : refused ? `${refused}${lastEvent ? ` The data shown is from ${time}.` : ""}`
    : lastEvent ? `No data from the collector since ${time}; the data shown is from then. Reconnecting.`
    : "No data from the collector yet; reconnecting.";
  setText(byId("banner"), message);
  byId("banner").hidden = message === "";
}

// Parses an event: one line with its name, and one with its data.
function handleEvent(text) {
  const parts = /^event: (\w+)\ndata: (.*)$/s.exec(text);
  if (!parts) return;
  const [, name, data] = parts;
  if (name === "point") addPoints(JSON.parse(data));
  else if (isHandled(name)) handleUpdate(name, JSON.parse(data));
}

// Requests the events, and handles them until the stream ends. An EventSource would hide the status of a refusal.
export async function open() {
  clearTimeout(retry);
  const mine = new AbortController();
  request = mine;
  requested = Date.now();
  isExamined = false;
  let refused = null, pause = RETRY;
  try {
    const response = await fetch(EVENTS, { signal: mine.signal, cache: "no-store" });
    if (response.ok) {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const texts = (rest + value).split("\n\n");
        rest = texts.pop();
        texts.forEach(handleEvent);
      }
    } else {
      refused = refusal(response);
      if (refused) pause = REFUSED_RETRY[response.status];
    }
  } catch (error) {
    // A TypeError is a network error, which the page shows. Others are bugs.
    if (!mine.signal.aborted && !(error instanceof TypeError)) console.error(error);
  }
  if (request === mine) reconnect(refused, pause);
}

// Finds out why there is no response. If only requests with the browser's stored password get none, a proxy refuses that
// password, and the browser asks the user for another one. The pending request then waits for the user: each further request
// would ask again.
async function examine() {
  isExamined = true;
  const mine = request;
  const options = { method: "HEAD", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(RETRY) };
  const refused = await fetch(EVENTS, options).then(refusal, () => null);
  if (request !== mine || lastEvent >= requested) return;
  if (refused) showConnection(lost === null ? lastEvent || Date.now() : lost, refused);
  else reconnect(null, RETRY);
}

// Gives up the current request, and makes another one after a pause.
function reconnect(refused, pause) {
  request.abort();
  request = null;
  showConnection(lost === null ? lastEvent || Date.now() : lost, refused);
  clearTimeout(retry);
  retry = setTimeout(open, pause);
}

// Called once a second: checks the stream, and updates the times in the rows.
export function tick() {
  if (request && lastEvent >= requested && Date.now() - lastEvent > SILENCE) reconnect(null, RETRY);
  if (request && !isExamined && lastEvent < requested && Date.now() - requested > NO_RESPONSE) examine();
  if (document.hidden || lost !== null) return;
  const now = collectorTime(), all = ticks++ % HIDDEN_ROWS_TICKS === 0;
  for (const row of rows.values()) if (all || row.visible) row.tick(now);
}
