// A graph folded by calls of modules. Each opens and folds, in the picture and in an outline of it, which show one state. The
// data and their wording come from folding.py; Graphviz draws its stills by the same rules. "T" is an index of texts.
// groups: [name T, kind T, group around it, [line T]]; the first is everything. rows: nodes, packed as folding.py says; unpacked:
// [name T, group, [[node, output]], [shape T of each output], [leaf T], [[state of a slot, [storage]]], [line T], count, title T
// of a module that made only it].
// guilty: [key of a box where all is open, [line], [line where it is folded]] of each mark.
// hiding: the nodes of which PyTorch does not show what they save. same: for a line of a leaf, its first one. tensors: [key,
// kind, [row], dashed, [[maker, output]], [user], named].
const FONT = '"DejaVu Sans", Verdana, sans-serif', SIZE = 15, SMALL = 13, LINE = 19, SLOT = 25, TITLE = 28;
const ON_SCREEN = 14 / 15;      // pixels in a unit of the picture, as in the other pictures
const MOST = 600;               // boxes that "all" opens
const MOST_ENDS = 4;            // boxes in a row, of those from which nothing leads on

const pen = document.createElement("canvas").getContext("2d"), widths = {};
const wide = (words, size = SIZE, weight = "normal") => widths[[size, weight, words]]
  ??= (pen.font = `${weight} ${size}px ${FONT}`, pen.measureText(words).width);
const sum = (values) => values.reduce((one, other) => one + other, 0);
const median = (values) => {
  const sorted = values.sort((one, other) => one - other), half = (sorted.length - 1) / 2;
  return (sorted[Math.floor(half)] + sorted[Math.ceil(half)]) / 2;
};

