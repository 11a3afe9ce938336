// A reader's guess beside what is measured: sentences under the figure, as Python's `Guessed` has them, and lines
// over the figure, at the places that its cell has told. Both are empty where nothing is kept.

const rounded = (x, digits) => Math.floor(x * 10 ** digits + 0.5) / 10 ** digits;
const withUnit = (x, unit) => `${shown(x)} ${unit}`.trim();

/** What is said of a guess: a list of numbers, or the letter of a choice. */
function aboutGuess(content, guess) {
  const { options, measured, unit, digits } = content;
  if (options) {
    return guess === measured ? [`Your guess: ${options[guess]}. That is what was measured.`]
      : [`Your guess: ${options[guess] ?? guess}. Measured: ${options[measured]}.`];
  }
  return content.parts.map((part, i) => {
    const mine = guess[i], found = measured[i], apart = rounded(Math.abs(mine - found), digits);
    const behind = ["%", "points"].includes(unit) ? " points" : ` ${unit}`.trimEnd();
    const words = apart ? `${apart.toFixed(digits)}${behind} ${found > mine ? "more" : "less"}` : "as you guessed";
    return `Your guess, ${part}: ${withUnit(mine, unit)}. Measured: ${`${found.toFixed(digits)} ${unit}`.trim()}, ${words}.`;
  });
}

/** The kept guess, if it is of the form that is asked for. */
function guessOf(content, record) {
  let guess;
  try { guess = JSON.parse(record?.answer || "null"); } catch { return null; }
  if (content.options) return typeof guess === "string" ? guess : null;
  const fits = Array.isArray(guess) && guess.length === content.parts.length;
  return fits && guess.every((x) => typeof x === "number") ? guess : null;
}

/** The figure before a place, and which of its drawings the window shows; an image of another shape is passed over. */
function pictureBefore(place, drawings) {
  const before = [...document.images].filter(
    (image) => image.compareDocumentPosition(place) & Node.DOCUMENT_POSITION_FOLLOWING);
  for (const image of before.slice(-4).reverse().filter((one) => one.offsetHeight > 0)) {
    const unlike = ({ shape }) => Math.abs(image.offsetWidth / image.offsetHeight / shape - 1);
    const [drawing] = [...drawings].sort((one, other) => unlike(one) - unlike(other));
    if (unlike(drawing) < 0.03) return { image, marks: drawing.marks };
  }
  return null;
}

const percent = (fraction) => `${(100 * fraction).toFixed(2)}%`;

/** A dashed line at a guess and its label, placed in fractions of the image. */
function line(content, mark, guess) {
  const [[low, start], [high, end]] = mark.at;
  const share = Math.min(Math.max((guess - low) / (high - low), 0), 1), at = start + share * (end - start);
  const [from, to] = [Math.min(...mark.span), Math.max(...mark.span)];
  const rule = document.createElement("span"), label = document.createElement("span");
  label.textContent = `${mark.label}: ${withUnit(guess, content.unit)}`;
  rule.className = `dml-rule dml-rule-${mark.axis}`;
  label.className = "dml-rule-label";
  if (mark.axis === "x") {
    Object.assign(rule.style, { left: percent(at), top: percent(from), height: percent(to - from) });
    Object.assign(label.style, { top: percent(from) }, at > 0.6 ? { right: percent(1 - at) } : { left: percent(at) });
  } else {
    Object.assign(rule.style, { top: percent(at), left: percent(from), width: percent(to - from) });
    Object.assign(label.style, at < 0.15 ? { top: percent(at) } : { bottom: percent(1 - at) },
      from > 0.5 ? { right: percent(1 - to) } : { left: percent(from) });
  }
  return [rule, label];
}

const showAgain = () => showGuesses(records());

/** Lines over the figure before a place, in place of those that were there. */
function drawOver(place, content, guess) {
  for (const old of document.querySelectorAll(".dml-marks")) if (old.dataset.of === content.id) old.remove();
  const found = guess && content.drawings ? pictureBefore(place, content.drawings) : null;
  if (!found) return;
  const { image, marks } = found;
  image.addEventListener("load", showAgain); // its other drawing, once the window is as wide or as narrow
  const inside = image.closest("picture") ?? image;
  let frame = inside.parentElement;
  if (!frame.classList.contains("dml-marked")) {
    frame = document.createElement("span");
    frame.className = "dml-marked";
    inside.replaceWith(frame);
    frame.append(inside);
  }
  const over = document.createElement("span");
  over.className = "dml-marks";
  over.dataset.of = content.id;
  over.setAttribute("aria-hidden", "true"); // the sentence under the figure says the same
  over.append(...marks.flatMap((mark) => line(content, mark, guess[mark.part])));
  frame.append(over);
}

/** Put every guess that is kept beside what is measured on this page. */
function showGuesses(records) {
  for (const place of document.querySelectorAll(".dml-guess")) {
    const data = place.querySelector("script");
    if (!data) continue;
    const content = JSON.parse(data.textContent), guess = guessOf(content, records[content.id]);
    for (const old of place.querySelectorAll("p")) old.remove();
    for (const sentence of guess === null ? [] : aboutGuess(content, guess)) {
      const said = document.createElement("p");
      said.textContent = sentence;
      place.append(said);
    }
    place.hidden = guess === null;
    drawOver(place, content, guess);
  }
}
