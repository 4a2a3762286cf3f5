// In a question, an answer is a fold: <details class="answer"><summary>A. …</summary>. It opens without this script. What the
// script adds: a letter on the keyboard opens an answer too, and with the first answer opens what is folded under "Run it
// yourself". It serves JupyterLab, the pages and the decks.
if (!window.seegradPredictions) {
  window.seegradPredictions = true;
  const inLab = (element) => element.closest(".jp-NotebookPanel");
  const letterOf = (answer) => answer.querySelector("summary").textContent.trim()[0];
  const isAnswer = (element) => element?.matches("details.answer");

  // All answers to the question of one of them: they stand one under the other.
  const question = (answer) => {
    while (isAnswer(answer.previousElementSibling)) answer = answer.previousElementSibling;
    const all = [];
    for (; isAnswer(answer); answer = answer.nextElementSibling) all.push(answer);
    return all;
  };

  // Open what comes behind the cell of a question: a fold of a page, or in JupyterLab what the button of a folded heading hides.
  const openTheRun = (answer) => {
    let next = answer.closest(".jp-Cell, [id^='cell-id=']");
    while ((next = next?.nextElementSibling)) {
      if (next.querySelector("h2")) return;       // the next section
      if (next.matches("details.run")) return void (next.open = true);
      const button = inLab(next) && next.querySelector(".jp-showHiddenCellsButton");
      if (button) return void button.click();
    }
  };
  document.addEventListener("toggle", ({ target }) => {
    if (target.open && isAnswer(target)) openTheRun(target);
  }, true);

  // A letter answers the question that is on the screen; in a notebook of JupyterLab, that of the selected cell. Once it is
  // answered, the keys are JupyterLab's again, where A adds a cell.
  const onScreen = (answer) => {
    const { top, bottom } = answer.getBoundingClientRect();
    return bottom > top && top >= 0 && bottom <= innerHeight && answer.checkVisibility({ visibilityProperty: true });
  };
  const asked = () => [...document.querySelectorAll("details.answer")]
    .filter((answer) => onScreen(answer) && (!inLab(answer) || answer.closest(".reveal, .jp-Cell.jp-mod-active")))
    .map(question).find((answers) => !answers.some((answer) => answer.open)) ?? [];

  // Shift+Enter in JupyterLab. On a folded heading it would run what is hidden, and go on: let it be seen. And on its way it comes
  // to a note that is not for students: go on to the next cell.
  const active = (selector) => document.querySelector(`.jp-Notebook .jp-MarkdownCell.jp-mod-active${selector}`);
  const advance = (event) => {
    active(" .jp-showHiddenCellsButton")?.click();
    const again = new KeyboardEvent("keydown", event);
    setTimeout(() => active(":has(details.lecturer)")?.checkVisibility() === false && document.activeElement.dispatchEvent(again), 50);
  };
  window.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) return advance(event);
    if (event.target.closest?.("input, textarea, select, [contenteditable=true]")) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const chosen = asked().find((answer) => letterOf(answer) === event.key.toUpperCase());
    if (!chosen) return;
    chosen.open = true;
    chosen.querySelector("summary").focus();
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);

  // `make lab FOR=lecturer` shows the notes for the lecturer.
  const settings = JSON.parse(document.getElementById("jupyter-config-data")?.textContent ?? "{}");
  document.documentElement.classList.toggle("for-students", settings.courseFor !== "lecturer");

  window.addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details.answer, details.run")) fold.open = true;
  });
}
