// Adds the link to the rates to the menu of Lens: a copy of its first entry, so that it looks the same.
"use strict";

function addRates() {
  const find = document.querySelector('header a[href^="/zipkin"]');
  if (!find || document.getElementById("rates-link")) return;
  const link = find.cloneNode(true);
  link.id = "rates-link";
  link.href = "/rates";
  // The look of an entry that is not the page shown, whatever the first one's is now.
  Object.assign(link.style, { borderBottomColor: "transparent", color: "rgba(255, 255, 255, 0.6)", opacity: 1 });
  const texts = document.createTreeWalker(link, NodeFilter.SHOW_TEXT);
  if (texts.nextNode()) texts.currentNode.data = "Rates by route";
  const icon = link.querySelector("svg path");
  // Three bars of a chart, in the box of Lens's icons: 512 by 512.
  if (icon) icon.setAttribute("d", "M32 288h96v192H32zM208 160h96v320h-96zM384 32h96v448h-96z");
  find.after(link);
}

// Lens draws its menu after its configuration has come.
new MutationObserver(addRates).observe(document.documentElement, { childList: true, subtree: true });
