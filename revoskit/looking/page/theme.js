// Light, dark, or as the system is: kept for the next page.
"use strict";

const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-label", THEMES[theme]);
  byId("theme").title = THEMES[theme];
}

function nextTheme() {
  const theme = nextOf(Object.keys(THEMES), document.documentElement.dataset.theme);
  setTheme(theme);
  try {
    localStorage.setItem("revos-theme", theme);
  } catch {
    // A browser may refuse storage to a page from disk; the theme then lasts as long as the page.
  }
}

function storedTheme() {
  try {
    return localStorage.getItem("revos-theme");
  } catch {
    return null;
  }
}

setTheme(storedTheme() in THEMES ? storedTheme() : "auto");
byId("theme").addEventListener("click", nextTheme);
