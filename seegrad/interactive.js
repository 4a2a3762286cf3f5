// What the player and the switches have in common; it is inlined before each of them.
const make = (name, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
};

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
