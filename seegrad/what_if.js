// Shows one of the pictures at a time, and a choice for each name. Without scripts, all pictures stay in a row.
upgrade("what-if", (figure, { style, choices, titles, picture: all, shown }) => {
  const stills = figure.querySelector(".stills"), chosen = choices.map(() => 0);
  // Graphs are one picture, in which their boxes keep their places. Others lie on each other, so that the height stays.
  const picture = all && showPicture(all.svg, all);
  const draw = (number) => {
    const { absent, changes } = shown[number];
    picture.redraw(changes, Object.fromEntries(absent.map((key) => [key, "absent"])));
  };
  const lay = (number) => [...stills.children].forEach((still, i) => still.classList.toggle("chosen", i === number));

  const show = () => {
    const number = choices.reduce((sum, [, values], i) => sum * values.length + chosen[i], 0);
    (picture ? draw : lay)(number);
    const says = picture ? shown[number].says : stills.children[number].querySelector("figcaption")?.textContent;
    status.textContent = [titles[number], says].filter(Boolean).join(": ");
  };
  // Each group of buttons needs a name of its own on the page.
  const group = () => `seegrad-${Math.random().toString(36).slice(2)}`;
  const fields = choices.map(([name, values], i) => {
    const shared = group();
    return make("fieldset", {}, make("legend", { textContent: name }), ...values.map((value, k) =>
      make("label", {}, make("input", { type: "radio", name: shared, checked: k === 0,
        onchange: () => { chosen[i] = k; show(); } }), ` ${value} `)));
  });
  const status = set(make("div", { className: "status" }), { "aria-live": "polite" });
  const panel = make("div", { className: "player" },
    make("div", { className: "side" }, make("div", { className: "buttons" }, ...fields), status),
    ...(picture ? [picture.stage] : []));
  listen(panel, (event) => picture?.take(event));
  figure.prepend(make("style", { textContent: style }), panel);
  if (picture) stills.remove();
  else stills.classList.add("piled");
  show();
});
