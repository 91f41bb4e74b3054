"use strict";
(() => {
  const isFramed = window.parent !== window;
  const root = isFramed ? window.parent.document.documentElement : document.documentElement;
  document.documentElement.classList.add(...["light", "dark"].filter((look) => root.classList.contains(look) || (!isFramed && localStorage.getItem("theme") === look)));
  if (!isFramed) return;
  // In Airflow the frame may not navigate what is around it, and the form to sign in is for the whole window. A link of
  // the document around it may go there, and leads back to what that document shows now.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a");
    if (!link) return;
    event.preventDefault();
    const target = new URL(link.href);
    target.searchParams.set("next", window.parent.location.pathname + window.parent.location.search);
    const outside = window.parent.document.createElement("a");
    outside.href = target;
    window.parent.document.body.append(outside);
    outside.click();
  });
})();
