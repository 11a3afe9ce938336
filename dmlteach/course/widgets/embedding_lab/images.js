// Random numbers for the lab's training, and its images: unpacked, turned, moved.

const TURN = Math.PI / 12, SHIFT = 2; // the largest turn, and the largest shift in pixels

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
