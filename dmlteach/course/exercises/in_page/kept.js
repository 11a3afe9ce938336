// What is kept in the browser: records as Python's progress file has them, each with the answer as JSON.
// Under file:// all files share one storage, so the key has a prefix, and a version in case its form changes.

const KEY = `dmlteach.progress.v${SAID.version}`, FIELDS = { status: "not yet", tries: 0, hints: 0, solution: false, when: "", answer: "" };
const isDone = (record) => [STATUS.right, STATUS.toCompare].includes(record.status);

/** Records by exercise from the text of a file or of the storage; throws where it holds something else. */
function parse(text) {
  const content = JSON.parse(text), version = content.version;
  if (!Number.isInteger(version)) throw new Error("no version");
  if (version > SAID.version) throw new Error("newer");
  const records = {};
  for (const [id, entry] of Object.entries(content.exercises)) {
    const record = { ...FIELDS };
    for (const [name, value] of Object.entries(FIELDS)) {
      if (name in entry) record[name] = entry[name];
      if (typeof record[name] !== typeof value) throw new Error(name);
    }
    if (!SAID.better.includes(record.status)) throw new Error("status");
    records[id] = record;
  }
  return records;
}

const asText = (records) => `${JSON.stringify({
  version: SAID.version,
  exercises: Object.fromEntries(Object.entries(records).sort(([a], [b]) => (a < b ? -1 : 1))),
}, null, 2)}\n`;

/** One record of two, as Python's `merged`: the better status, and of all else the most. */
function merged(mine, theirs) {
  if (!mine || !theirs) return mine ?? theirs;
  const rank = (record) => SAID.better.indexOf(record.status);
  const [first, second] = rank(theirs) > rank(mine) ? [theirs, mine] : [mine, theirs];
  return {
    status: first.status,
    tries: Math.max(mine.tries, theirs.tries),
    hints: Math.max(mine.hints, theirs.hints),
    solution: mine.solution || theirs.solution,
    when: mine.when > theirs.when ? mine.when : theirs.when,
    answer: first.answer || second.answer,
  };
}

/** All records; nothing where the browser keeps nothing. What cannot be read is put aside, not lost. */
function readKept() {
  let text = null;
  try { text = localStorage.getItem(KEY); } catch { /* forbidden: nothing is kept */ }
  if (text === null) return {};
  try {
    return parse(text);
  } catch (error) {
    if (error.message === "newer") throw error;
    let number = 1;
    while (localStorage.getItem(`${KEY}.damaged-${number}`) !== null) number += 1;
    localStorage.setItem(`${KEY}.damaged-${number}`, text);
    localStorage.removeItem(KEY);
    return {};
  }
}

/** All records; nothing where a newer version of the site has written them. */
function records() {
  try { return readKept(); } catch { return {}; }
}

/** Change all records at once; returns what is to say about it ("" if nothing). */
function changeKept(change) {
  try {
    const records = readKept();
    change(records);
    localStorage.setItem(KEY, asText(records));
    return "";
  } catch (error) {
    return error.message === "newer"
      ? "A newer version of this site keeps your answers in this browser; they are left as they are."
      : "This browser keeps no answers; they last until you leave the page.";
  }
}

/** Change the record of one exercise; returns as `changeKept`. */
function note(id, change) {
  return changeKept((records) => {
    const record = { ...FIELDS, ...records[id] }, before = JSON.stringify(record);
    change(record);
    if (JSON.stringify(record) !== before) record.when = `${new Date().toISOString().slice(0, 19)}+00:00`;
    records[id] = record;
  });
}

/** Note an answer that was checked. The answer that is kept is the last one, or the right one. */
const noteTry = (id, status, answer) => note(id, (record) => {
  const done = isDone(record);
  if (!done || status === record.status) record.answer = JSON.stringify(answer);
  if (!done) Object.assign(record, { status, tries: record.tries + 1 });
});
/** Keep an answer that is not marked, unless the one before it stays. */
const noteKept = (definition, status, answer) => (
  ![STATUS.kept, STATUS.toCompare].includes(status) || isSettled(definition, records()) ? ""
    : note(definition.id, (record) => {
      Object.assign(record, { status: STATUS.toCompare, tries: 1, answer: JSON.stringify(answer) });
    }));
/** Note what is being written, before it is checked. */
const noteDraft = (id, text) => note(id, (record) => { record.answer = text ? JSON.stringify(text) : ""; });
const noteHint = (id, stage) => note(id, (record) => { record.hints = Math.max(record.hints, stage); });
const noteSolution = (id) => note(id, (record) => { record.solution = true; });

/** Add the records of an exported file; returns { changed, problem }. Nothing here is deleted. */
function takeIn(text) {
  let theirs;
  try {
    theirs = parse(text);
  } catch (error) {
    const newer = error.message === "newer";
    return { changed: 0, problem: newer ? "A newer dmlteach has written this file; nothing was taken from it."
      : "This file holds no progress; take one that was exported here, or by dmlteach progress --export." };
  }
  let changed = 0;
  const problem = changeKept((records) => {
    for (const [id, record] of Object.entries(theirs)) {
      const both = merged(records[id], record);
      if (JSON.stringify(both) !== JSON.stringify(records[id])) changed += 1;
      records[id] = both;
    }
  });
  return problem ? { changed: 0, problem } : { changed, problem };
}
