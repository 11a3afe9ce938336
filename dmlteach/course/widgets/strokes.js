// Strokes as pixels, bit for bit as strokes.py: whole numbers only, each far below 2⁵³.

const DRAWN_SIDE = 105, SMALL_SIDE = 28, FINE = 16, RADIUS = 44, SHARES = 2 ** 16;

/** Strokes, lists of points [x, y] in pixels, as (105 × 105) bytes, ink 255 on 0. */
function drawStrokes(strokes) {
  const drawing = new Uint8Array(DRAWN_SIDE * DRAWN_SIDE);
  for (const stroke of strokes) {
    const points = stroke.map((point) => point.map((v) => Math.floor(v * FINE + 0.5)));
    for (let i = 0; i < Math.max(points.length - 1, 1); i++) inkLine(drawing, points[i], points[i + 1] ?? points[i]);
  }
  return drawing;
}

/** Ink each pixel whose middle is at most the pen's radius away from the line between two points. */
function inkLine(drawing, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0], length2 = dx * dx + dy * dy, r2 = RADIUS * RADIUS;
  const first = (a, b) => Math.max(Math.ceil((Math.min(a, b) - RADIUS) / FINE), 0);
  const last = (a, b) => Math.min(Math.floor((Math.max(a, b) + RADIUS) / FINE), DRAWN_SIDE - 1);
  for (let row = first(y0, y1); row <= last(y0, y1); row++) {
    for (let column = first(x0, x1); column <= last(x0, x1); column++) {
      const [u, v] = [FINE * column - x0, FINE * row - y0], [p, q] = [FINE * column - x1, FINE * row - y1];
      const t = u * dx + v * dy, across = u * dy - v * dx;
      const beside = length2 > 0 && t >= 0 && t <= length2 && across * across <= r2 * length2;
      if (beside || u * u + v * v <= r2 || p * p + q * q <= r2) drawing[row * DRAWN_SIDE + column] = 255;
    }
  }
}

/** (28 × 105) shares of 2¹⁶ with which old pixels become a new one, as lists of [old, share]. */
const shrinkingWeights = Array.from({ length: SMALL_SIDE }, (_, now) => {
  const eighths = Array.from({ length: DRAWN_SIDE }, (_, old) => Math.max(30 - Math.abs(8 * old + 4 - 30 * now - 15), 0));
  const total = eighths.reduce((sum, v) => sum + v);
  return eighths.map((v, old) => [old, Math.floor((2 * v * SHARES + total) / (2 * total))]).filter(([, share]) => share > 0);
});

/** A drawing as the network sees it: (28 × 28) bytes. */
function shrink(drawing) {
  const rows = new Uint8Array(DRAWN_SIDE * SMALL_SIDE), small = new Uint8Array(SMALL_SIDE * SMALL_SIDE);
  const weighted = (weights, value) => weights.reduce((sum, [old, share]) => sum + share * value(old), SHARES / 2) >> 16;
  for (let y = 0; y < DRAWN_SIDE; y++) {
    shrinkingWeights.forEach((weights, x) => { rows[y * SMALL_SIDE + x] = weighted(weights, (old) => drawing[y * DRAWN_SIDE + old]); });
  }
  shrinkingWeights.forEach((weights, y) => {
    for (let x = 0; x < SMALL_SIDE; x++) small[y * SMALL_SIDE + x] = weighted(weights, (old) => rows[old * SMALL_SIDE + x]);
  });
  return small;
}
