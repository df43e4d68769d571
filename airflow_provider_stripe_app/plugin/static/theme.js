// Follows the theme that was chosen in Airflow, which keeps it in localStorage under "theme" (light, dark or system).
// Without a choice, or without this script, the browser's own preference decides.
"use strict";
(() => {
  const follow = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch {
      // Storage is blocked: the browser's preference stands.
    }
    const root = document.documentElement;
    if (chosen === "light" || chosen === "dark") {
      root.dataset.theme = chosen;
    } else {
      delete root.dataset.theme;
    }
  };
  follow();
  addEventListener("storage", follow);
})();
