// The embedding lab as a page of its own.

const numberIn = (low, high) => (part) => clamp(numbersOf(part, 1)[0], low, high);
const oneOfNumbers = (options) => (part) => Number(oneOf(options)(part));
const PAGE = {
  start: START, title: "lab", heading: "Embedding lab", file: "embedding-lab",
  read: {
    loss: oneOf(LOSS_NAMES),
    negatives: oneOf(NEGATIVES),
    margin: numberIn(0, 2),
    batches: oneOf(BATCHES),
    rate: oneOfNumbers(RATES),
    width: oneOfNumbers(WIDTHS),
    turns: truth,
    shuffled: truth,
    seed: (part) => Math.round(numberIn(0, 999)(part)),
    beside: oneOf(BESIDE),
    shown: oneOf(SHOWN),
    pace: oneOf(PACES),
    focus: (part) => Math.round(numberIn(0, 399)(part)),
    numbers: truth,
  },
};
