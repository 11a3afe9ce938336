// The lab's network and its optimizer. images.js stands before it.

const NOTHING = 1e-30; // a mean gradient below it is 0: a processor is slow with numbers near the smallest

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

  /** Embeddings of images, (size, width); what `backward` needs is kept. `ink` can be had once for images that stay. */
  forward(images, ink = images.map(inked)) {
    const { hidden, width } = this, { first, firstBias, second, secondBias } = this.parameters;
    const z = new Float64Array(images.length * width);
    this.images = images;
    this.hiddens = ink.map(({ pixels, inks }, i) => {
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
    const back = new Numbers(this.images.length * hidden); // of the units, before they are rectified
    this.hiddens.forEach((units, i) => {
      const g = gradient.subarray(i * width, (i + 1) * width);
      for (let c = 0; c < width; c++) sums.secondBias[c] += g[c];
      for (let k = 0; k < hidden; k++) {
        if (units[k] === 0) continue;
        let sum = 0;
        for (let c = 0; c < width; c++) {
          sums.second[k * width + c] += units[k] * g[c];
          sum += second[k * width + c] * g[c];
        }
        back[i * hidden + k] = sum;
        sums.firstBias[k] += sum;
      }
    });
    this.toPixels(back, sums.first);
    return sums;
  }

  /** The first layer's gradient: of each pixel, the images that have ink there, four at a time as in `forward`. */
  toPixels(back, sums) {
    const { images, inputs, hidden } = this, rows = new Int32Array(images.length + 3), inks = new Float64Array(images.length + 3);
    for (let pixel = 0; pixel < inputs; pixel++) {
      let number = 0;
      for (let i = 0; i < images.length; i++) {
        if (images[i][pixel] !== 0) [rows[number], inks[number++]] = [i * hidden, images[i][pixel]];
      }
      inks.fill(0, number, number + 3);
      for (let p = 0; p < number; p += 4) {
        const a = rows[p], b = rows[p + 1], c = rows[p + 2], d = rows[p + 3], at = pixel * hidden;
        const u = inks[p], v = inks[p + 1], w = inks[p + 2], x = inks[p + 3];
        for (let k = 0; k < hidden; k++) sums[at + k] += u * back[a + k] + v * back[b + k] + w * back[c + k] + x * back[d + k];
      }
    }
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
