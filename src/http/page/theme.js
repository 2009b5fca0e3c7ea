// Which colours are it: those of the system, or what was chosen here before?

import { byId, mark, put } from "./patch.js";

const THEMES = { system: ["◐", "Colours: as the system has them"], light: ["☀", "Colours: light"], dark: ["☾", "Colours: dark"] };

function theme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  const [sign, words] = THEMES[name];
  put(byId("theme").firstElementChild, sign);
  mark(byId("theme"), "aria-label", words);
  mark(byId("theme"), "title", words);
  byId("theme").dataset.name = name;
}

// A browser may refuse to keep anything.
const kept = {
  get() { try { return localStorage.getItem("theme"); } catch { return null; } },
  set(name) { try { localStorage.setItem("theme", name); } catch { /* then it is for this visit */ } },
};

// Takes up what was chosen before, and has the button choose.
export function begin() {
  byId("theme").addEventListener("click", () => {
    const names = Object.keys(THEMES);
    const name = names[(names.indexOf(byId("theme").dataset.name) + 1) % names.length];
    theme(name);
    kept.set(name);
  });
  theme(kept.get() in THEMES ? kept.get() : "system");
}
