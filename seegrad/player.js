// Turns the stills of a play into a player. Inlined behind them, so that it works without network and without a kernel.
// It touches nothing outside its <figure>. Without scripts, the stills and the steps as text remain.
upgrade("play", (figure, play) => {
  const stills = figure.querySelector(".stills");
  const frames = play.frames.map((frame) => ({ lit: [], comes: [], goes: [], names: {}, ...frame })), last = frames.length;
  let now = 0, timer = null;

  // The picture of a backward is its first still; that of code has room for all boxes that there will be. A graph folded by
  // modules is drawn anew at each step.
  const decode = (image) =>
    new TextDecoder().decode(Uint8Array.from(atob(image.src.split(",")[1]), (c) => c.charCodeAt(0)));
  const modules = play.modules && showModules(play.modules, frames, () => decorate());
  const picture = modules ?? (play.picture && showPicture(play.picture.svg ?? decode(stills.querySelector("img")), play.picture));

  const markVisited = (key, words, stops) => {
    const group = picture.box(key), box = picture.outline(key).getBBox();
    const x = box.x + box.width - 26 * group.querySelectorAll("circle").length;      // a box can run more than once
    group.append(svg("circle", { class: stops ? "badge stops" : "badge", cx: x, cy: box.y, r: 12 }),
      svg("text", { x, y: box.y + 5.5, "text-anchor": "middle" }, words));
  };
  // A folded module counts its steps.
  const markCount = (key, count, stops) => {
    const box = picture.outline(key).getBBox(), steps = frames.filter((frame) => frame.box && picture.home(frame.box) === key);
    const words = `${count} of ${steps.length}`, width = 10 * words.length + 12, x = box.x + box.width - width / 2 + 12;
    picture.box(key).append(
      svg("rect", { class: stops ? "badge stops" : "badge", x: x - width / 2, y: box.y - 12, width, height: 24, rx: 12 }),
      svg("text", { x, y: box.y + 5.5, "text-anchor": "middle" }, words));
  };
  const markCurrent = (key) => set(picture.outline(key), { "stroke-width": 5 }).classList.add("now");
  // The gradient goes against the arrow: thick, with its head at the other end, and with its numbers where they are few.
  const markArrow = ([title, numbers]) => {
    for (const group of picture.lines(title)) {
      const path = group.querySelector("path"), head = group.querySelector("polygon");
      if (!head) continue;
      const whole = path.dataset.whole ?? path.getAttribute("d");
      path.setAttribute("d", `${whole}L${head.getAttribute("points").split(" ")[1]}`);      // to the other box
      const tip = path.getPointAtLength(0), from = path.getPointAtLength(Math.min(14, path.getTotalLength()));
      const angle = Math.atan2(tip.y - from.y, tip.x - from.x), at = (turn, far) =>
        `${tip.x + far * Math.cos(angle + turn)},${tip.y + far * Math.sin(angle + turn)}`;
      path.setAttribute("stroke-width", 5);
      head.setAttribute("visibility", "hidden");
      group.append(svg("polygon", { points: `${at(0, 3)} ${at(2.6, 16)} ${at(-2.6, 16)}` }));
      const half = path.getPointAtLength(path.getTotalLength() / 2);
      if (group === picture.lines(title).at(-1))
        group.append(svg("text", { class: "number", x: half.x + 8, y: half.y + 5 }, numbers));
    }
  };
  // What runs, and what ran before it. The numbers of the nodes are those of the backward that runs.
  const decorate = () => {
    const seen = frames.slice(0, now), frame = seen.at(-1), counts = {};
    let number = 0;
    for (const { box, run, stops } of seen) {
      if (!box || !frame.box || run !== frame.run) continue;
      const words = stops ? "✗" : ++number, folded = modules?.folded(box);
      if (folded) counts[folded] = [(counts[folded]?.[0] ?? 0) + 1, stops];
      else markVisited(box, words, stops);
    }
    for (const key in counts) markCount(key, ...counts[key]);
    if (!frame) return;
    frame.arrows.forEach(markArrow);
    current(frame).forEach(markCurrent);
  };
  const current = ({ box, lit }) => [...new Set([box, ...lit])].filter(Boolean);
  // The graph as the steps so far left it.
  const draw = (seen, frame) => {
    const states = {};
    for (const key of play.absent) states[key] = "absent";
    for (const { comes, goes } of seen) {
      for (const key of comes) delete states[key];
      for (const key of goes) states[key] = "gone";
    }
    picture.redraw(seen.flatMap(({ changes }) => changes), states, frame?.box);
    if (!modules) decorate();
    if (frame && current(frame).length) picture.bringIntoView(current(frame)[0]);
  };

  // The code, with a mark at the line that ran. A click on a line goes to the next step on it.
  const lines = {};
  const show = ({ title, first, lines: texts }, source) => make("div", {}, make("div", { className: "source", textContent: title }),
    ...texts.map((text, i) => {
      const at = `${source},${first + i}`, steps = frames.flatMap(({ line }, step) => (`${line}` === at ? [step + 1] : []));
      const onclick = () => {
        if (!steps.length || !getSelection().isCollapsed) return;      // its text was selected
        pause();
        go(steps.find((step) => step > now) ?? steps[0]);
      };
      const line = set(make("div", { className: steps.length ? "line runs" : "line", textContent: text || "\n", onclick }),
        { "data-number": first + i });
      return lines[at] = line;
    }));
  const code = play.sources.length && set(make("pre", { className: "code", tabIndex: 0 }, ...play.sources.map(show)),
    { role: "group", "aria-label": "The code" });
  const markLine = (frame) => {
    for (const at in lines) lines[at].classList.remove("lit");
    const line = lines[frame?.line];
    if (!line) return code.scrollTop = 0;
    line.classList.add("lit");
    // Not by what is on the screen: a deck is scaled.
    const top = line.offsetTop - code.offsetTop - code.scrollTop, room = code.clientHeight - line.offsetHeight;
    if (top < 0 || top > room) code.scrollTop += top - room / 2;
  };
  // What the names of the code stand for. What this step changed is marked.
  const names = set(make("div", { className: "names", tabIndex: 0 }), { role: "group", "aria-label": "The names" });
  // As many rows all the time: what stands below stays where it is.
  const counts = new Set(), most = Math.max(0, ...frames.map((frame) => {
    for (const [name, row] of Object.entries(frame.names)) row ? counts.add(name) : counts.delete(name);
    return counts.size;
  }));
  names.hidden = !most;
  const cells = ([value, tracked, grad, version]) => [value, tracked ? "True" : "False", grad, version ?? "–"].map(String);
  const tell = (seen) => {
    const rows = new Map();
    let was = new Map();
    seen.forEach((frame, i) => {
      if (i === seen.length - 1) was = new Map(rows);
      for (const [name, row] of Object.entries(frame.names)) row ? rows.set(name, row) : rows.delete(name);
    });
    names.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...["name", "value", "requires_grad", ".grad", "version"].map((words) =>
        set(make("th", { textContent: words }), { scope: "col" })))),
      make("tbody", {}, ...[...rows].map(([name, row]) => {
        const before = was.has(name) ? cells(was.get(name)) : [], changed = cells(row).map((words, i) => words !== before[i]);
        return make("tr", { className: changed.includes(true) ? "changed" : "" },
          set(make("th", { textContent: name }), { scope: "row" }),
          ...cells(row).map((words, i) => make("td", { className: changed[i] ? "changed" : "", textContent: words })));
      }), ...Array.from({ length: most - rows.size }, () =>
        set(make("tr", {}, make("td", { textContent: "\u00a0" })), { "aria-hidden": "true" })))));
  };

  const go = (step) => {
    now = Math.max(0, Math.min(last, step));
    const seen = frames.slice(0, now), frame = seen.at(-1);
    if (picture) draw(seen, frame);
    if (code) tell(seen);
    says.replaceChildren(make("div", { textContent: `${now} of ${last}: ${frame ? frame.says : play.start}` }));
    if (now === last) says.append(make("div", { textContent: play.end }));
    if (code) markLine(frame);      // when it is known how much room the words leave
    slider.value = now;
    slider.setAttribute("aria-valuetext", `step ${now} of ${last}`);
    bar.value = frame ? frame.bytes : play.bytes;
    for (const [button, off] of [[back, now === 0], [next, now === last], ...(rest ? [[rest, now === last]] : [])]) {
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

  // Through all steps that are in the same module as the next one.
  const leave = () => {
    const module = (step) => frames[step]?.box && modules.module(frames[step].box), first = module(now);
    let step = now + 1;
    while (first && module(step) === first) step += 1;
    pause();
    go(step);
  };

  const back = button("◀ Back", () => (pause(), go(now - 1)));
  const start = button("▶ Play", toggle);
  const next = button("Step ▶", () => (pause(), go(now + 1)));
  const rest = modules && set(button("Module ▶▶", leave), { title: "Run the rest of this module (Page Down)" });
  const slider = set(make("input", { type: "range", min: 0, max: last, value: 0, oninput: () => (pause(), go(+slider.value)) }),
    { "aria-label": "Step" });
  const bar = set(make("meter", { min: 0, max: Math.max(1, play.bytes, ...frames.map(({ bytes }) => bytes)) }),
    { "aria-hidden": "true" });
  const says = set(make("div", { className: "says" }), { "aria-live": "polite" });
  const player = set(make("div", { className: `player${code ? " code-and-graph" : ""}${modules ? " of-modules" : ""}`, tabIndex: 0 },
    make("div", { className: "side" }, make("strong", { textContent: play.title }),
      make("div", { className: "buttons" }, back, start, next, ...(rest ? [rest] : []), slider, make("span", {}, "saved ", bar)),
      ...(code ? [code, says, names] : [says]), ...(modules ? [modules.side] : [])),
    ...(picture ? [picture.stage] : [])),
    { role: "group", "aria-label": `${play.title}. Arrow keys step, space plays and pauses.` });
  listen(player, (event) => {
    const action = {
      ArrowRight: () => (pause(), go(now + 1)), ArrowLeft: () => (pause(), go(now - 1)),
      Home: () => (pause(), go(0)), End: () => (pause(), go(last)), " ": toggle, PageDown: rest && leave,
    }[event.key];
    if (!action) return picture?.take(event);
    if (event.key === " " && event.target.tagName === "BUTTON") return false;      // it presses the button
    action();
    return true;
  });
  stills.replaceWith(make("style", { textContent: play.style }), player);
  go(0);
});
