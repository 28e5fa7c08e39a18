// Names for what the theme leaves without one, so that screen readers can tell them apart.
const named = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelectorAll(".md-code__nav").forEach((nav, index) => nav.setAttribute("aria-label", `Code ${index + 1}`));
  document.querySelectorAll("pre > code").forEach((code) => { if (code.scrollWidth > code.clientWidth) code.tabIndex = 0; });
};
addEventListener("DOMContentLoaded", () => { named(); new MutationObserver(named).observe(document.body, { childList: true, subtree: true }); });
