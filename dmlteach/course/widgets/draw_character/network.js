// The shipped network in the page: from 28 × 28 bytes to an embedding, with the rounded weights that the kernel has.

const GROUP_SIZE = 16, EPSILON = 1e-5; // of the group norms of dmlteach.models.OmniglotCNN

const bytesOf = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const floatsOf = (text) => new Float32Array(bytesOf(text).buffer); // every computer with a browser has the smallest byte first

/** A table of eight bits as the numbers that it stands for; products are rounded to fp32 as in the kernel. */
function unrounded({ whole, scale }) {
  const numbers = new Int8Array(bytesOf(whole).buffer), scales = floatsOf(scale), row = numbers.length / scales.length;
  return Float32Array.from(numbers, (v, i) => v * scales[Math.floor(i / row)]);
}

/** 3 × 3 convolution with a border of zeros: (inputs, side, side) → (outputs, side / stride, side / stride). */
function convolve(input, weights, inputs, side, stride) {
  const outputs = weights.length / inputs / 9, size = Math.ceil(side / stride), row = side + 2;
  const padded = new Float32Array(inputs * row * row), output = new Float32Array(outputs * size * size);
  for (let c = 0; c < inputs; c++) {
    for (let y = 0; y < side; y++) {
      padded.set(input.subarray((c * side + y) * side, (c * side + y + 1) * side), (c * row + y + 1) * row + 1);
    }
  }
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < inputs; c++) {
      const k = (o * inputs + c) * 9, w0 = weights[k], w1 = weights[k + 1], w2 = weights[k + 2], w3 = weights[k + 3],
        w4 = weights[k + 4], w5 = weights[k + 5], w6 = weights[k + 6], w7 = weights[k + 7], w8 = weights[k + 8];
      let to = o * size * size;
      for (let y = 0; y < size; y++) {
        let a = (c * row + y * stride) * row, b = a + row, d = b + row;
        for (let x = 0; x < size; x++, to++, a += stride, b += stride, d += stride) {
          output[to] += w0 * padded[a] + w1 * padded[a + 1] + w2 * padded[a + 2] + w3 * padded[b] + w4 * padded[b + 1] +
            w5 * padded[b + 2] + w6 * padded[d] + w7 * padded[d + 1] + w8 * padded[d + 2];
        }
      }
    }
  }
  return output;
}

/** Group norm and what is above zero of it, in place. */
function normalizeAndCut(values, weight, bias) {
  const area = values.length / weight.length;
  for (let start = 0; start < values.length; start += GROUP_SIZE * area) {
    const group = values.subarray(start, start + GROUP_SIZE * area);
    const mean = group.reduce((sum, v) => sum + v, 0) / group.length;
    const variance = group.reduce((sum, v) => sum + (v - mean) ** 2, 0) / group.length;
    const factor = 1 / Math.sqrt(variance + EPSILON);
    for (let i = 0; i < group.length; i++) {
      const channel = Math.floor((start + i) / area);
      group[i] = Math.max((group[i] - mean) * factor * weight[channel] + bias[channel], 0);
    }
  }
  return values;
}

/** The largest of each 2 × 2 pixels; a last odd row or column is left out. */
function pool(values, side) {
  const size = Math.floor(side / 2), output = new Float32Array(values.length / side / side * size * size);
  for (let i = 0; i < output.length; i++) {
    const channel = Math.floor(i / size / size), y = Math.floor(i / size) % size, x = i % size;
    const at = (channel * side + 2 * y) * side + 2 * x;
    output[i] = Math.max(values[at], values[at + 1], values[at + side], values[at + side + 1]);
  }
  return output;
}

/** The network that a script has brought: `embed` maps (28 × 28) bytes to D numbers. */
class Network {
  constructor({ mean, std, scale, tensors }) {
    Object.assign(this, { mean, std, scale });
    this.tensors = Object.fromEntries(Object.entries(tensors).map(([name, given]) =>
      [name, typeof given === "string" ? floatsOf(given) : unrounded(given)]));
  }

  layer(input, index, inputs, side, stride = 1) {
    const [weights, weight, bias] = [`${index}.weight`, `${index + 1}.weight`, `${index + 1}.bias`]
      .map((name) => this.tensors[`backbone.layers.${name}`]);
    return normalizeAndCut(convolve(input, weights, inputs, side, stride), weight, bias);
  }

  embed(pixels) {
    const input = Float32Array.from(pixels, (v) => (v / 255 - this.mean) / this.std);
    const first = this.layer(input, 0, 1, 28, 2); // 32 × 14 × 14
    const second = pool(this.layer(first, 3, 32, 14), 14); // 64 × 7 × 7
    const third = this.layer(second, 7, 64, 7); // 128 × 7 × 7
    const features = pool(this.layer(third, 10, 128, 7), 7); // 128 × 3 × 3
    const weights = this.tensors["head.linear.weight"], size = features.length;
    return this.tensors["head.linear.bias"].map((bias, row) =>
      features.reduce((sum, v, i) => sum + v * this.scale * weights[row * size + i], bias));
  }
}

/** One drawing of each character, and the network: the nearest of them to strokes. */
class Search {
  constructor({ network, gallery, typical, sheet }) {
    this.network = new Network(network);
    this.gallery = unrounded(gallery);
    Object.assign(this, { typical, sheet });
  }

  /** The characters nearest to strokes, the nearest first: { character, distance, similarity }. */
  nearest(strokes, k) {
    const z = this.network.embed(shrink(drawStrokes(strokes))), size = z.length;
    const found = Array.from({ length: this.gallery.length / size }, (_, character) => {
      const distance = Math.sqrt(z.reduce((sum, v, i) => sum + (v - this.gallery[character * size + i]) ** 2, 0));
      return { character, distance, similarity: Math.max(0, 1 - distance / this.typical) };
    });
    return found.sort((a, b) => a.distance - b.distance || a.character - b.character).slice(0, k);
  }
}
