// What the player and the switches have in common; it is inlined before each of them.
const set = (element, attributes) => {
  for (const key in attributes) element.setAttribute(key, attributes[key]);
  return element;
};
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};
const svg = (name, attributes, text = "") => {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", name), attributes);
  element.textContent = text;
  return element;
};
const button = (words, action) => make("button", { type: "button", textContent: words, onclick: action });

// Let `build` make the figures of a kind, each once: its data go as soon as they are read. All figures are looked through,
// because a script cannot know its own: VS Code runs a copy of it, which stands elsewhere.
const upgrade = (kind, build) => {
  for (const data of document.querySelectorAll(`figure.seegrad.${kind} > script[type="application/json"]`)) {
    const figure = data.parentNode;
    data.remove();
    build(figure, JSON.parse(data.textContent));
  }
};

// Hear the keys that are pressed in a panel. `take` does what a key asks for, and says whether it has. Arrows and the space bar
// stay in the panel: a slide show would turn the page. JupyterLab's own keys rest while the focus is here, but not all: Esc
// leads back to the cell, Shift+Enter runs it, and what is pressed together with Ctrl, Alt or Cmd goes on to the notebook.
const listen = (panel, take) => {
  for (const part of [panel, ...panel.querySelectorAll("button, input, [tabindex]")])
    part.setAttribute("data-lm-suppress-shortcuts", "true");
  panel.onkeydown = (event) => {
    const chord = event.ctrlKey || event.altKey || event.metaKey, runs = event.key === "Enter" && (chord || event.shiftKey);
    if (runs || event.key === "Escape") {
      document.activeElement.blur();
      panel.closest(".jp-Cell")?.focus({ preventScroll: true });
    }
    if (chord || runs) {
      const outside = runs ? document.activeElement : panel.parentNode;
      if (!outside.dispatchEvent(new KeyboardEvent("keydown", event))) event.preventDefault();
    } else if (take(event)) {
      event.preventDefault();
    } else if (event.key !== "Escape" && event.key !== " " && !event.key.startsWith("Arrow")) {
      return;
    }
    event.stopPropagation();
  };
};

