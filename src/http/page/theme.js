// The colours: those of the system, or the user's choice, which the browser stores.

import { byId, setAttribute, setText } from "./patch.js";

const THEMES = { system: ["◐", "Colours: system"], light: ["☀", "Colours: light"], dark: ["☾", "Colours: dark"] };

function apply(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const [sign, label] = THEMES[name];
  setText(byId("theme").firstElementChild, sign);
  setAttribute(byId("theme"), "aria-label", label);
  setAttribute(byId("theme"), "title", label);
  byId("theme").dataset.name = name;
}

// A browser may refuse to store anything.
const stored = {
  get() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set(name) { try { localStorage.setItem("theme", name); } catch { /* valid until the page is closed */ } },
};

// Applies the stored choice, and lets the button change it.
export function start() {
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const name = names[(names.indexOf(byId("theme").dataset.name) + 1) % names.length];
    apply(name);
    stored.set(name);
  });
  apply(stored.get() in THEMES ? stored.get() : "system");
}
