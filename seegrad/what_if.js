// Shows one of the pictures at a time, and a choice for each name. Without scripts, all pictures stay in a row.
upgrade("what-if", (figure, { style, choices }) => {
  const pictures = [...figure.querySelector(".stills").children];
  const titles = pictures.map((picture) => picture.querySelector("strong").textContent);
  const chosen = choices.map(() => 0);

  const show = () => {
    const number = choices.reduce((sum, [, values], i) => sum * values.length + chosen[i], 0);
    pictures.forEach((picture, i) => { picture.hidden = i !== number; picture.style.display = i === number ? "" : "none"; });
    const caption = pictures[number].querySelector("figcaption");
    status.textContent = `${titles[number]}${caption ? `: ${caption.textContent}` : ""}`;
  };
  // Each group of buttons needs a name of its own on the page.
  const group = () => `seegrad-${Math.random().toString(36).slice(2)}`;
  const fields = choices.map(([name, values], i) => {
    const shared = group();
    return make("fieldset", {}, make("legend", { textContent: name }), ...values.map((value, k) =>
      make("label", {}, make("input", { type: "radio", name: shared, checked: k === 0,
        onchange: () => { chosen[i] = k; show(); } }), ` ${value} `)));
  });
  const status = make("div");
  status.setAttribute("aria-live", "polite");
  const panel = make("div", { className: "player" }, make("div", { className: "buttons" }, ...fields), status);
  listen(panel, () => false);
  figure.prepend(make("style", { textContent: style }), panel);
  show();
});
