// Judges as Python's `judge` does (kinds.py), from the definition that Python wrote.
// A reply: { status, words, expected, case: [[name, text]], details }.

const STATUS = SAID.statuses;

/** A number with four digits as Python's `f"{x:.4g}"` writes it: ties go to the even digit. */
function fourDigits(x) {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (x === 0) return Object.is(x, -0) ? "-0" : "0";
  const [mantissa, power] = Math.abs(x).toExponential(100).split("e"); // all digits there are
  const digits = mantissa.replace(".", ""), rest = digits.slice(4);
  let head = Number(digits.slice(0, 4)), exponent = Number(power);
  const half = "5".padEnd(rest.length, "0");
  if (rest > half || (rest === half && head % 2 === 1)) head += 1;
  if (head === 10000) { head = 1000; exponent += 1; }
  const sign = x < 0 ? "-" : "", shown = String(head);
  const trim = (text) => (text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  if (exponent < -4 || exponent >= 4) {
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${trim(`${shown[0]}.${shown.slice(1)}`)}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}${trim(`0.${"0".repeat(-exponent - 1)}${shown}`)}`;
  return `${sign}${trim(`${shown.slice(0, exponent + 1)}.${shown.slice(exponent + 1)}`)}`;
}

/** A number as Python's `shown` writes it: 0.3333, 75,240,000, 2 × 10⁻⁵. */
function shown(x) {
  const text = fourDigits(x), [mantissa, power] = text.split("e");
  if (Math.abs(x) >= 1 && Math.abs(x) < 1e15 && (power || Math.abs(x) >= 10000)) return grouped(x);
  const raised = power && String(Number(power)).replace(/./g, (sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]);
  return (power ? `${mantissa} × 10${raised}` : text).replace("-", "−");
}

/** A whole number with commas; halves go to the even one. */
function grouped(x) {
  const size = Math.abs(x), below = Math.floor(size), rest = size - below;
  const whole = below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0);
  return `${x < 0 ? "−" : ""}${String(whole).replace(/\B(?=(\d{3})+$)/g, ",")}`;
}

function reply(status, words, { expected = "", found = [], details = [] } = {}) {
  return { status, words, expected, case: found, details };
}

const KINDS = {
  /** answer: a list of numbers. */
  number(definition, answer) {
    const order = (list) => (definition.any_order && definition.several ? [...list].sort((a, b) => a - b) : list);
    const same = (one, other) => {
      const a = order(one), b = order(other);
      return a.every((x, i) => Math.abs(x - b[i]) <= definition.tolerance);
    };
    if (same(answer, definition.right)) return reply(STATUS.right, definition.right_words);
    const written = answer.map(shown), whole = definition.several ? `(${written.join(written.join("").includes(",") ? "; " : ", ")})` : written[0];
    const more = { expected: definition.means, found: [["your answer", whole]] };
    const mistake = definition.mistakes.find((wrong) => same(answer, wrong.value));
    const { large, small, percent, several } = definition.otherwise;
    if (mistake) return reply(STATUS.notYet, mistake.words, more);
    if (definition.several) return reply(STATUS.notYet, several, more);
    if (definition.percent === 0.01 && same([answer[0] / 100], definition.right)) return reply(STATUS.notYet, percent, more);
    return reply(STATUS.notYet, answer[0] > definition.right[0] ? large : small, more);
  },

  /** answer: { letter: reason }, with an empty reason where there is none. */
  choice(definition, answer) {
    const { options } = definition, letters = Object.keys(options);
    const chosen = letters.filter((letter) => letter in answer);
    const line = (letter) => {
      const reason = answer[letter] ?? "";
      return options[letter].line + (reason.trim() ? definition.your_reason.replace("{}", () => reason) : "");
    };
    if (letters.every((letter) => options[letter].right === letter in answer)) {
      return reply(STATUS.right, definition.right_words, { details: letters.map(line) });
    }
    const missing = letters.filter((letter) => options[letter].right && !(letter in answer)).length;
    const words = chosen.length ? definition.wrong_words : definition.none_words;
    return reply(STATUS.notYet, words, { expected: definition.expected[missing], details: chosen.map(line) });
  },

  /** answer: a list of numbers. */
  prediction(definition, answer) {
    const { parts, unit, least, most } = definition, expected = parts.join("; ");
    const outside = answer.find((x) => !(least <= x && x <= most));
    if (outside !== undefined) {
      const [given, low, high] = [outside, least, most].map((x) => `${shown(x)} ${unit}`.trim());
      return reply(STATUS.notYet, filled(definition.outside, given, low, high), { expected });
    }
    const small = unit === "%" && answer.some((x) => x !== 0) && answer.every((x) => x < 1);
    const found = parts.map((part, i) => [part, `${shown(answer[i])} ${unit}`.trim()]);
    return reply(STATUS.kept, definition.kept_words, { found, details: small ? [definition.small_words] : [] });
  },

  /** answer: a letter. */
  predicted_choice(definition, answer) {
    return reply(STATUS.kept, definition.kept_words, { found: [[answer, definition.options[answer]]] });
  },

  /** answer: { letter: reason }; nothing is told yet. */
  opening(definition, answer, records) {
    if (!Object.keys(answer).length) return noneOf(definition);
    const settled = isSettled(definition, records);
    return reply(STATUS.kept, settled ? definition.stays_words : definition.kept_words);
  },

  /** answer: { letter: reason }, beside that of the beginning. */
  closing(definition, answer, records) {
    const { options, called } = definition, letters = Object.keys(options);
    if (!Object.keys(answer).length) return noneOf(definition);
    let before = {};
    try { before = JSON.parse(records[definition.opening]?.answer || "{}") ?? {}; } catch { /* none that can be read */ }
    const own = (form, reason) => (typeof reason === "string" && reason.trim() ? form.replace("{}", () => reason) : "");
    const details = letters.map((letter) => options[letter].line + own(definition.first_reason, before[letter])
      + own(definition.your_reason, answer[letter]));
    const found = [
      [called.before, letters.filter((letter) => Object.hasOwn(before, letter)).join(", ") || called.none],
      [called.now, letters.filter((letter) => letter in answer).join(", ")],
    ];
    return reply(STATUS.toCompare, definition.right_words, { found, details: [...details, definition.measured] });
  },

  /** answer: a text. */
  reflection(definition, answer) {
    if (!answer.trim()) return reply(STATUS.unanswered, "");
    return reply(STATUS.toCompare, definition.words, { details: definition.compare });
  },
};

const noneOf = (definition) => reply(STATUS.notYet, definition.none_words, { expected: definition.expected });

/** Kinds that are kept and never marked. */
const UNMARKED = ["prediction", "predicted_choice", "opening", "closing"];
/** Whether the kept answer is not changed any more: the course has come back to the question. */
const isSettled = (definition, records) => Boolean({
  opening: records[definition.closing]?.answer, closing: records[definition.id]?.answer,
}[definition.kind]);

const judge = (definition, answer, records = {}) => KINDS[definition.kind](definition, answer, records);

const ONE_GROUP = /^[+-]?[1-9]\d{0,2},\d{3}$/; // 1,200: elsewhere it is 1.2

/** A number without percent sign and slash. */
function plainNumber(text) {
  let part = text.replace(/^([+-])\s+/, "$1");
  if (/^[+-]?[1-9]\d{0,2}([,\s_])\d{3}(\1\d{3})*(\.\d*)?$/.test(part)) part = part.replace(/[,\s_]/g, "");
  else if (/^[+-]?\d*,\d+$/.test(part)) part = part.replace(",", ".");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(part) ? Number(part) : NaN;
}

/** A number as people write it, as Python's `number_of`: { value, doubt }; undefined if it cannot be read. */
function numberOf(text, percent = null) {
  const bare = text.replaceAll("−", "-").trim(), inPercent = bare.endsWith("%");
  const parts = (inPercent ? bare.slice(0, -1) : bare).split("/").map((part) => part.trim());
  const [first, second = 1] = parts.map(plainNumber);
  const value = (first / second) * (inPercent ? percent : 1);
  if ((inPercent && percent === null) || parts.length > 2 || !Number.isFinite(value)) return undefined;
  if (inPercent && percent !== 1) return { value, doubt: filled(SAID.written.share, text.trim(), shown(value)) };
  const doubtful = parts.some((part) => ONE_GROUP.test(part));
  return { value, doubt: doubtful ? filled(SAID.written.thousands, text.trim()) : "" };
}

/** The texts of some fields as numbers, and what is doubtful in them: { answer, doubts }; throws as Python's `read`. */
function readNumbers({ percent, unit = "" }, texts) {
  const found = texts.map((text) => {
    const bare = text.trim(), number = unit && bare.endsWith(unit) ? bare.slice(0, -unit.length) : bare;
    const written = numberOf(number, percent);
    if (!written) throw new Error(filled(SAID.written[bare.endsWith("%") ? "no_percent" : "unreadable"], text));
    return written;
  });
  return { answer: found.map(({ value }) => value), doubts: found.map(({ doubt }) => doubt).filter(Boolean) };
}

const filled = (form, ...words) => words.reduce((text, word) => text.replace("{}", () => word), form);
