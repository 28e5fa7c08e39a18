// Names for what the theme leaves without one, so that screen readers can tell them apart.
const named = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((nav, index) => nav.setAttribute("aria-label", `Code ${index + 1}`));
  const wide = "pre > code, .md-typeset__scrollwrap, .notebook-output, .notebook-output div";
  document.querySelectorAll(wide).forEach((part) => { if (part.scrollWidth > part.clientWidth) part.tabIndex = 0; });
};
// Once a frame at most: it measures, and a page may change a thousand times in one.
let due = false;
const soon = () => { if (!due) { due = true; requestAnimationFrame(() => { due = false; named(); }); } };
addEventListener("DOMContentLoaded", () => { named(); new MutationObserver(soon).observe(document.body, { childList: true, subtree: true }); });