// Lay out what is inside one module: boxes in rows, and between them rows for the words of the arrows. A long arrow has a place
// of its own in each row that it passes, so that it runs through no box; all arrows from one box share it.
// items: the boxes, { key, w, h, into, out }: where strands cross the border of an open one, by their source, from its middle.
// strands: [source, key of the item that it comes from, Map from the key of a target to the words of the arrow]. What comes
// from outside has no item, and a target outside has the key "".
const layOut = (items, strands, title) => {
  const rows = [], spots = {}, into = {}, out = {}, routes = {}, before = {}, ranks = {};
  const put = (row, l, r, h, more) => {
    const spot = { row, l, r, h, up: [], down: [], x: 0, ...more };
    (rows[row] ??= []).push(spot);
    return spot;
  };
  const join = (a, b, more) => {
    const link = { a, b, out: 0, into: 0, score: 0, ...more };
    a.down.push(link), b.up.push(link);
    return link;
  };

  for (const { key } of items) before[key] = [];
  for (const [, from, to] of strands) if (from) for (const key of to.keys()) before[key]?.push(from);
  const rank = (key) => ranks[key] ??= Math.max(0, ...before[key].map(rank)) + 1;
  items.forEach(({ key }) => rank(key));
  for (const [, from, to] of strands) {      // what nothing leads to stands close to what it leads to
    const next = Math.min(...[...to.keys()].filter(Boolean).map((key) => ranks[key]));
    if (from && next < Infinity && !before[from].length && !strands.some(([, other, keys]) => !other && keys.has(from)))
      ranks[from] = next - 1;
  }
  const ends = {};      // in each row, how many stand there from which nothing leads on: many would make the picture wide
  for (const { key } of items) if (!strands.some(([, from]) => from === key)) {
    while (ends[ranks[key]] === MOST_ENDS) ranks[key] += 1;
    ends[ranks[key]] = (ends[ranks[key]] ?? 0) + 1;
  }
  for (const item of items) spots[item.key] = put(2 * ranks[item.key], item.w / 2 + 12, item.w / 2 + 12, item.h, { item });
  const last = Math.max(0, ...items.map(({ key }) => ranks[key])) + 1;
  for (const [source, from, to] of strands) {
    let trunk = from ? spots[from] : into[source] = put(0, 8, 8, TITLE);
    let start = spots[from]?.item.out?.[source] ?? 0, way = [trunk];
    const first = from ? ranks[from] : 0, targets = [...to].map(([key, words]) => [key, words, ranks[key] ?? last]);
    const far = Math.max(...targets.map(([, , end]) => end));
    for (let at = first + 1; at <= far; at++) {
      for (const [key, words, end] of targets) if (end === at) {
        const room = words ? wide(words, SMALL) + 15 : 8;
        const label = put(2 * at - 1, 8, room, words && LINE, { words });
        const target = spots[key] ?? (out[source] = put(2 * last, 8, 8, 0));
        const near = at === first + 1;
        label.links = [join(trunk, label, { out: start, near }),
          join(label, target, { into: spots[key]?.item.into?.[source] ?? 0, near })];
        routes[[source, key]] = [...way, label, target];
      }
      if (at < far) for (const row of [2 * at - 1, 2 * at]) {
        const pass = put(row, 8, 8, 0, { passes: true });
        join(trunk, pass, { out: start });
        way = [...way, trunk = pass], start = 0;
      }
    }
  }

  // Few crossings: each spot goes to the middle of those it is joined to, row by row, down and up.
  const used = rows.filter(Boolean);
  const number = () => used.forEach((row) => row.forEach((spot, at) => { spot.at = at; }));
  const crossings = () => sum(used.map((row) => {
    const links = row.flatMap((spot) => spot.down.map(({ out, b, into }) => [spot.at + out / 1e4, b.at + into / 1e4]));
    return sum(links.map(([a, b], i) => links.slice(0, i).filter(([c, d]) => (a - c) * (b - d) < 0).length));
  }));
  const arrange = (row) => {
    let x = -Infinity;
    for (const spot of row) spot.x = Math.max(spot.want, x + spot.l), x = spot.x + spot.r;
    const shift = sum(row.map(({ want, x }) => want - x)) / row.length;
    for (const spot of row) spot.x += shift;
  };
  for (const row of used) row.forEach((spot) => { spot.want = 0; }), arrange(row);
  number();
  let best = [crossings(), used.map((row) => [...row])];
  for (let sweep = 0; sweep < 8 && best[0]; sweep++) {
    for (const row of sweep % 2 ? [...used].reverse() : used) {
      for (const spot of row) {
        const near = sweep % 2 ? spot.down.map(({ b, into, out }) => b.x + into - out)
          : spot.up.map(({ a, into, out }) => a.x + out - into);
        spot.want = near.length ? sum(near) / near.length : spot.x;
      }
      row.sort((one, other) => one.want - other.want);
      arrange(row);
    }
    number();
    const now = crossings();
    if (now < best[0]) best = [now, used.map((row) => [...row])];
  }
  used.forEach((row, i) => row.splice(0, row.length, ...best[1][i]));
  number();

  // Straight lines: first what passes, then the middle one of the arrows between neighbours. What is straight is one block.
  const spread = (list, link) => Math.abs(list.indexOf(link) - (list.length - 1) / 2);
  const links = used.flatMap((row) => row.flatMap((spot) => {
    spot.up.sort((p, q) => p.a.at + p.out / 1e4 - q.a.at - q.out / 1e4);
    spot.down.sort((p, q) => p.b.at + p.into / 1e4 - q.b.at - q.into / 1e4);
    return spot.down;
  }));
  for (const link of links) if (link.a.passes && link.b.passes) link.score = 20;
  for (const { links: both } of used.flat()) if (both) {
    const score = 10 * both[0].near - spread(both[0].a.down, both[0]) - spread(both[1].b.up, both[1]);
    both.forEach((link) => { link.score = score; });
  }
  const straight = {};
  for (const link of links.sort((p, q) => q.score - p.score)) {
    const { a, b } = link, beside = straight[a.row] ??= [];
    if (a.next || b.prior || beside.some((other) => (other.a.at - a.at) * (other.b.at - b.at) < 0)) continue;
    a.next = b.prior = link;
    beside.push(link);
  }
  for (const { item, up, prior } of used.flat()) if (item && !item.into) {
    const middle = prior ? up.indexOf(prior) : (up.length - 1) / 2, most = item.w / 2 - 12;
    up.forEach((link, i) => { link.into = Math.max(-most, Math.min(most, 16 * (i - middle))); });
  }
  const blocks = [];
  for (const spot of used.flat()) if (!spot.prior) {
    const block = { x: null, spots: [] };
    for (let one = spot, by = 0; one; by += one.next ? one.next.out - one.next.into : 0, one = one.next?.b)
      Object.assign(one, { block, by }), block.spots.push(one);
    blocks.push(block);
  }
  const beside = (spot, step) => rows[spot.row][spot.at + step];
  const least = ({ spots }, x = (block) => block.x) => Math.max(...spots.map((spot) => {
    const left = beside(spot, -1);
    return left ? x(left.block) + left.by + left.r + spot.l - spot.by : -Infinity;
  }));
  const most = ({ spots }) => Math.min(...spots.map((spot) => {
    const right = beside(spot, 1);
    return right ? right.block.x + right.by - right.l - spot.r - spot.by : Infinity;
  }));
  const compact = (block) => block.x ??= Math.max(0, least(block, compact));
  blocks.forEach(compact);
  const settle = (block) => {
    const wants = block.spots.flatMap(({ up, down, prior, next, by }) => [
      ...up.filter((link) => link !== prior).map(({ a, out, into }) => a.block.x + a.by + out - into - by),
      ...down.filter((link) => link !== next).map(({ b, out, into }) => b.block.x + b.by + into - out - by)]);
    if (wants.length) block.x = Math.max(least(block), Math.min(most(block), median(wants)));
  };
  for (let sweep = 0; sweep < 6; sweep++) {
    blocks.sort((one, other) => (sweep % 2 ? one.x - other.x : other.x - one.x));
    blocks.forEach(settle);
  }

  // The title stands at the left, and no line runs through it.
  let left = Infinity, right = -Infinity, y = rows[0] || !title ? 0 : TITLE + 4;
  for (const spot of used.flat()) {
    spot.x = spot.block.x + spot.by;
    left = Math.min(left, spot.x - spot.l), right = Math.max(right, spot.x + spot.r);
  }
  for (const spot of Object.values(into)) left = Math.min(left, spot.x - 8 - title);
  right = Math.max(right, left + title);
  used.forEach((row, i) => {
    const high = Math.max(...row.map(({ h }) => h));
    let bend = 0;
    for (const spot of row) {
      spot.x -= left;
      Object.assign(spot, { above: y, below: y + high });
      if (spot.item) Object.assign(spot, { top: y + (high - spot.h) / 2 });
      for (const { b, out, into } of spot.down)
        bend = Math.max(bend, Math.abs(spot.block.x + spot.by + out - b.block.x - b.by - into));
    }
    y += high + (i < used.length - 1 ? (row[0].row % 2 ? 12 : 6) + Math.min(30, 0.14 * bend) : 0);
  });
  const w = right - left, from = (ports) => Object.fromEntries(Object.entries(ports).map(([key, { x }]) => [key, x - w / 2]));
  return { w, h: y + (Object.keys(out).length ? 0 : 12), spots, routes, into: from(into), out: from(out), all: used.flat() };
};

