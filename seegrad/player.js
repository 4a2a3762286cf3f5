// Turns the stills of a play into a player. Inlined behind them, so that it works without network and without a kernel.
// It touches nothing outside its <figure>. Without scripts, the stills and the steps as text remain.
upgrade("play", (figure, play) => {
  const stills = figure.querySelector(".stills"), still = stills.querySelector("img");
  const bytes = Uint8Array.from(atob(still.src.split(",")[1]), (c) => c.charCodeAt(0));
  const first = new DOMParser().parseFromString(new TextDecoder().decode(bytes), "image/svg+xml").documentElement;
  const last = play.frames.length;
  let now = 0, timer = null;

  const set = (element, attributes) => {
    for (const key in attributes) element.setAttribute(key, attributes[key]);
  };
  const svg = (name, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    set(element, attributes);
    element.textContent = text;
    return element;
  };

  // The groups of the picture by the key that Graphviz wrote into their titles. Titles and ids go: several players on a
  // page would share them, and a title shows as a tooltip.
  const groups = {};
  let picture = null;
  const redraw = () => {
    picture = document.importNode(first, true);
    picture.setAttribute("aria-hidden", "true");
    picture.style.cssText = `${still.style.cssText}; overflow: visible`;      // as wide as the still
    for (const key in groups) delete groups[key];
    for (const group of picture.querySelectorAll("g")) {
      group.removeAttribute("id");
      const title = group.querySelector(":scope > title");
      if (title) (groups[title.textContent] ??= []).push(group), title.remove();
    }
    view.replaceChildren(picture);
  };
  const middle = (group) => {
    const xs = group.querySelector("polygon,path").getAttribute(group.querySelector("polygon,path").tagName === "path" ? "d" : "points")
      .match(/-?[\d.]+,/g).map(parseFloat);
    return (Math.min(...xs) + Math.max(...xs)) / 2;
  };
  const change = ([key, row, words, state]) => {
    const text = groups[key][0].querySelectorAll("text")[row];
    text.textContent = words;
    const border = text.previousElementSibling;
    if (border.tagName === "polygon") {      // a slot: only slots have a border of their own
      const [inside, around] = play.looks[state];
      set(border.previousElementSibling, inside);
      set(border, around);
    } else {
      text.setAttribute("text-anchor", "middle");
      text.setAttribute("x", middle(groups[key][0]));
    }
  };
  const markVisited = (key, words, stops) => {
    const group = groups[key][0], box = group.querySelector("polygon,path").getBBox();
    const x = box.x + box.width - 26 * group.querySelectorAll("circle").length;      // a box can run more than once
    group.append(svg("circle", { class: stops ? "badge stops" : "badge", cx: x, cy: box.y, r: 12 }),
      svg("text", { x, y: box.y + 5.5, "text-anchor": "middle" }, words));
  };
  const markCurrent = (key) => {
    const outline = groups[key][0].querySelector("polygon,path");
    outline.setAttribute("stroke-width", 5);
    outline.classList.add("now");
  };
  // A tall picture scrolls inside its frame; the page stays where it is.
  const bringIntoView = (key) => {
    const box = groups[key][0].getBoundingClientRect(), frame = view.getBoundingClientRect();
    view.scrollTop += (box.top + box.bottom - frame.top - frame.bottom) / 2;
    view.scrollLeft += (box.left + box.right - frame.left - frame.right) / 2;
  };
  // The gradient goes against the arrow: thick, with its head at the other end, and with its numbers where they are few.
  const markArrow = ([title, numbers]) => {
    for (const group of groups[title] ?? []) {
      const path = group.querySelector("path"), head = group.querySelector("polygon");
      if (!head) continue;
      path.setAttribute("d", `${path.getAttribute("d")}L${head.getAttribute("points").split(" ")[1]}`);      // to the other box
      const tip = path.getPointAtLength(0), from = path.getPointAtLength(Math.min(14, path.getTotalLength()));
      const angle = Math.atan2(tip.y - from.y, tip.x - from.x), at = (turn, far) =>
        `${tip.x + far * Math.cos(angle + turn)},${tip.y + far * Math.sin(angle + turn)}`;
      path.setAttribute("stroke-width", 5);
      head.setAttribute("visibility", "hidden");
      group.append(svg("polygon", { points: `${at(0, 3)} ${at(2.6, 16)} ${at(-2.6, 16)}` }));
      const half = path.getPointAtLength(path.getTotalLength() / 2);
      if (group === groups[title].at(-1)) group.append(svg("text", { class: "number", x: half.x + 8, y: half.y + 5 }, numbers));
    }
  };

  const go = (step) => {
    now = Math.max(0, Math.min(last, step));
    redraw();
    play.frames.slice(0, now).forEach((frame, i) => {
      frame.changes.forEach(change);
      markVisited(frame.box, frame.stops ? "✗" : i + 1, frame.stops);
    });
    const frame = play.frames[now - 1];
    if (frame) {
      frame.arrows.forEach(markArrow);
      markCurrent(frame.box);
      bringIntoView(frame.box);
    }
    says.replaceChildren(make("div", { textContent: `${now} of ${last}: ${frame ? frame.says : play.start}` }));
    if (now === last) says.append(make("div", { textContent: play.end }));
    slider.value = now;
    slider.setAttribute("aria-valuetext", `step ${now} of ${last}`);
    bar.value = frame ? frame.bytes : play.bytes;
    for (const [button, off] of [[back, now === 0], [next, now === last]]) {
      if (off && button === document.activeElement) player.focus({ preventScroll: true });      // or the focus would be lost
      button.disabled = off;
    }
    if (now === last) pause();
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    start.textContent = "▶ Play";
  };
  const toggle = () => {
    if (timer) return pause();
    if (now === last) go(0);
    start.textContent = "❚❚ Pause";
    timer = setInterval(() => (figure.isConnected ? go(now + 1) : pause()), 1500);
  };

  const button = (words, action) => make("button", { type: "button", textContent: words, onclick: action });
  const back = button("◀ Back", () => (pause(), go(now - 1)));
  const start = button("▶ Play", toggle);
  const next = button("Step ▶", () => (pause(), go(now + 1)));
  const slider = make("input", { type: "range", min: 0, max: last, value: 0, oninput: () => (pause(), go(+slider.value)) });
  slider.setAttribute("aria-label", "Step");
  const bar = make("meter", { min: 0, max: Math.max(1, play.bytes) });
  bar.setAttribute("aria-hidden", "true");
  const says = make("div", { className: "says" });
  says.setAttribute("aria-live", "polite");
  const view = make("div", { className: "view", tabIndex: 0 });      // a large graph scrolls, by the keyboard too
  view.setAttribute("role", "group");
  view.setAttribute("aria-label", "The graph");
  const hint = make("div", { textContent: "↔ The graph is larger than its frame: scroll it." });
  new ResizeObserver(() => { hint.hidden = view.scrollWidth <= view.clientWidth && view.scrollHeight <= view.clientHeight; })
    .observe(view);
  const player = make("div", { className: "player", tabIndex: 0 },
    make("strong", { textContent: play.title }),
    make("div", { className: "buttons" }, back, start, next, slider, make("span", {}, "saved ", bar)), says, view, hint);
  player.setAttribute("role", "group");
  player.setAttribute("aria-label", `${play.title}. Arrow keys step, space plays and pauses.`);
  listen(player, (event) => {
    const action = {
      ArrowRight: () => (pause(), go(now + 1)), ArrowLeft: () => (pause(), go(now - 1)),
      Home: () => (pause(), go(0)), End: () => (pause(), go(last)), " ": toggle,
    }[event.key];
    if (!action || event.key === " " && event.target.tagName === "BUTTON") return false;      // it presses the button
    action();
    return true;
  });
  stills.replaceWith(make("style", { textContent: play.style }), player);
  go(0);
});
