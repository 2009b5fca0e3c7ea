// Is the page told how the fleet is? It is told everything by one stream of events, which is asked for again where it ends.

import { fleet, rows, timeThere } from "./fleet.js";
import { byId, mark, put } from "./patch.js";
import { isKnown, take, takePoints } from "./told.js";

// Milliseconds: of silence until it is over, until an answer, until another try, and that where it would be in vain by now.
const SILENCE = 6000, UNANSWERED = 10000, RETRY = 4000, REFUSED_RETRY = { 401: 300000, 503: 30000 };
// So seldom is unseen text brought up to date.
const TICKS_UNSEEN = 15;

// A page may have been opened with a name and a token in its address, with which no script may ask.
const EVENTS = new URL("events", location.href);
EVENTS.username = EVENTS.password = "";

let heard = 0, asked = 0, asking = null, retry = null, lost = null, trouble = null, doubted = false, ticks = 0;

function hear(name, told) {
  heard = Date.now();
  fleet.clockOffset = told.now - heard;
  trouble = told.trouble;
  take(name, told);
  say(null);
}

// Why nothing is told, where it is refused.
function refusal(answer) {
  if (answer.status === 401) return "Your token is no longer good: reload the page.";
  // A proxy may say 503 as well, of a collector that is away.
  if (answer.status === 503 && answer.headers.has("retry-after")) return "Too many pages are open: close another one.";
  return null;
}

// Whether the page is still told, and what is wrong otherwise.
function say(since, why) {
  lost = since;
  document.body.classList.toggle("stale", lost !== null);
  mark(byId("live"), "data-live", lost === null ? "yes" : "no");
  put(byId("live-word"), lost === null ? "live" : why ? "refused" : "reconnecting");
  const time = new Date(lost).toLocaleTimeString();
  const words = lost === null ? (trouble ? `The collector is not ready: ${trouble}.` : "")
    : why ? `${why}${heard ? ` What is shown is from ${time}.` : ""}`
    : heard ? `The collector has not been heard since ${time}. What is shown is from then; trying again.`
    : "The collector has not been heard yet; trying again.";
  put(byId("banner"), words);
  byId("banner").hidden = words === "";
}

// What is told by one event. There are only such as have one line with a name and one with what they tell.
function read(text) {
  const parts = /^event: (\w+)\ndata: (.*)$/s.exec(text);
  if (!parts) return;
  const [, name, data] = parts;
  if (name === "point") takePoints(JSON.parse(data));
  else if (isKnown(name)) hear(name, JSON.parse(data));
}

// Asks for the events, and takes them until there are no more. An EventSource would not say why it is refused.
export async function open() {
  clearTimeout(retry);
  const mine = new AbortController();
  asking = mine;
  asked = Date.now();
  doubted = false;
  let why = null, pause = RETRY;
  try {
    const answer = await fetch(EVENTS, { signal: mine.signal, cache: "no-store" });
    if (answer.ok) {
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const texts = (rest + value).split("\n\n");
        rest = texts.pop();
        texts.forEach(read);
      }
    } else {
      why = refusal(answer);
      if (why) pause = REFUSED_RETRY[answer.status];
    }
  } catch (error) {
    // Nobody there is no news. What we do wrong is.
    if (!mine.signal.aborted && !(error instanceof TypeError)) console.error(error);
  }
  if (asking === mine) lose(why, pause);
}

// Nothing is answered. Where that is so only to what the browser has as a password, which a proxy may ask for, the browser
// asks for another one, and keeps it from us: then it is waited for, as there would be a question with every try.
async function doubt() {
  doubted = true;
  const mine = asking, asks = { method: "HEAD", credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(RETRY) };
  const why = await fetch(EVENTS, asks).then(refusal, () => null);
  if (asking !== mine || heard >= asked) return;
  if (why) say(lost === null ? heard || Date.now() : lost, why);
  else lose(null, RETRY);
}

// It is tried again, in our own time.
function lose(why, pause) {
  asking.abort();
  asking = null;
  say(lost === null ? heard || Date.now() : lost, why);
  clearTimeout(retry);
  retry = setTimeout(open, pause);
}

// Looks once a second whether it is told, and has the time go on in the rows.
export function tick() {
  if (asking && heard >= asked && Date.now() - heard > SILENCE) lose(null, RETRY);
  if (asking && !doubted && heard < asked && Date.now() - asked > UNANSWERED) doubt();
  if (document.hidden || lost !== null) return;
  const now = timeThere(), all = ticks++ % TICKS_UNSEEN === 0;
  for (const row of rows.values()) if (all || row.visible) row.tick(now);
}
