// Follows Airflow's look: the class of the document around this frame, else what Airflow has stored, else the system's.
// Runs before anything is drawn, so that no page flashes in the other look.
"use strict";
(() => {
  const root = document.documentElement;
  const parentRoot = () => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null;
    }
  };
  const wanted = () => {
    const around = parentRoot();
    if (around?.classList.contains("dark")) return "dark";
    if (around?.classList.contains("light")) return "light";
    try {
      const stored = window.localStorage.getItem("theme");
      return stored === "dark" || stored === "light" ? stored : null;
    } catch {
      return null;
    }
  };
  const follow = () => {
    const theme = wanted();
    if (theme === root.dataset.theme) return;
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    document.dispatchEvent(new CustomEvent("theme"));
  };
  follow();
  const around = parentRoot();
  if (around) {
    root.dataset.framed = "";
    new MutationObserver(follow).observe(around, { attributes: true, attributeFilter: ["class"] });
  }
  window.addEventListener("storage", follow);
})();