// A picture whose boxes and words change, and that can be zoomed: by buttons, by keys, by the wheel with Ctrl, by two fingers.
// It scrolls in its frame, where a mouse can drag it. Boxes, arrows and ties are told by the key that Graphviz wrote into
// their titles; of several arrows between two boxes, the second has " 2" behind it. looks: how a slot of each state looks.
const showPicture = (text, { width, least, looks }) => {
  const first = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  const groups = {};
  let picture = null, zoomed = 0;

  const size = () => {
    picture.style.cssText = `display: block; width: ${width}px; max-width: 100%; min-width: ${least}px; --least: ${least}px`;
    if (zoomed) for (const [name, value] of Object.entries({ width: `${zoomed}px`, "max-width": "none", "min-width": 0,
      "max-height": "none" })) picture.style.setProperty(name, value, "important");
    hint.hidden = view.scrollWidth <= view.clientWidth && view.scrollHeight <= view.clientHeight;
    view.classList.toggle("scrolls", !hint.hidden);
  };
  // Titles and ids go: several figures on a page would share them, and a title shows as a tooltip.
  const redraw = () => {
    picture = set(document.importNode(first, true), { "aria-hidden": "true" });
    for (const key in groups) delete groups[key];
    for (const group of picture.querySelectorAll("g")) {
      group.removeAttribute("id");
      const title = group.querySelector(":scope > title");
      if (title) (groups[title.textContent] ??= []).push(group), title.remove();
    }
    view.replaceChildren(picture);
    size();
  };
  // What is absent is an outline without words, and what is gone is faded, with its words struck through: player.css.
  const mark = (states) => {
    for (const title in groups) groups[title].forEach((group, i) => {
      const keys = [i ? `${title} ${i + 1}` : title, ...title.split("->").map((end) => end.split(":")[0])];
      const state = ["absent", "gone"].find((one) => keys.some((key) => states[key] === one));
      if (state) group.classList.add(state);
    });
  };
  const outline = (key) => groups[key][0].querySelector("polygon,path");
  const middle = (key) => {
    const xs = outline(key).getAttribute(outline(key).tagName === "path" ? "d" : "points").match(/-?[\d.]+,/g).map(parseFloat);
    return (Math.min(...xs) + Math.max(...xs)) / 2;
  };
  const change = ([key, row, words, state]) => {
    const text = groups[key][0].querySelectorAll("text")[row];
    text.textContent = words;
    const border = text.previousElementSibling;
    if (row && border.tagName === "polygon") {      // a slot: only slots have a border of their own
      const [inside, around] = looks[state];
      set(border.previousElementSibling, inside);
      set(border, around);
    } else {
      set(text, { "text-anchor": "middle", x: middle(key) });
    }
  };
  // A tall picture scrolls inside its frame; the page stays where it is.
  const bringIntoView = (key) => {
    const box = groups[key][0].getBoundingClientRect(), frame = view.getBoundingClientRect();
    view.scrollTop += (box.top + box.bottom - frame.top - frame.bottom) / 2;
    view.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  };

  // Zoom to a width, while the point (x, y) of the frame stays where it is. The frame keeps its size.
  const zoom = (wanted, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const before = parseFloat(getComputedStyle(picture).width);
    view.style.width ||= `${view.offsetWidth}px`;
    view.style.height ||= `${view.offsetHeight}px`;
    zoomed = Math.max(width / 5, Math.min(5 * width, wanted(before)));
    const left = (view.scrollLeft + x) * zoomed / before - x, top = (view.scrollTop + y) * zoomed / before - y;
    size();
    view.scrollTo(left, top);
  };
  const fit = () => {
    const { width: w, height: h } = first.viewBox.baseVal;
    zoom(() => Math.min(width, view.clientWidth - 24, (view.clientHeight - 24) * w / h));
  };
  const actions = { "+": () => zoom((now) => 1.25 * now), "-": () => zoom((now) => now / 1.25), 0: fit };
  actions["="] = actions["+"];      // the same key without Shift

  const view = set(make("div", { className: "view", tabIndex: 0 }), { role: "group", "aria-label": "The graph" });
  const hint = make("div", { className: "hint", textContent: "↔ The graph is larger than its frame: scroll it." });
  const tools = make("div", { className: "tools" }, ...[["−", "-", "Zoom out"], ["Fit", 0, "Fit the graph into its frame"],
    ["+", "+", "Zoom in"]].map(([words, key, label]) => set(button(words, actions[key]), { "aria-label": label, title: label })));
  new ResizeObserver(size).observe(view);
  const at = (x, y) => [x - view.getBoundingClientRect().left, y - view.getBoundingClientRect().top];
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;      // the page scrolls
    event.preventDefault();
    zoom((now) => now * Math.exp(-event.deltaY / 300), ...at(event.clientX, event.clientY));
  }, { passive: false });
  let apart = 0;
  const distance = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  view.addEventListener("touchstart", ({ touches }) => { if (touches.length === 2) apart = distance(touches); }, { passive: true });
  view.addEventListener("touchmove", (event) => {
    const [one, other] = event.touches;
    if (event.touches.length !== 2) return;      // one finger scrolls
    event.preventDefault();
    const ratio = distance(event.touches) / apart;
    apart *= ratio;
    zoom((now) => now * ratio, ...at((one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2));
  }, { passive: false });
  view.onpointerdown = (event) => {
    if (event.pointerType === "mouse" && event.button === 0 && event.target !== view) view.setPointerCapture(event.pointerId);
  };
  view.onpointermove = (event) => {
    if (view.hasPointerCapture(event.pointerId)) view.scrollBy(-event.movementX, -event.movementY);
  };

  const stage = make("div", { className: "stage" }, view, make("div", { className: "tools-row" }, tools, hint));
  return { stage, view, groups, outline, redraw, mark, change, bringIntoView,
    take: ({ key }) => key in actions && (actions[key](), true) };
};
