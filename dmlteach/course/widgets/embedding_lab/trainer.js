// The lab's training: batches, steps and what is measured. It knows no page; losses.js and network.js stand before it.

const HIDDEN = 128, BATCH = { classes: 8, each: 5 };
const SIZE = BATCH.classes * BATCH.each;
const VECTORS_RATE = 10; // class vectors learn so many times as fast
const ITERATIONS = 10; // of k-means; more move few images

// --- which images share a batch

/** Groups of neighbors in the embedding: k-means from random images. */
function clusters(z, size, width, count, random) {
  const centers = draw(upTo(size), count, random).map((i) => z.slice(i * width, (i + 1) * width));
  let members = [];
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    members = centers.map(() => []);
    for (let i = 0; i < size; i++) {
      let best = 0, least = Infinity;
      centers.forEach((center, c) => {
        let d2 = 0;
        for (let k = 0; k < width; k++) d2 += (z[i * width + k] - center[k]) ** 2;
        if (d2 < least) [best, least] = [c, d2];
      });
      members[best].push(i);
    }
    members.forEach((own, c) => {
      if (own.length) centers[c] = centers[c].map((_, k) => own.reduce((sum, i) => sum + z[i * width + k], 0) / own.length);
    });
  }
  return members.filter((own) => own.length);
}

const hasTriplet = (labels) => new Set(labels).size > 1 && new Set(labels).size < labels.length;

// --- what is measured

/** The nearest other row of each row, and the share of rows whose nearest is of their class. */
function retrieval(z, labels, width) {
  const nearest = labels.map((_, i) => {
    let best = -1, least = Infinity;
    for (let j = 0; j < labels.length; j++) {
      if (j === i) continue;
      let d2 = 0;
      for (let k = 0; k < width && d2 < least; k++) d2 += (z[i * width + k] - z[j * width + k]) ** 2;
      if (d2 < least) [best, least] = [j, d2];
    }
    return best < 0 ? (i === 0 ? 1 : 0) : best; // in a network that has no numbers any more, the first
  });
  return { nearest, recall: nearest.filter((j, i) => labels[j] === labels[i]).length / labels.length };
}

/** Root of the mean squared distance of the rows to their mean. */
function spread(z, size, width) {
  let sum = 0;
  for (let k = 0; k < width; k++) {
    let mean = 0;
    for (let i = 0; i < size; i++) mean += z[i * width + k] / size;
    for (let i = 0; i < size; i++) sum += (z[i * width + k] - mean) ** 2 / size;
  }
  return Math.sqrt(sum);
}

// --- the lab

/** A training that goes on step by step.
 *  characters: { packed, side, count, drawings (of each), seen (characters to learn from, the first) };
 *  settings: { loss, negatives, margin, batches, rate, width, turns (and shifts), shuffled (labels), seed }. */
class Lab {
  constructor(characters, settings) {
    const { side, drawings, seen } = characters, { seed, width, turns } = settings;
    Object.assign(this, { side, settings, width, step: 0, plan: [] });
    this.images = unpackDrawings(characters);
    this.ink = this.images.map(inked);
    this.character = this.images.map((_, i) => Math.floor(i / drawings));
    this.numSeen = seen * drawings;
    this.random = Object.fromEntries(Object.entries(STREAMS).map(([name, purpose]) => [name, stream(seed, purpose)]));
    const shown = this.character.slice(0, this.numSeen), quarters = turns ? [0, 1, 2, 3] : [0];
    const labels = settings.shuffled ? shuffled(shown, this.random.labels) : shown;
    this.classes = seen * quarters.length;
    this.items = labels.flatMap((label, i) => quarters.map((quarter) =>
      ({ image: quarterTurned(this.images[i], side, quarter), label: label * quarters.length + quarter })));
    this.network = new Network(side * side, HIDDEN, width, this.random.network);
    this.loss = LOSSES[settings.loss];
    this.vectors = Object.fromEntries((this.loss.vectors ?? []).map((name) => [name, name === "bias"
      ? new Float64Array(this.classes) : filled(Float64Array, this.classes * width, () => normal(this.random.vectors) / Math.sqrt(width))]));
    this.adam = new Adam();
  }

  /** Embeddings as they are compared: on the sphere where the loss is. */
  embed(images, ink) {
    const z = this.network.forward(images, ink);
    return this.loss.sphere ? normalized(z, images.length, this.width).y : z;
  }

  nextBatch() {
    const random = this.random.batches;
    if (this.settings.batches === "classes") {
      this.ofClass ??= upTo(this.classes).map((c) => upTo(this.items.length).filter((i) => this.items[i].label === c));
      return draw(this.ofClass, BATCH.classes, random).flatMap((members) => draw(members, BATCH.each, random));
    }
    for (let tries = 0; !this.plan.length && tries < 10; tries++) {
      this.plan = this.settings.batches === "local" ? this.neighborhoods() : this.pieces();
    }
    return this.plan.pop() ?? this.pieces()[0];
  }

  /** An epoch of random batches: all items, shuffled and cut. */
  pieces() {
    const order = shuffled(upTo(this.items.length), this.random.batches);
    return upTo(this.items.length / SIZE).map((i) => order.slice(i * SIZE, (i + 1) * SIZE));
  }

  /** An epoch of local batches: clusters of the items as they are embedded now. */
  neighborhoods() {
    const { items, width, random } = this, z = this.embed(items.map((item) => item.image));
    const groups = clusters(z, items.length, width, Math.floor(items.length / SIZE), random.clusters);
    return shuffled(groups, random.batches).map((own) => (own.length > SIZE ? draw(own, SIZE, random.batches) : own))
      .filter((own) => hasTriplet(own.map((i) => items[i].label)));
  }

  /** One step of training; returns the batch's loss and its share of active tuples. */
  train() {
    const { settings, side, width, classes, vectors } = this, items = this.nextBatch().map((i) => this.items[i]);
    const images = items.map(({ image }) => (settings.turns ? moved(image, side, this.random.images) : image));
    const batch = { z: this.network.forward(images), labels: items.map((item) => item.label), size: items.length, width };
    const result = this.loss.compute(batch, { ...settings, classes, vectors });
    this.step += 1;
    this.adam.step(this.network.parameters, this.network.backward(result.gradient), settings.rate, this.step);
    this.adam.step(vectors, result.vectors ?? {}, VECTORS_RATE * settings.rate, this.step);
    return result;
  }

  /** How the drawings stand now, as they are, without turns or shifts. */
  measure() {
    const { numSeen, width, images, character } = this, z = this.embed(images, this.ink), at = numSeen * width;
    const seen = retrieval(z.subarray(0, at), character.slice(0, numSeen), width);
    const unseen = retrieval(z.subarray(at), character.slice(numSeen), width);
    return { step: this.step, z, seen: seen.recall, unseen: unseen.recall, spread: spread(z, images.length, width) };
  }
}
