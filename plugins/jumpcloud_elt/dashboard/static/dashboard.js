// Links to Airflow, and addresses without empty filters. Everything works without this file, but for links out of a frame.
"use strict";
(() => {
  // In Airflow the pages lie in a sandboxed frame: a link in it would show Airflow inside of Airflow, and the frame may not
  // navigate what is around it. A link of the document around it may.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-airflow]");
    if (!link || window.parent === window) return;
    event.preventDefault();
    const around = window.parent.document;
    const outside = around.createElement("a");
    outside.href = link.href;
    around.body.append(outside);
    outside.click();
    outside.remove();
  });

  for (const form of document.querySelectorAll("form.filters")) {
    // An address without what was left empty can be read, and kept.
    form.addEventListener("submit", () => {
      for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    });
  }
  // A page that comes back from the browser's cache must not have its fields disabled.
  window.addEventListener("pageshow", () => {
    for (const field of document.querySelectorAll("form.filters [disabled]")) field.disabled = false;
  });
})();
