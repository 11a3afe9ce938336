// The lab's training: images, network, optimizer, batches and what is measured. It knows no page; losses.js stands before it.

const HIDDEN = 128, BATCH = { classes: 8, each: 5 };
const SIZE = BATCH.classes * BATCH.each;
const TURN = Math.PI / 12, SHIFT = 2; // the largest turn, and the largest shift in pixels
const VECTORS_RATE = 10; // class vectors learn so many times as fast
const NOTHING = 1e-30; // a mean gradient below it is 0: a processor is slow with numbers near the smallest
const ITERATIONS = 10; // of k-means; more move few images

/** Numbers from 0 to 1 (Mulberry32); each purpose has a stream of its own, so that a choice changes only what it must. */
function stream(seed, purpose) {
  let state = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(purpose + 1, 0x85ebca6b);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const STREAMS = { network: 0, vectors: 1, batches: 2, images: 3, labels: 4, clusters: 5 };
const normal = (random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const filled = (Numbers, length, draw) => Numbers.from({ length }, draw);

/** `count` of the items in random order. */
function draw(items, count, random) {
  const left = [...items];
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random() * (left.length - i));
    [left[i], left[j]] = [left[j], left[i]];
  }
  return left.slice(0, count);
}
const shuffled = (items, random) => draw(items, items.length, random);
const upTo = (n) => Array.from({ length: n }, (_, i) => i);

// --- images

/** Drawings from two bits a pixel: ink 1 on 0. */
function unpackDrawings({ packed, side, count }) {
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  return upTo(count).map((i) => filled(Float32Array, side * side, (_, k) => {
    const at = i * side * side + k;
    return ((bytes[at >> 2] >> (6 - 2 * (at & 3))) & 3) / 3;
  }));
}

/** A drawing by so many quarter turns, counter-clockwise. */
function quarterTurned(image, side, turns) {
  let turned = image;
  for (let t = 0; t < turns; t++) {
    const before = turned;
    turned = image.map((_, at) => before[(at % side) * side + side - 1 - Math.floor(at / side)]);
  }
  return turned;
}

/** A drawing turned about its middle and shifted, at random; between pixels bilinearly. */
function moved(image, side, random) {
  const angle = (2 * random() - 1) * TURN, dx = (2 * random() - 1) * SHIFT, dy = (2 * random() - 1) * SHIFT;
  const cos = Math.cos(angle), sin = Math.sin(angle), middle = (side - 1) / 2, result = new Float32Array(side * side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const u = column - middle - dx, v = row - middle - dy;
      const x = cos * u + sin * v + middle, y = cos * v - sin * u + middle, left = Math.floor(x), top = Math.floor(y);
      if (left < -1 || top < -1 || left >= side || top >= side) continue;
      const at = (r, c) => (r < 0 || c < 0 || r >= side || c >= side ? 0 : image[r * side + c]);
      const fx = x - left, fy = y - top;
      result[row * side + column] = (1 - fy) * ((1 - fx) * at(top, left) + fx * at(top, left + 1)) +
        fy * ((1 - fx) * at(top + 1, left) + fx * at(top + 1, left + 1));
    }
  }
  return result;
}

// --- network and optimizer

/** The pixels of an image that are not 0, and their ink; zeros follow, up to a multiple of four. */
function inked(image) {
  let number = 0;
  for (let i = 0; i < image.length; i++) if (image[i] !== 0) number += 1;
  const pixels = new Int32Array(4 * Math.ceil(number / 4)), inks = new Float64Array(pixels.length);
  for (let i = 0, at = 0; i < image.length; i++) if (image[i] !== 0) [pixels[at], inks[at++]] = [i, image[i]];
  return { pixels, inks };
}

/** image → hidden, rectified → embedding. Most pixels are 0, so a drawing costs what its ink costs. */
class Network {
  constructor(inputs, hidden, width, random, Numbers = Float32Array) {
    Object.assign(this, { inputs, hidden, width, Numbers });
    const weights = (rows, columns, gain) => filled(Numbers, rows * columns, () => normal(random) * Math.sqrt(gain / rows));
    this.parameters = {
      first: weights(inputs, hidden, 2), firstBias: new Numbers(hidden),
      second: weights(hidden, width, 1), secondBias: new Numbers(width),
    };
  }