const unpack = (rows) => {
  const numbers = [], list = (field, one = Number) => (field ? field.split(",").map(one) : []);
  const nodes = rows.map((row, i) => {
    const [step, name, group, inputs, shapes, leaves, slots, lines, count, module] = row.split(";");
    numbers.push((numbers.at(-1) ?? 0) + +step);
    const input = (way) => { const [back, output = 0] = way.split(":"); return [i - back, +output]; };
    const slot = ([state, ...storages]) => [state, storages.length ? storages.join("").split("+").map(Number) : []];
    return [+name, +group, list(inputs, input), list(shapes), list(leaves), list(slots, slot), list(lines), +count, +module];
  });
  return { nodes, numbers };
};

// frames: of a play. decorate: what is to be done after each drawing.
const showModules = (data, frames = [], decorate = () => {}) => {
  const { texts, words, looks, fills, groups, rows: packed, storages, tensors, same = {}, hiding = [], guilty = [], open: first } = data;
  const { nodes, numbers } = unpack(packed);
  const frame = makeStage(), { stage, view } = frame, open = new Set([0, ...first]), lines = {};
  let picture = null, boxes = {}, columns = {}, shown = [], states = {}, letters = [], rows = {}, active = null;
  let passing = [], running = null;      // groups that are open only while the play is in them, and the box that runs
  const isOpen = (g) => open.has(g) || passing.includes(g);

  // What is where. A key is that of a group (g3), of a node (n12, by its number) or of a tensor (t0).
  const around = [], kids = groups.map(() => []), members = groups.map(() => []), nodeAt = {}, tensorAt = {};
  groups.forEach(([, , parent], g) => { around[g] = [...(around[parent] ?? []), g]; });
  nodes.forEach(([, group], i) => {
    nodeAt[`n${numbers[i]}`] = i;
    for (const g of around[group]) {
      if (g && !members[g].length) kids[groups[g][2]].push(`g${g}`);
      members[g].push(i);
    }
    kids[group].push(`n${numbers[i]}`);
  });
  for (const tensor of tensors) tensorAt[tensor[0]] = tensor;
  const numberOf = (key) => +key.slice(1), isGroup = (key) => key[0] === "g";
  const pathOf = (key) => isGroup(key) ? around[numberOf(key)].slice(0, -1) : key in nodeAt ? around[nodes[nodeAt[key]][1]] : [0];
  // The box in which something is seen.
  const boxOf = (key, isOpen) => {
    const folded = pathOf(key).find((g) => !isOpen(g));
    return folded === undefined ? key : `g${folded}`;
  };
  const home = (key) => boxOf(key, isOpen);

  // Words
  const comma = (number) => `${number}`.replace(/\B(?=(\d{3})+$)/g, ",");
  const counted = (number, forms) => forms[number === 1 ? 0 : 1].replace("{}", comma(number));
  const present = (list) => {
    const there = list.filter((i) => states[`n${numbers[i]}`] !== "absent");
    return there.length ? there : list;
  };
  const size = (ids, all) => {
    const known = [...ids].map((id) => storages[id]).filter((bytes) => bytes !== null), bytes = sum(known);
    return words.size[all && known.length === ids.size ? 0 : bytes ? 1 : 2].replace("{}", comma(bytes));
  };
  const held = (list, wanted) => {
    const ids = new Set();
    let count = 0, all = true;
    for (const i of list) nodes[i][5].forEach(([, ids_], k) => {
      if (!wanted.includes(letters[i][k])) return;
      count += 1;
      all &&= ids_.length > 0;
      ids_.forEach((id) => ids.add(id));
    });
    return { count, size: size(ids, all) };
  };
  const slots = (list) => [..."afc"].flatMap((state) => {
    const { count, size } = held(list, state);
    return count ? [{ state, words: words[state].replace("{count}", comma(count)).replace("{size}", size) }] : [];
  });
  const many = (list) => sum(list.map((i) => nodes[i][7]));
  const counts = (list) => {
    const leaves = new Set(list.flatMap((i) => nodes[i][4].map((leaf) => same[leaf] ?? leaf))).size;
    return counted(many(list), words.nodes) + (leaves ? `, ${counted(leaves, words.leaves)}` : "");
  };
  const titles = groups.map(([name, kind]) => `${texts[name]} ${texts[kind]}`.trim());
  // Its name is bold; a net has only a class.
  const titled = (g) => ({ words: titles[g], bold: texts[groups[g][0]] || titles[g] });
  const titledNode = (title) => ({ words: title, bold: title.replace(/(?<=.) [^ ]*$/, "") });
  const plain = (list) => list.map((text) => ({ words: texts[text] }));
  // The words of the marks on some boxes.
  const blames = (keys, folded = false) => guilty.filter(([key]) => keys.includes(key))
    .flatMap(([, own, inside]) => folded ? inside : own).map((words) => ({ words, bold: words, blames: true }));
  const rowsOf = (key) => {
    if (key in tensorAt)
      return [...rows[key].map((words, i) => ({ words, bold: !i && tensorAt[key][6] ? words : "" })), ...blames([key])];
    if (key in nodeAt) {
      const i = nodeAt[key], [name, , , , leaves, , more, , module] = nodes[i];
      return [...(module < 0 ? [] : [titledNode(texts[module])]), { words: `[${numbers[i]}] ${texts[name]}` }, ...plain(leaves),
        ...plain(more), ...slots([i]), ...blames([key])];
    }
    const g = numberOf(key), [, , , more] = groups[g], list = present(members[g]);
    const hidden = list.filter((i) => hiding.includes(i)).length;
    return [titled(g), { words: counts(list) }, ...plain(more), ...(hidden ? [{ words: counted(hidden, words.hiding) }] : []),
      ...slots(list), ...blames(members[g].map((i) => `n${numbers[i]}`), true)];
  };
  const said = (key) => rowsOf(key).map(({ words }) => words).join(", ");
  // A box has room for the rows that it will have in the play: what stands below stays where it is.
  const ever = nodes.map(([, , , , , slots]) => [slots.map(([letter]) => letter)]);
  for (const { changes } of frames) for (const [key, now] of changes) if (key in nodeAt) ever[nodeAt[key]].push([...now]);
  const rooms = {};
  const roomFor = (key) => rooms[key] ??= key in tensorAt ? 0
    : isGroup(key) ? new Set(members[numberOf(key)].flatMap((i) => ever[i].flat())).size
      : Math.max(...ever[nodeAt[key]].map((letters) => new Set(letters).size));
  const widest = {};
  const sizeOf = (key, rows) => {
    const sign = isGroup(key) ? wide("+ ", SIZE, "bold") : 0;
    const w = Math.max(...rows.map(({ words, bold = "", state }, i) =>
      wide(words.slice(bold.length)) + wide(bold, SIZE, "bold") + (i ? 0 : sign) + (state ? 16 : 0))) + 18;
    const texts = rows.filter(({ state }) => !state).length;
    return { w: widest[key] = Math.max(w, widest[key] ?? 0),
      h: LINE * texts + SLOT * Math.max(roomFor(key), rows.length - texts) + 8 + (sign && 5) };
  };
  const shapesOf = (results) => {
    const times = new Map();
    for (const [i, output] of results.values()) {
      const shape = texts[nodes[i][3][output]];
      if (shape) times.set(shape, (times.get(shape) ?? 0) + 1);
    }
    const all = [...times].map(([shape, count]) => shape + (count > 1 ? ` ×${count}` : ""));
    return all.slice(0, 2).join(", ") + (all.length > 2 ? ` and ${all.length - 2} more` : "");
  };

  // One arrow for each two boxes that are seen. It is absent, or gone, where all that goes along it is.
  const worse = (one, other) => [one, other].find((state) => state === "absent") ?? one ?? other;
  const stateOf = (all) => {
    const there = all.filter((state) => state !== "absent");
    return there.length ? there.every(Boolean) ? "gone" : "" : "absent";
  };
  const arrows = () => {
    const between = new Map();
    const add = (from, to, result) => {
      const ends = [home(from), home(to)];
      if (ends[0] === ends[1]) return;
      if (!between.has(`${ends}`)) between.set(`${ends}`, { ends, results: new Map(), all: [] });
      const arrow = between.get(`${ends}`);
      if (result) arrow.results.set(`${result}`, result);
      arrow.all.push(worse(states[from], states[to]));
    };
    nodes.forEach(([, , inputs], i) => inputs.forEach((result) => add(`n${numbers[result[0]]}`, `n${numbers[i]}`, result)));
    for (const [key, , , , makers, users] of tensors) {
      for (const [i] of makers) add(`n${numbers[i]}`, key);
      for (const i of users) add(key, `n${numbers[i]}`);
    }
    return [...between.values()].map(({ ends, results, all }) => ({ ends, words: shapesOf(results), state: stateOf(all) }));
  };

  // Lay all out: the inside of an open group first, which then is one box for what is around it.
  const layAll = () => {
    const strands = new Map([...open, ...passing].map((g) => [g, new Map()])), drawn = arrows(), ways = new Map();
    const add = (g, source, from, to, words) => {
      const known = strands.get(g);
      if (!known.has(source)) known.set(source, [source, from, new Map()]);
      known.get(source)[2].set(to, words);
    };
    for (const { ends: [from, to], words, state } of drawn) {
      const here = pathOf(from), there = pathOf(to), way = [];
      let shared = 0;
      while (shared < here.length && here[shared] === there[shared]) shared += 1;
      const step = (g, start, end, text) => (add(g, from, start, end, text), way.push([g, end]));
      for (let i = here.length - 1; i >= shared; i--) step(here[i], i === here.length - 1 ? from : `g${here[i + 1]}`, "", "");
      const start = here.length > shared ? `g${here[shared]}` : from;
      for (let i = shared - 1; i < there.length; i++) {
        const inside = i === there.length - 1;
        step(there[i], i < shared ? start : "", inside ? to : `g${there[i + 1]}`, inside ? words : "");
      }
      ways.set(`${from}->${to}`, { from, way, words, state });
    }
    const inside = new Map();
    const item = (key) => {
      const g = numberOf(key);
      if (isGroup(key) && isOpen(g)) {
        inside.set(key, layOutGroup(g));
        return { key, ...inside.get(key), open: true };
      }
      const rows = rowsOf(key);
      if (isGroup(key)) rows[0].sign = "+ ";
      return { key, rows, ...sizeOf(key, rows) };
    };
    const layOutGroup = (g) => {
      const keys = g ? kids[g] : [...tensors.filter(([, , , , , users]) => users.length).map(([key]) => key), ...kids[0],
        ...tensors.filter(([, , , , , users]) => !users.length).map(([key]) => key)];
      return layOut(keys.map(item), [...strands.get(g).values()], g ? wide(`− ${titles[g]}`, SIZE, "bold") + 28 : 0);
    };
    const whole = layOutGroup(0);
    inside.set("g0", whole);
    const settle = (laid, x, y, depth) => {
      Object.assign(laid, { x, y, depth });
      for (const { item, x: middle, top } of laid.all) if (item) {
        Object.assign(item, { x: x + middle - item.w / 2, y: y + top });
        if (item.open) settle(inside.get(item.key), item.x, item.y, depth + 1);
      }
    };
    settle(whole, 0, 0, 0);
    return { whole, inside, ways };
  };

  // Draw
  const textRow = ({ words, bold = "", sign = "" }, x, y, anchor) => {
    const text = svg("text", { x, y, "text-anchor": anchor });
    if (bold) text.append(svg("tspan", { "font-weight": "bold" }, sign + bold));
    text.append(words.slice(bold.length));
    return text;
  };
  const opens = (element, g) => set(element, { "data-opens": g, role: "button", "aria-expanded": isOpen(g), ...KEEP });
  const drawBox = ({ key, x, y, w, h, rows }) => {
    const all = isGroup(key) ? members[numberOf(key)].map((i) => states[`n${numbers[i]}`]) : [states[key]];
    const accused = rows.some(({ blames }) => blames) ? " guilty" : "";
    const group = svg("g", { class: `node ${stateOf(all)}${accused}`, "data-key": key });
    const kind = isGroup(key) ? "group" : key in nodeAt ? "node" : tensorAt[key][1];
    const look = { fill: fills[kind], "stroke-dasharray": tensorAt[key]?.[3] ? "5,2" : "none" };
    if (isGroup(key)) {     // as Graphviz draws its box3d
      group.append(svg("path", { ...look, d: `M${x},${y + 5}l5,-5h${w - 5}v${h - 5}l-5,5h${5 - w}z` }),
        svg("path", { class: "inner", d: `M${x},${y + 5}h${w - 5}v${h - 5}m0,${5 - h}l5,-5` }));
      opens(group, numberOf(key));
      y += 5, w -= 5;
    } else {
      group.append(svg("rect", { ...look, x, y, width: w, height: h, rx: kind === "node" ? 9 : 0 }));
      set(group, { ...KEEP, role: "img", "aria-label": said(key) });
    }
    let at = y + 4;
    for (const row of rows) {
      if (row.state) {
        const place = { x: x + 8, y: at + 2, width: w - 16, height: SLOT - 4 }, [inside, border] = looks[row.state];
        group.append(svg("rect", { ...place, ...inside, class: "slot" }),
          svg("rect", { ...place, ...border, class: "slot inner" }), textRow(row, x + 14, at + 17.5, "start"));
      } else {
        if (row.blames) group.append(svg("rect", { x: x + 8, y: at, width: w - 16, height: LINE, class: "slot blame" }));
        group.append(textRow(row, x + w / 2, at + 14.5, "middle"));
      }
      at += row.state ? SLOT : LINE;
    }
    return group;
  };
  const drawFrame = (key, { x, y, w, h, depth }) => {
    const g = numberOf(key), frame = svg("g", { class: "frame", "data-key": key });
    const title = opens(svg("g", { class: "title" }), g);
    title.append(svg("rect", { x, y, width: w, height: TITLE - 2, rx: 8 }),
      textRow({ ...titled(g), sign: "− " }, x + 10, y + 19, "start"));
    frame.append(svg("rect", { x, y, width: w, height: h, rx: 8, fill: fills.frames[depth % 2], stroke: fills.border }), title);
    return frame;
  };
  const drawArrow = (name, { from, way, words, state }, inside, taken) => {
    const group = svg("g", { class: `edge ${state}`, "data-key": name }), points = [];
    let label = null;
    for (const [g, target] of way) {
      const { x, y, routes } = inside.get(`g${g}`), route = routes[[from, target]];
      route.forEach((spot, i) => {
        const port = i ? route[i].up.find(({ a }) => a === route[i - 1]).into : route[0].down.find(({ b }) => b === route[1]).out;
        const item = spot.item, at = x + spot.x + (item ? port : 0);
        if (spot.words) label = [at, y + spot.above];
        if (!item) points.push([at, y + spot.above, y + spot.below]);
        else if (!i) points.push([at, y + spot.top + spot.h, y + spot.below]);
        else points.push([at, y + spot.above, y + spot.top]);
      });
    }
    points.at(-1)[2] -= 8;      // the head
    points.unshift([points[0][0], 0, points[0][1]]);
    const line = ([[x, , y], ...rest]) => rest.reduce((d, [right, top, bottom]) => {
      const half = (y + top) / 2, bend = right === x ? "" : `C${x},${half} ${right},${half} ${right},${top}`;
      [x, y] = [right, bottom];
      return `${d}${bend}V${bottom}`;
    }, `M${x},${y}`);
    // What several arrows from one box share is drawn once; the player needs the whole of each.
    const parts = points.map((point) => `${from} ${point}`), own = parts.findIndex((part) => !taken.has(part));
    parts.forEach((part) => taken.add(part));
    const [x, , y] = points.at(-1);
    group.append(svg("path", { d: line(points.slice(Math.max(0, own - 1))), "data-whole": line(points) }),
      svg("polygon", { points: `${x - 4},${y - 1} ${x},${y + 8} ${x + 4},${y - 1}` }));
    if (label) group.append(svg("text", { x: label[0] + 8, y: label[1] + 14 }, words));
    return group;
  };
  const draw = () => {
    const { whole, inside, ways } = layAll(), layers = ["frames", "edges", "nodes"].map((name) => svg("g", { class: name }));
    for (const key in lines) delete lines[key];
    boxes = {};
    const fill = (laid) => {
      for (const { item } of laid.all) if (item) {
        columns[item.key] = item.x + item.w / 2 + (Object.values(item.into ?? {})[0] ?? 0);
        layers[item.open ? 0 : 2].append(boxes[item.key] = item.open ? drawFrame(item.key, inside.get(item.key)) : drawBox(item));
        if (item.open) fill(inside.get(item.key));
      }
    };
    fill(whole);
    const taken = new Set();
    for (const [name, way] of ways) layers[1].append(lines[name] = drawArrow(name, way, inside, taken));
    layers[1].setAttribute("aria-hidden", "true");
    const w = whole.w + 16, h = whole.h + 16;
    picture = svg("svg", { viewBox: `-8 -8 ${w} ${h}`, "font-family": FONT, "font-size": SIZE });
    picture.append(...layers);
    frame.show(picture, ON_SCREEN * w, ON_SCREEN * w);
    list();
    decorate();
  };

  // The outline: a tree of what is open, of which one item has the focus. The same one is marked in the picture, by a thick
  // border and by a sign.
  const tree = set(make("div", { className: "tree" }), { role: "tree", "aria-label": "The modules" });
  const line = ({ words, bold = "" }) => [make("b", { textContent: bold }), words.slice(bold.length)];
  const list = () => {
    const focused = tree.contains(document.activeElement);
    shown = [];
    const add = (key, level, at, of) => {
      const g = isGroup(key) && numberOf(key), open = g && isOpen(g), own = g && present(members[g]);
      const sums = g ? `${counted(many(own), words.nodes)}, ${held(own, "ac").size}` : "";
      const sign = set(make("span", { className: "sign", textContent: g ? open ? "−" : "+" : "" }), { "aria-hidden": true });
      const item = set(make("div", { className: "item" }, sign, make("span", {}, ...line(rowsOf(key)[0]), rowsOf(key).some(({ blames }) => blames) && !open ? " ✗" : ""),
        make("span", { className: "sum", textContent: sums })), { ...(g ? { "aria-expanded": open } : {}), ...KEEP,
        role: "treeitem", "aria-level": level, "aria-posinset": at + 1, "aria-setsize": of, "aria-description": said(key),
        "data-key": key, style: `--level: ${level}` });
      shown.push({ key, item, level });
      if (open) kids[g].forEach((kid, i) => add(kid, level + 1, i, kids[g].length));
    };
    const top = [...kids[0], ...Object.keys(tensorAt)];
    top.forEach((key, i) => add(key, 1, i, top.length));
    tree.replaceChildren(...shown.map(({ item }) => item));
    mark();
    const ran = shown.find(({ key }) => key === running);
    if (ran) set(ran.item, { "aria-current": "step" }), reach(ran.item);
    if (focused) current().item.focus({ preventScroll: true });
  };
  const reach = (item) => {
    if (item.offsetTop < tree.scrollTop || item.offsetTop + item.offsetHeight > tree.scrollTop + tree.clientHeight)
      tree.scrollTop = item.offsetTop - tree.clientHeight / 3;
  };
  const current = () => shown.find(({ key }) => key === active) ?? shown[0];
  const handle = (key) => boxes[key].querySelector(".title") ?? boxes[key];
  const mark = () => {
    active &&= home(active);
    for (const element of view.querySelectorAll(".marked")) element.classList.remove("marked");
    view.querySelector(".pointer")?.remove();
    const { item } = current();
    for (const one of shown) {
      const tabindex = one.item === item ? 0 : -1;
      set(one.item, { tabindex, "aria-selected": one.key === active });
      set(handle(one.key), { tabindex });
    }
    if (!active) return;
    const { x, y } = boxes[active].getBBox();
    boxes[active].classList.add("marked");
    boxes[active].ownerSVGElement.append(svg("path", { class: "pointer", d: `M${x - 16},${y + 5}l14,9l-14,9z` }));
    reach(item);
  };
  // Go to a box: open what is around it, mark it, and bring it into view.
  const go = (key) => {
    const folded = pathOf(key).filter((g) => !isOpen(g));
    folded.forEach((g) => open.add(g));
    active = key;
    folded.length ? draw() : mark();
    const box = handle(key).getBoundingClientRect(), seen = view.getBoundingClientRect();
    if (box.left < seen.left || box.right > seen.right || box.top < seen.top || box.bottom > seen.bottom)
      frame.bringIntoView(handle(key));
  };
  // Open or fold a group. Its column stays where it was, and its title, or comes to where the pointer is.
  const toggle = (g, pointer) => {
    const key = `g${g}`, place = () => {
      const { top, bottom } = handle(key).querySelector("text").getBoundingClientRect(), { a, e } = boxes[key].getScreenCTM();
      return { x: a * columns[key] + e, y: (top + bottom) / 2 };
    };
    const before = place();
    if (isOpen(g)) open.delete(g), passing = passing.filter((one) => one !== g);
    else open.add(g);
    active = key;
    draw();
    const after = place(), box = handle(key).getBoundingClientRect(), x = before.x - after.x, at = pointer ?? before;
    frame.move(Math.max(at.x - box.right + 8, Math.min(at.x - box.left - 8, x)), at.y - after.y);
  };
  view.onclick = ({ target, clientX: x, clientY: y }) => {
    const box = target.closest("[data-opens], .node");
    if (!box) return;
    if (box.dataset.opens) toggle(+box.dataset.opens, { x, y });
    else active = box.dataset.key, mark();
    (frames.length ? view : handle(active)).focus({ preventScroll: true });      // the keys of a play step
  };
  tree.onclick = ({ target }) => {
    const key = target.closest("[data-key]")?.dataset.key;
    if (!key) return;
    isGroup(key) ? toggle(numberOf(key)) : go(key);
    current().item.focus({ preventScroll: true });
  };
  // The keys of a tree, in the outline and in the picture.
  const walk = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const inTree = tree.contains(event.target), focused = event.target.closest("[data-key]")?.dataset.key;
    if (!focused) return;
    active = focused;
    const at = shown.indexOf(current()), { key, level } = shown[at], g = isGroup(key) && numberOf(key), open = g && isOpen(g);
    const to = (one) => one && go(one.key), use = () => g ? toggle(g) : go(key);
    const named = ({ item }) => item.textContent.replace(/^[+−]|^\[\d+\] /, "").toLowerCase().startsWith(event.key.toLowerCase());
    const action = {
      ArrowDown: () => to(shown[at + 1]), ArrowUp: () => to(shown[at - 1]), Home: () => to(shown[0]), End: () => to(shown.at(-1)),
      ArrowRight: () => open ? to(shown[at + 1]) : g && toggle(g), Enter: use, " ": use,
      ArrowLeft: () => open ? toggle(g) : to(shown.slice(0, at).findLast((one) => one.level < level)),
    }[event.key] ?? (() => to([...shown.slice(at + 1), ...shown.slice(0, at)].find(named)));
    if (event.key.length === 1 ? !/[\p{L}_ ]/u.test(event.key) : !/^(Arrow|Home|End|Enter)/.test(event.key)) return;
    action();
    (inTree ? current().item : handle(current().key)).focus({ preventScroll: true });
    event.preventDefault();
    event.stopPropagation();
  };
  tree.onkeydown = view.onkeydown = walk;

  // All at once
  const says = set(make("div", { className: "status" }), { "aria-live": "polite" });
  const boxesIf = (level) => {
    const isOpen = (g) => around[g].length <= level + 1;
    return new Set([...nodes.map((_, i) => boxOf(`n${numbers[i]}`, isOpen)), ...Object.keys(tensorAt)]).size;
  };
  const all = () => {
    const deepest = Math.max(...around.map((path) => path.length - 1));
    let level = 1;
    while (level < deepest && boxesIf(level + 1) <= MOST) level += 1;
    groups.forEach((_, g) => { if (around[g].length <= level + 1) open.add(g); });
    draw();
    says.textContent = level === deepest ? "All modules are open."
      : `Opened as far as level ${level} of ${deepest}: more than ${MOST} boxes are too many to read.`;
  };
  const none = () => {
    open.clear();
    open.add(0);
    passing = [];
    draw();
    says.textContent = "All modules are folded.";
  };

  // Search: every word must be found, and what ends with them comes first. A path is made of the names of modules, without the
  // numbers of their calls; runs and stretches, which have a colon behind their name, are left out.
  const pathNames = (key) => [...pathOf(key).concat(isGroup(key) ? numberOf(key) : []).map((g) => texts[groups[g][0]]),
    titledNode(texts[nodes[nodeAt[key]]?.[8]] ?? "").bold].filter((name) => name && !name.endsWith(":"))
    .map((name) => name.replace(/ #\d+$/, "")).join(".");
  let entries = null;
  const index = () => entries ??= [
    ...groups.slice(1).map(([, kind], i) => [`g${i + 1}`, pathNames(`g${i + 1}`), texts[kind]]),
    ...nodes.flatMap(([kind, , , , leaves], i) => {
      const key = `n${numbers[i]}`, path = pathNames(key);
      return [[key, `[${numbers[i]}] ${texts[kind]}`, path],
        ...leaves.map((leaf) => [key, `${path}.${texts[leaf]}`, `[${numbers[i]}]`])];
    }),
    ...tensors.map(([key, , [name, ...more]]) => [key, name, ...more])];
  const find = (wanted) => {
    const parts = wanted.toLowerCase().split(/\s+/).filter(Boolean);
    const found = index().filter((entry) => {
      const text = entry.join(" ").toLowerCase();
      return parts.every((part) => text.includes(part));
    });
    const rank = ([, name]) => name.toLowerCase().endsWith(parts.join(" ")) ? 0 : name.toLowerCase().includes(parts[0]) ? 1 : 2;
    return parts.length ? found.sort((one, other) => rank(one) - rank(other)) : [];
  };
  const own = `seegrad-${Math.random().toString(36).slice(2)}`;      // ids of this figure
  const field = set(make("input", { type: "search", placeholder: "Search: a module, a parameter, a node" }), {
    role: "combobox", "aria-label": "Search for a module, a parameter or a node", "aria-controls": own, "aria-expanded": false,
    "aria-autocomplete": "list" });
  const results = set(make("div", { className: "results", id: own, hidden: true }),
    { role: "listbox", "aria-label": "What was found" });
  results.onpointerdown = (event) => event.preventDefault();      // the field keeps the focus
  let found = [], chosen = 0;
  const choose = (place) => {
    chosen = found.length ? (place + found.length) % found.length : 0;
    [...results.children].forEach((option, i) => option.setAttribute("aria-selected", i === chosen));
    field.setAttribute("aria-activedescendant", found.length ? `${own}-${chosen}` : "");
    results.children[chosen]?.scrollIntoView({ block: "nearest" });
    says.textContent = found.length ? `${chosen + 1} of ${found.length}` : field.value.trim() && "Nothing is called so.";
  };
  const reveal = (are) => {
    results.hidden = !are;
    field.setAttribute("aria-expanded", are);
  };
  field.oninput = () => {
    found = find(field.value);
    results.replaceChildren(...found.map(([key, name, ...more], i) => set(make("div",
      { id: `${own}-${i}`, onclick: () => (choose(i), go(key)) }, make("b", { textContent: name }), ` ${more.join(" ")}`),
    { role: "option" })));
    reveal(found.length > 0);
    choose(0);
  };
  field.onfocus = () => reveal(found.length > 0);
  field.onblur = () => reveal(false);
  field.onkeydown = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey && event.key === "Enter") return;
    const action = { ArrowDown: () => choose(chosen + 1), ArrowUp: () => choose(chosen - 1),
      Enter: () => found.length && go(found[chosen][0]), Escape: !results.hidden && (() => reveal(false)) }[event.key];
    if (event.key === "Escape" && !action) return;      // it leads out
    if (action) action(), event.preventDefault();
    event.stopPropagation();
  };

  // As a play leaves it: what is around the node that runs is open for the time being.
  const redraw = (changes, now, box) => {
    states = now;
    letters = nodes.map(([, , , , , slots]) => slots.map(([letter]) => letter));
    rows = Object.fromEntries(tensors.map(([key, , rows]) => [key, [...rows]]));
    for (const [key, ...change] of changes)
      if (key in nodeAt) letters[nodeAt[key]] = [...change[0]];
      else rows[key][change[0]] = change[1];
    passing = box ? pathOf(box) : [];
    running = box;
    const begins = !picture;
    draw();
    if (begins) view.scrollLeft = ON_SCREEN * columns[kids[0][0]] - view.clientWidth / 2;      // in its middle
  };
  const shape = (key) => boxes[home(key)].querySelector("rect, path"), byHand = (g) => open.has(g);
  const side = make("div", { className: "outline" }, make("div", { className: "search" }, field, results),
    make("div", { className: "buttons" }, button("− all", none), button("+ all", all), says), tree);
  return { stage, side, take: frame.take, redraw, home, outline: shape, box: (key) => boxes[home(key)],
    lines: (title) => [lines[title.split("->").map(home).join("->")]].filter(Boolean),
    bringIntoView: (key) => frame.bringIntoView(shape(key)),
    folded: (key) => isGroup(home(key)) && home(key),
    // What a reader sees as one: the folded box that a node is in, or else the open module around it.
    module: (key) => isGroup(boxOf(key, byHand)) ? boxOf(key, byHand) : `g${pathOf(key).at(-1)}` };
};

upgrade("modules", (figure, { title, style, ...data }) => {
  const { side, stage, take, redraw } = showModules(data);
  const panel = set(make("div", { className: "player of-modules", tabIndex: 0 },
    make("div", { className: "side" }, make("strong", { textContent: title }), side), stage),
    { role: "group", "aria-label": title });
  listen(panel, take);
  figure.querySelector(".stills").replaceWith(make("style", { textContent: style }), panel);
  redraw([], {});
});
