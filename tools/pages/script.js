// A box that scrolls is a stop of the Tab key; one that does not scroll is none.
const watch = new ResizeObserver((changed) => {
  for (const { target: box } of changed)
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
});
for (const box of document.querySelectorAll(".box")) watch.observe(box);
