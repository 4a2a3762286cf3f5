// A box that scrolls is a stop of the Tab key, and says that it scrolls; one that does not scroll is none.
const watch = new ResizeObserver((changed) => {
  for (const { target: box } of changed) {
    box.classList.toggle("scrolls", box.scrollWidth > box.clientWidth);
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll(".box, .picture")) watch.observe(box);

// A reader pastes a message, and sees the cases that it may be of: as look_up in seegrad/cases.py finds them.
const finder = document.querySelector(".finder");
if (finder) {
  const [field, count, unknown] = ["textarea", ".count", ".unknown"].map((name) => finder.querySelector(name));
  const cases = [...finder.querySelectorAll("li")].map((row) => ({
    row, patterns: JSON.parse(row.dataset.patterns).map((pattern) => new RegExp(pattern)), words: JSON.parse(row.dataset.words),
  }));
  const find = () => {
    const plain = field.value.replace(/\s|\[rank\d+\]:/g, "");
    const enough = plain.length >= finder.dataset.fewest;
    let found = cases.filter(({ patterns }) => patterns.some((pattern) => pattern.test(plain)));
    if (enough && !found.length) found = cases.filter(({ words }) => words.some((word) => word.includes(plain.toLowerCase())));
    for (const one of cases) one.row.hidden = !found.includes(one);
    const say = found.length > 1 ? `${found.length} cases have this message, each with another cause:` : "1 case has this message:";
    count.textContent = found.length ? say : "";
    unknown.hidden = !enough || found.length > 0;
  };
  field.addEventListener("input", find);
  window.addEventListener("pageshow", find);      // a browser that comes back to the page puts the message in again
  finder.hidden = false;
}
