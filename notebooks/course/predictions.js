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

  // A letter answers the question that is on the screen; in a notebook of JupyterLab, that of the selected cell, where it would
  // add a cell. The other letters then open the other answers.
  const onScreen = (answer) => {
    const { top, bottom } = answer.getBoundingClientRect();
    return bottom > top && top >= 0 && bottom <= innerHeight && answer.checkVisibility({ visibilityProperty: true })
      && !answer.closest(".reveal section:not(.present)");
  };
  const isAnswered = (answers) => answers.some((answer) => answer.open);
  const onTheScreen = () => [...document.querySelectorAll("details.answer")]
    .filter((answer) => onScreen(answer) && (!inLab(answer) || answer.closest(".reveal, .jp-Cell.jp-mod-active"))).map(question);
  const asked = () => {
    const questions = onTheScreen();
    return questions.find((answers) => !isAnswered(answers)) ?? questions[0] ?? [];
  };

  // Shift+Enter in JupyterLab. On a folded heading it would run what is hidden, and go on: let it be seen. And on its way it comes
  // to a note that is not for students: go on to the next cell.
  const active = (selector) => document.querySelector(`.jp-Notebook .jp-MarkdownCell.jp-mod-active${selector}`);
  const advance = (event) => {
    active(" .jp-showHiddenCellsButton")?.click();
    const again = new KeyboardEvent("keydown", event);
    setTimeout(() => active(":has(details.lecturer)")?.checkVisibility() === false && document.activeElement.dispatchEvent(again), 50);
  };
  const stop = (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) return advance(event);
    if (event.target.closest?.("input, textarea, select, [contenteditable=true]")) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.toUpperCase();
    if (key === "V" && toggleVotes()) return stop(event);
    const chosen = asked().find((answer) => letterOf(answer) === key);
    if (!chosen) return;
    vote(chosen);
    chosen.open = true;
    chosen.querySelector("summary").focus();
    stop(event);
  }, true);
  document.addEventListener("click", ({ target }) => {
    const summary = target.closest?.("summary");
    if (isAnswer(summary?.parentNode)) vote(summary.parentNode);
  }, true);

  // `make lab FOR=lecturer` shows the notes for the lecturer.
  const settingsIn = (page) => JSON.parse(page.getElementById("jupyter-config-data")?.textContent ?? "{}");
  const settings = settingsIn(document);
  document.documentElement.classList.toggle("for-students", settings.courseFor !== "lecturer");

  // On a hub that counts votes (classroom/votes.py), the first answer to a question is a vote. Who may read the votes sees how many
  // there are, and with V how many chose each answer, until an answer is opened. Elsewhere nothing is asked for, and nothing changes.
  // A page of JupyterLab names the service, and holds a token for it. A page of RISE on a hub does not: it looks into that one.
  const settingsOfLab = async () => {
    if ("courseVotes" in settings || !/\/user\/[^/]+\/$/.test(settings.baseUrl)) return settings;
    const [, xsrf] = document.cookie.match(/\b_xsrf=([^;]*)/) ?? [];
    const page = await fetch(`${settings.baseUrl}lab`, { headers: { "X-XSRFToken": xsrf } });
    return settingsIn(new DOMParser().parseFromString(await page.text(), "text/html"));
  };
  const service = settingsOfLab().then(({ courseVotes, token }) => courseVotes &&
    (async (method, asks = "", body = undefined) => {
      const reply = await fetch(courseVotes + asks, { method, body, headers: { Authorization: `token ${token}` } });
      const says = await reply.text();
      if (reply.status >= 500) throw new Error(says);
      return reply.ok && JSON.parse(says || "{}");
    }));
  // Ask again where the service is not there: it comes back.
  const ask = async (...request) => {
    for (const seconds of [1, 3, 10, 30]) {
      try {
        return await (await service)?.(...request);
      } catch {
        await new Promise((wake) => setTimeout(wake, 1000 * seconds));
      }
    }
  };
  const headingOf = (answer) => answer.closest(".jp-Cell").querySelector("h2").textContent.replace("¶", "").trim();
  const vote = (answer) => {
    if (board || isAnswered(question(answer)) || !inLab(answer)) return;
    ask("POST", "", JSON.stringify({ question: headingOf(answer), answer: letterOf(answer) }));
  };

  // What who may read the votes has on the screen: a line at its lower edge, and bars in the answers.
  let board = null, barsOf = null;
  const makeBoard = () => {
    board = document.createElement("div");
    board.className = "course-votes";
    board.innerHTML = "<span role='status' aria-live='polite'></span> <button>Forget these votes</button>";
    board.querySelector("button").addEventListener("click", forgetVotes);
    (document.querySelector(".reveal") ?? document.body).append(board);
  };
  const draw = (answers, counts) => {
    const votes = answers.map((answer) => counts[letterOf(answer)] ?? 0), all = votes.reduce((sum, one) => sum + one);
    const bars = barsOf === headingOf(answers[0]);
    answers.forEach((answer, place) => {
      const summary = answer.querySelector("summary");
      summary.style.setProperty("--share", `${100 * votes[place] / Math.max(all, 1)}%`);
      if (bars) summary.dataset.votes = votes[place];
      else delete summary.dataset.votes;
    });
    board.querySelector("button").hidden = !bars;
    return bars ? answers.map((answer, place) => `${letterOf(answer)} ${votes[place]}`).join(", ")
      : `${all} ${all === 1 ? "vote" : "votes"}. V shows them.`;
  };
  const readVotes = async (always) => {
    const [answers] = onTheScreen(), status = board.querySelector("span");
    board.hidden = !answers || isAnswered(answers);
    if (!answers || document.hidden || board.hidden && !always) return;
    let says = "The votes cannot be read now.";
    try {
      const counts = await (await service)("GET", `?question=${encodeURIComponent(headingOf(answers[0]))}`);
      if (counts) says = draw(answers, counts);
    } catch { /* says so */ }
    if (status.textContent !== says) status.textContent = says;       // or it would be read out each second
  };
  const toggleVotes = () => {
    const [answers] = onTheScreen();
    if (!board || !answers) return false;
    barsOf = barsOf === headingOf(answers[0]) ? null : headingOf(answers[0]);
    readVotes(true);
    return true;
  };
  const forgetVotes = async () => {
    await ask("DELETE", `?question=${encodeURIComponent(barsOf)}`);
    readVotes(true);
  };
  ask("GET").then((who) => {
    if (!who?.reads) return;
    makeBoard();
    setInterval(readVotes, 1000);
  });

  window.addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details.answer, details.run")) fold.open = true;
  });
}
