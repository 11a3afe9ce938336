// What the embedding lab says, in words that its numbers bear out.

const percent = (v) => (v == null || Number.isNaN(v) ? "–" : `${Math.round(100 * v)} %`);
/** Three significant digits, without an exponent. */
const brief = (v) => (v == null || Number.isNaN(v) ? "–" : Math.abs(v) < 1e-6 ? "0"
  : text(v, clamp(2 - Math.floor(Math.log10(Math.abs(v))), 0, 6)));

/** What a training shows, each sentence with its condition. Of a training it takes `own` and `other`, the settings of the
 *  labs; `now` and `beside`, what is measured of them; `first`, before the first step; `early`, the first loss; `raw`. */
const FINDINGS = [
  ({ own, other, now, beside, raw }) => own.turns && other?.turns === false && now.unseen > raw && raw > beside.unseen &&
    `Only where drawings are turned and shifted does it pass raw pixels; without, it knows ${percent(beside.seen)} of those it ` +
    "learns from and stays below on the others.",
  ({ own, now, first }) => now.spread < 0.05 * first.spread && "All drawings lie almost in one place: the embedding has collapsed" +
    (own.loss === "triplet" && Math.abs(now.loss - own.margin) < 0.05 * own.margin ? ", and the loss rests at the margin." : "."),
  ({ own, now, first, early }) => own.shuffled && now.loss < early / 2 && now.unseen < first.unseen &&
    "The labels mean nothing, yet the loss has fallen below half; and unseen characters are found less often than by the " +
    "untrained network. A falling loss says nothing about them.",
  ({ own, other, now, beside }) => own.batches === "local" && other?.batches === "classes" && now.active > 1.4 * beside.active &&
    `Local batches keep ${percent(now.active)} of their tuples active, P × K batches ${percent(beside.active)}` +
    (now.unseen < beside.unseen + 0.06 ? "; unseen Recall@1 does not show it." : "."),
  ({ own, other, now, beside, first }) => own.loss === "softmax" && ["triplet", "sst"].includes(other?.loss) &&
    now.unseen > first.unseen + 0.2 && now.unseen > beside.unseen - 0.03 && "A plain classifier without its last layer is as good " +
    "here as a loss over triplets: why compare pairs at all?",
  ({ own, now, raw }) => own.width === 2 && now.unseen < raw &&
    "Two dimensions can be drawn whole, but they do not hold what sixteen can: raw pixels stay ahead.",
];
/** The sentences that hold once something is trained. */
const findings = (told) => (told.now.loss == null ? [] : FINDINGS.map((finding) => finding(told)).filter(Boolean));

/** The numbers of a state at rest in words, then what it shows. */
function inWords(told, label) {
  const { now, beside, first, raw } = told, words = [`Recall@1 of the ten unseen characters is ${percent(now.unseen)}; ` +
    `raw pixels reach ${percent(raw)}, the untrained network ${percent(first.unseen)}.`];
  if (beside) words.push(`The lab beside it (${label}) reaches ${percent(beside.unseen)}.`);
  if (now.loss != null) words.push(`The loss is ${brief(now.loss)}, and ${percent(now.active)} of the tuples are active.`);
  return words.concat(findings(told)).join(" ");
}
