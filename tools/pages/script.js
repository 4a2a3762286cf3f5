// A box that scrolls is a stop of the Tab key, and says that it scrolls; one that does not scroll is none.
const watch = new ResizeObserver((changed) => {
  for (const { target: box } of changed) {
    box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth);
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".box, .picture")) watch.observe(box);
