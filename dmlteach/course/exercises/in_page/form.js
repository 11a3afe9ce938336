// A form below each exercise that a page can judge, and a line on what is kept. Without this script the
// page is as it was written: question, cell, hints.

/** An element with attributes and children; `on…` listens, `text` is its text. */
function make(name, { text, ...given } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(key, value);
    else element.setAttribute(key, value);
  }
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** Text whose `code` is set as code. */
const coded = (text) => text.split(/`([^`]+)`/).map((part, i) => (i % 2 ? make("code", { text: part }) : part));
/** The same with [links](address), as Python's replies have it. */
const inline = (text) => text.split(/(\[[^\]]+\]\([^)\s]+\))/).flatMap((part, i) => {
  if (i % 2 === 0) return coded(part);
  const [, words, href] = part.match(/^\[(.+)\]\((.+)\)$/);
  return [make("a", { href, text: words })];
});

/** A reply as Python's `Reply.html` has it. */
function replyBlock(definition, { status, words, expected, case: found, details }) {
  const block = make("div", { class: "dml-reply", "data-status": status });
  block.style.borderLeftStyle = SAID.borders[status];
  const mark = make("span", { "aria-hidden": "true", text: SAID.marks[status] });
  block.append(make("p", {}, mark, ` ${definition.heading}: `, make("strong", { text: status })));
  if (words) block.append(make("p", {}, ...inline(words)));
  const sign = UNMARKED.includes(definition.kind) ? ":" : " =";
  for (const [name, value] of found) block.append(make("p", { text: `${name}${sign} ${value}` }));
  if (expected) block.append(make("p", {}, "Expected: ", ...inline(expected)));
  if (details.length) block.append(make("ul", {}, ...details.map((line) => make("li", {}, ...inline(line)))));
  return block;
}

// --- a form for each kind: { parts, read, fill, doubts }; read gives undefined where there is no answer yet, and
// doubts, of forms that read texts, says what is doubtful in them

/** A field for each number, by its label. */
function numberFields(definition, name, labels) {
  const fields = labels.map((_, i) => make("input", {
    type: "text", inputmode: "text", autocomplete: "off", spellcheck: "false", id: `${name}-${i}`,
  }));
  const texts = () => fields.map((field) => field.value.trim());
  return {
    fields,
    rows: fields.map((field, i) => [make("label", { for: field.id, text: labels[i] }), " ", field]),
    read() {
      if (texts().includes("")) return undefined;
      fields.forEach((field) => field.setAttribute("aria-invalid", isUnreadable(definition, field.value)));
      return readNumbers(definition, texts()).answer;
    },
    fill(answer) {
      if (answer.length !== fields.length || !answer.every(Number.isFinite)) throw new Error("of another form");
      fields.forEach((field, i) => { field.value = String(answer[i]).replace("-", "−"); });
    },
    doubts: () => readNumbers(definition, texts()).doubts,
  };
}

function isUnreadable(definition, text) {
  try { readNumbers(definition, [text]); return false; } catch { return true; }
}

const FORMS = {
  number(definition, name) {
    const { several, parts, right } = definition;
    const labels = several ? right.map((_, i) => parts[i] ?? `Number ${i + 1} of ${right.length}`) : ["Your answer, a number"];
    const { rows, ...form } = numberFields(definition, name, labels);
    return { ...form, parts: rows.map((row) => make("p", several ? { class: "dml-several" } : {}, ...row)) };
  },

  choice(definition, name, before) {
    const letters = Object.keys(definition.options), list = listOf(letters, before);
    const boxes = {}, reasons = {};
    const rows = letters.map((letter, i) => {
      const words = make("span", { class: "dml-option" });
      if (list) words.append(...(list.children[i].querySelector("p") ?? list.children[i]).childNodes);
      else words.append(make("strong", { text: letter }), ": ", ...inline(definition.options[letter].text));
      boxes[letter] = make("input", { type: "checkbox", id: `${name}-${letter}`, onchange: () => show(letter) });
      reasons[letter] = make("input", {
        type: "text", class: "dml-reason", hidden: true, placeholder: "because …", autocomplete: "off",
        "aria-label": `Your reason for ${letter}; it is not marked`,
      });
      return make("div", { class: "dml-choice" }, make("label", { for: boxes[letter].id }, boxes[letter], words), reasons[letter]);
    });
    const show = (letter) => { reasons[letter].hidden = !boxes[letter].checked; };
    list?.remove();
    return {
      parts: [make("fieldset", {}, make("legend", { text: "Your choices; several may be right" }), ...rows)],
      read() {
        const chosen = letters.filter((letter) => boxes[letter].checked);
        return chosen.length ? Object.fromEntries(chosen.map((letter) => [letter, reasons[letter].value])) : undefined;
      },
      fill(answer) {
        for (const letter of letters) {
          boxes[letter].checked = letter in answer;
          reasons[letter].value = answer[letter] ?? "";
          show(letter);
        }
      },
    };
  },

  prediction(definition, name) {
    const { rows, ...form } = numberFields(definition, name, definition.parts), { unit } = definition;
    const asked = rows.map(([label, space, field]) => make("p", { class: "dml-number" },
      label, space, make("span", {}, field, unit ? ` ${unit}` : "")));
    return { ...form, parts: [make("fieldset", {}, make("legend", { text: `Your guess: ${definition.question}` }), ...asked)] };
  },

  predicted_choice(definition, name) {
    const boxes = Object.entries(definition.options).map(([letter, text]) => {
      const box = make("input", { type: "radio", name, value: letter, id: `${name}-${letter}` });
      return { box, row: make("div", { class: "dml-choice" }, make("label", { for: box.id }, box, make("span", { class: "dml-option" }, ...inline(text)))) };
    });
    return {
      parts: [make("fieldset", {}, make("legend", { text: `Your guess: ${definition.question}` }), ...boxes.map(({ row }) => row))],
      read: () => boxes.find(({ box }) => box.checked)?.box.value,
      fill(answer) {
        if (!Object.hasOwn(definition.options, answer)) throw new Error("of another form");
        for (const { box } of boxes) box.checked = box.value === answer;
      },
    };
  },

  reflection(definition, name) {
    const field = make("textarea", { rows: "5", id: name });
    const timer = { id: 0 };
    field.addEventListener("input", () => {
      clearTimeout(timer.id);
      timer.id = setTimeout(() => noteDraft(definition.id, field.value), 400);
    });
    field.addEventListener("change", () => noteDraft(definition.id, field.value));
    const label = make("label", { for: name, text: "Your answer, in a few sentences; it is not marked and stays in this browser" });
    return {
      parts: [label, field],
      read: () => (field.value.trim() ? field.value : undefined),
      fill: (answer) => { field.value = answer; },
    };
  },
};

FORMS.opening = FORMS.choice;
FORMS.closing = FORMS.choice;

/** The list of choices that stands in the question, if its letters are those of the definition. */
function listOf(letters, before) {
  for (let node = before, steps = 0; node && steps < 3; node = node.previousElementSibling, steps += 1) {
    if (node.tagName !== "UL") continue;
    const found = [...node.children].map((item) => item.querySelector("strong")?.textContent);
    return found.join() === letters.join() ? node : null;
  }
  return null;
}

/** Build the form of one exercise. */
function build(place) {
  const definition = JSON.parse(place.querySelector("script").textContent);
  const name = `answer-${definition.id.replace(".", "-")}`, cell = place.previousElementSibling;
  const form = FORMS[definition.kind](definition, name, cell), isUnmarked = UNMARKED.includes(definition.kind);
  const state = make("span", { class: "dml-state" }), said = make("div", { class: "dml-said", role: "status" });
  const say = (found, ...notes) => {
    said.replaceChildren(replyBlock(definition, found));
    said.firstChild.append(...notes.filter(Boolean).map((text) => make("p", {}, make("small", { text }))));
  };
  const answerIt = (event) => {
    event.preventDefault();
    const before = records()[definition.id];
    let found, problem = "";
    try {
      const answer = form.read();
      found = answer === undefined ? reply(STATUS.unanswered, "") : judge(definition, answer, records());
      if (answer !== undefined) {
        found.details.unshift(...(form.doubts?.() ?? []));
        problem = isUnmarked ? noteKept(definition, found.status, answer) : noteTry(definition.id, found.status, answer);
      }
    } catch (error) {
      found = reply(STATUS.notYet, error.message);
    }
    say(found, problem, earlier(before, found.status));
    showKept();
  };
  const pressed = isUnmarked ? "Keep my answer" : definition.kind === "reflection" ? "Compare" : "Check";
  const row = make("p", { class: "dml-row" }, make("button", { type: "submit", text: pressed }), state);
  place.append(make("form", { "aria-label": `Answer to ${definition.heading}`, onsubmit: answerIt }, ...form.parts, row, said));
  const isBare = cell?.classList.contains("tag_exercise") && (isUnmarked || cell.textContent.trim().split("\n").length <= 2);
  if (isBare) cell.classList.add("dml-code"); // nothing in it but the question for an answer
  if (!isUnmarked) countHints(definition.id, place.nextElementSibling);
  const isDraft = (record) => record.status === STATUS.notYet && !record.tries;
  const refill = (record) => {
    try {
      if (!record?.answer) return;
      const answer = JSON.parse(record.answer);
      form.fill(answer);
      if (!isDraft(record)) say(judge(definition, answer, records()));
    } catch { /* of another form: left empty */ }
  };
  /** What is known of an exercise whose answer is not here, e.g. one that was answered in a notebook. */
  const showState = (record) => {
    const isSaid = said.hasChildNodes() || !record || isDraft(record);
    const status = isUnmarked ? STATUS.kept : record?.status;
    state.textContent = isSaid ? "" : `${SAID.marks[status]} ${status}`;
  };
  return { id: definition.id, refill, showState };
}

/** What is said of the answer before, where it counts and the present one does not; "" elsewhere. */
function earlier(record, status) {
  if (!record || !isDone(record) || ![STATUS.notYet, STATUS.unanswered].includes(status)) return "";
  if (record.status === STATUS.right) return "An earlier answer of yours was right; it still counts.";
  return record.answer ? "Your earlier answer is still kept." : "";
}

/** Hints stand folded in each other, the solution innermost: opening one is noted. */
function countHints(id, first) {
  const folded = [];
  for (let node = first; node?.tagName === "DETAILS"; node = node.querySelector(":scope > details")) folded.push(node);
  folded.forEach((node, i) => node.addEventListener("toggle", (event) => {
    if (event.target !== node || !node.open) return;
    if (i === folded.length - 1) noteSolution(id);
    else noteHint(id, i + 1);
  }));
}

// --- what is kept, and its ways in and out

let exercises = [], overviews = [];

function showKept() {
  const all = records();
  for (const exercise of exercises) exercise.showState(all[exercise.id]);
  const done = exercises.filter(({ id }) => all[id] && isDone(all[id])).length;
  const words = exercises.length ? `Answered on this page: ${done} of ${exercises.length}. ` : "";
  for (const { count } of overviews) count.textContent = words;
  showGuesses(all);
}

function buildOverview(place) {
  const count = make("span"), said = make("p", { role: "status" });
  const file = make("input", { type: "file", accept: ".json,application/json", id: "dml-import", class: "dml-file" });
  file.addEventListener("change", async () => {
    if (!file.files.length) return;
    const { changed, problem } = takeIn(await file.files[0].text());
    said.textContent = problem || `Imported: ${changed} ${changed === 1 ? "exercise" : "exercises"} changed.`;
    file.value = "";
    const all = records();
    for (const exercise of exercises) exercise.refill(all[exercise.id]);
    showKept();
  });
  const exported = () => {
    const address = URL.createObjectURL(new Blob([asText(records())], { type: "application/json" }));
    make("a", { href: address, download: "dmlteach-progress.json" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
    said.textContent = "Exported as dmlteach-progress.json.";
  };
  place.append(
    make("p", {}, count, "Answers are kept in this browser alone, and are sent nowhere; an exported file is the copy "
      + "that lasts. ", make("code", { text: "dmlteach progress --import" }), " takes it, and this page takes what ",
    make("code", { text: "--export" }), " writes."),
    make("p", { class: "dml-row" },
      make("button", { type: "button", text: "Export my answers", onclick: exported }),
      make("label", { class: "dml-import", for: "dml-import" }, "Import a file ", file)),
    said,
  );
  return { count };
}

function start() {
  exercises = [...document.querySelectorAll(".dml-answer")].map(build);
  overviews = [...document.querySelectorAll(".dml-kept")].slice(0, 1).map(buildOverview);
  if (!exercises.length && !overviews.length && !document.querySelector(".dml-guess")) return;
  const all = records();
  for (const exercise of exercises) exercise.refill(all[exercise.id]);
  showKept();
  addEventListener("storage", showKept); // another page of the site, in another window
  for (const event of ["load", "resize"]) addEventListener(event, () => showGuesses(records())); // images have their size
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();

return { judge, numberOf, readNumbers, shown, parse, merged, asText, takeIn, aboutGuess, isSettled };