  /** Embeddings of images, (size, width); what `backward` needs is kept. */
  forward(images) {
    const { hidden, width } = this, { first, firstBias, second, secondBias } = this.parameters;
    const z = new Float64Array(images.length * width);
    this.inked = images.map(inked);
    this.hiddens = this.inked.map(({ pixels, inks }, i) => {
      const units = firstBias.slice(), out = z.subarray(i * width, (i + 1) * width);
      for (let p = 0; p < pixels.length; p += 4) { // four pixels at a time: the units are read and written once
        const a = pixels[p] * hidden, b = pixels[p + 1] * hidden, c = pixels[p + 2] * hidden, d = pixels[p + 3] * hidden;
        const u = inks[p], v = inks[p + 1], w = inks[p + 2], x = inks[p + 3];
        for (let k = 0; k < hidden; k++) units[k] += u * first[a + k] + v * first[b + k] + w * first[c + k] + x * first[d + k];
      }
      out.set(secondBias);
      for (let k = 0; k < hidden; k++) {
        const unit = units[k];
        if (unit <= 0) units[k] = 0;
        else for (let c = 0, at = k * width; c < width; c++) out[c] += unit * second[at + c];
      }
      return units;
    });
    return z;
  }

  /** Gradients of the parameters from that of the embeddings. */
  backward(gradient) {
    const { hidden, width, Numbers } = this, { first, second } = this.parameters;
    const sums = {
      first: new Numbers(first.length), firstBias: new Numbers(hidden),
      second: new Numbers(second.length), secondBias: new Numbers(width),
    };
    const ofFirst = sums.first;
    this.inked.forEach(({ pixels, inks }, i) => {
      const units = this.hiddens[i], g = gradient.subarray(i * width, (i + 1) * width), back = new Numbers(hidden);
      for (let c = 0; c < width; c++) sums.secondBias[c] += g[c];
      for (let k = 0; k < hidden; k++) {
        if (units[k] === 0) continue;
        let sum = 0;
        for (let c = 0; c < width; c++) {
          sums.second[k * width + c] += units[k] * g[c];
          sum += second[k * width + c] * g[c];
        }
        back[k] = sum;
        sums.firstBias[k] += sum;
      }
      for (let p = 0; p < pixels.length; p++) {
        const ink = inks[p], row = pixels[p] * hidden;
        if (ink !== 0) for (let k = 0; k < hidden; k++) ofFirst[row + k] += ink * back[k];
      }
    });
    return sums;
  }
}

/** Adam (Kingma & Ba, 2015), with its usual constants. */
class Adam {
  constructor() { this.moments = new Map(); }

  step(parameters, gradients, rate, step) {
    const correction = Math.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step), tiny = 1e-8 * Math.sqrt(1 - 0.999 ** step);
    for (const [name, values] of Object.entries(parameters)) {
      if (!this.moments.has(values)) this.moments.set(values, [values, values].map((v) => new v.constructor(v.length)));
      const [mean, square] = this.moments.get(values), g = gradients[name];
      for (let i = 0; i < values.length; i++) {
        mean[i] += 0.1 * (g[i] - mean[i]);
        if (Math.abs(mean[i]) < NOTHING) mean[i] = 0;
        square[i] += 0.001 * (g[i] * g[i] - square[i]);
        values[i] -= (rate * correction * mean[i]) / (Math.sqrt(square[i]) + tiny);
      }
    }
  }
}

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
  embed(images) {
    const z = this.network.forward(images);
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
    const { numSeen, width, images, character } = this, z = this.embed(images), at = numSeen * width;
    const seen = retrieval(z.subarray(0, at), character.slice(0, numSeen), width);
    const unseen = retrieval(z.subarray(at), character.slice(numSeen), width);
    return { step: this.step, z, seen: seen.recall, unseen: unseen.recall, spread: spread(z, images.length, width) };
  }
}
