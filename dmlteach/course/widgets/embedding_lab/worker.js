// The lab's worker: trains as it is told, one or two labs side by side, and reports. losses.js and trainer.js stand before it.

let labs = [];

/** Two numbers of each lab over the steps since the last report, and how the drawings stand now. */
function report(trained) {
  return labs.map((lab, i) => {
    const number = Math.max(trained.length, 1), mean = (key) => trained.reduce((sum, results) => sum + results[i][key], 0) / number;
    return { ...lab.measure(), loss: trained.length ? mean("loss") : null, active: trained.length ? mean("active") : null };
  });
}

/** Recall@1 of the drawings as they are, pixel by pixel; in whole numbers, so that no rounding decides between equals. */
function rawPixels({ images, character, numSeen, side }) {
  const levels = (image) => Array.from(image, (ink) => Math.round(3 * ink));
  const of = (from, to) => retrieval(Float64Array.from(images.slice(from, to).flatMap(levels)), character.slice(from, to), side * side).recall;
  return { seen: of(0, numSeen), unseen: of(numSeen, images.length) };
}

/** { run, settings: [one, or two], characters } starts; { run, steps, milliseconds } trains until one of them is used up. */
self.onmessage = ({ data: { run, settings, characters, steps, milliseconds } }) => {
  if (settings) {
    labs = settings.map((one) => new Lab(characters, one));
    const { images, side, character } = labs[0];
    return self.postMessage({ run, reports: report([]), raw: rawPixels(labs[0]), images, side, character });
  }
  const trained = [], until = performance.now() + milliseconds;
  while (trained.length < steps && (!trained.length || performance.now() < until)) {
    trained.push(labs.map((lab) => lab.train()).map(({ loss, active }) => ({ loss, active })));
  }
  self.postMessage({ run, reports: report(trained) });
};
