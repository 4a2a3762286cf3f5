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
const KEEP = { "data-lm-suppress-shortcuts": "true" };
const listen = (panel, take) => {
  for (const part of [panel, ...panel.querySelectorAll("button, input, [tabindex]")]) set(part, KEEP);
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

// A frame in which a picture is zoomed: by buttons, by keys, by the wheel with Ctrl, by two fingers. It scrolls in the frame,
// where a mouse can drag it. show() puts a picture into it, `width` pixels wide, and `least` where there is less room, until a
// reader zooms; pictures that take turns keep that scale.
const makeStage = () => {
  let picture = null, width = 0, least = 0, scale = 0, room = null;

  const size = () => {
    picture.style.cssText = `display: block; width: ${width}px; max-width: 100%; min-width: ${least}px; --least: ${least}px`;
    if (scale) for (const [name, value] of Object.entries({ width: `${scale * width}px`, "max-width": "none", "min-width": 0,
      "max-height": "none" })) picture.style.setProperty(name, value, "important");
    if (room) Object.assign(picture.style, { boxSizing: "content-box", margin: 0, padding: room.map((side) => `${side}px`).join(" ") });
    hint.hidden = view.scrollWidth <= view.clientWidth && view.scrollHeight <= view.clientHeight;
    view.classList.toggle("scrolls", !hint.hidden);
  };
  const show = (drawn, wide, narrow) => {
    [picture, width, least] = [drawn, wide, narrow];
    room = null;
    view.replaceChildren(picture);
    size();
  };
  // A tall picture scrolls inside its frame; the page stays where it is.
  const bringIntoView = (element) => {
    const box = element.getBoundingClientRect(), frame = view.getBoundingClientRect();
    view.scrollTop += (box.top + box.bottom - frame.top - frame.bottom) / 2;
    view.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  };
  // Move the picture on the screen. Where it cannot scroll so far, it gets room around it.
  const move = (x, y) => {
    const before = picture.getBoundingClientRect(), [top, , , left] = room ?? [0, 0, 0, 0];
    room = [0, 0, 0, 0];
    size();
    const after = picture.getBoundingClientRect();
    const right = view.scrollLeft + after.left - before.left - left - x;
    const down = view.scrollTop + after.top - before.top - top - y;
    room = [Math.max(0, -down), Math.max(0, right - view.scrollWidth + view.clientWidth),
      Math.max(0, down - view.scrollHeight + view.clientHeight), Math.max(0, -right)];
    size();
    view.scrollTo(right, down);
  };

  // Zoom to a width, while the point (x, y) of the frame stays where it is.
  const zoom = (wanted, x = view.clientWidth / 2, y = view.clientHeight / 2) => {
    const before = parseFloat(getComputedStyle(picture).width);
    view.style.width ||= `${view.offsetWidth}px`;
    view.style.height ||= `${view.offsetHeight}px`;
    scale = Math.max(1 / 20, Math.min(5, wanted(before) / width));
    const ratio = scale * width / before, left = (view.scrollLeft + x) * ratio - x, top = (view.scrollTop + y) * ratio - y;
    room = room?.map((side) => side * ratio);
    size();
    view.scrollTo(left, top);
  };
  const fit = () => {
    const { width: w, height: h } = picture.viewBox.baseVal;
    room = null;
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
  // It is dragged from where the mouse went down; until it has moved, that may be a click on something in the picture.
  let from = null;
  view.onpointerdown = ({ pointerType, button, target, clientX: x, clientY: y }) => {
    from = pointerType === "mouse" && button === 0 && target !== view
      ? { x, y, left: view.scrollLeft, top: view.scrollTop } : null;
  };
  view.onpointermove = ({ buttons, pointerId, clientX: x, clientY: y }) => {
    if (!from || !buttons || !view.hasPointerCapture(pointerId) && Math.hypot(x - from.x, y - from.y) < 4) return;
    view.setPointerCapture(pointerId);
    view.scrollTo(from.left + from.x - x, from.top + from.y - y);
  };

  const stage = make("div", { className: "stage" }, view, make("div", { className: "tools-row" }, tools, hint));
  return { stage, view, show, move, bringIntoView, take: ({ key }) => key in actions && (actions[key](), true) };
};

// A picture of Graphviz whose boxes and words change. Boxes, arrows and ties are told by the key that it wrote into their
// titles; of several arrows between two boxes, the second has " 2" behind it. looks: how a slot of each state looks.
const showPicture = (text, { width, least, looks }) => {
  const first = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  const { stage, view, show, take, bringIntoView } = makeStage(), groups = {};

  // What is absent is an outline without words, and what is gone is faded, with its words struck through: player.css.
  const mark = (states) => {
    for (const title in groups) groups[title].forEach((group, i) => {
      const keys = [i ? `${title} ${i + 1}` : title, ...title.split("->").map((end) => end.split(":")[0])];
      const state = ["absent", "gone"].find((one) => keys.some((key) => states[key] === one));
      if (state) group.classList.add(state);
    });
  };
  const box = (key) => groups[key][0];
  const outline = (key) => box(key).querySelector("polygon,path");
  const middle = (key) => {
    const xs = outline(key).getAttribute(outline(key).tagName === "path" ? "d" : "points").match(/-?[\d.]+,/g).map(parseFloat);
    return (Math.min(...xs) + Math.max(...xs)) / 2;
  };
  const change = ([key, row, words, state]) => {
    const text = box(key).querySelectorAll("text")[row];
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
  // Draw it as it is after all changes. Titles and ids go: several figures on a page would share them, and a title shows as a
  // tooltip.
  const redraw = (changes, states) => {
    const picture = set(document.importNode(first, true), { "aria-hidden": "true" });
    for (const key in groups) delete groups[key];
    for (const group of picture.querySelectorAll("g")) {
      group.removeAttribute("id");
      const title = group.querySelector(":scope > title");
      if (title) (groups[title.textContent] ??= []).push(group), title.remove();
    }
    show(picture, width, least);
    changes.forEach(change);
    mark(states);
  };

  return { stage, take, redraw, box, outline, lines: (title) => groups[title] ?? [],
    bringIntoView: (key) => bringIntoView(box(key)) };
};
