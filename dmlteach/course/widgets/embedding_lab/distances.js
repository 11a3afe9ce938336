// Distances and cosines in a batch { z, size, width }, and the way back from them to the points.

const NEAREST = 1e-6; // a distance is never taken as less: there its gradient has no direction

function squaredDistances({ z, size, width }) {
  const d2 = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += (z[i * width + k] - z[j * width + k]) ** 2;
      d2[i * size + j] = d2[j * size + i] = sum;
    }
  }
  return d2;
}

/** ∂ℓ/∂z from ∂ℓ/∂d²(i, j) of every ordered pair: Σ_j 2 (g_ij + g_ji) (z_i − z_j). */
function fromSquaredDistances(g, { z, size, width }) {
  const gradient = new Float64Array(size * width);
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      const weight = 2 * (g[i * size + j] + g[j * size + i]);
      if (weight === 0) continue;
      for (let k = 0; k < width; k++) {
        const pull = weight * (z[i * width + k] - z[j * width + k]);
        gradient[i * width + k] += pull;
        gradient[j * width + k] -= pull;
      }
    }
  }
  return gradient;
}

/** d of every pair, and ∂d/∂d² = 1/(2d), 0 where the floor holds. */
function distances(batch) {
  const d = squaredDistances(batch), slope = new Float64Array(d.length);
  for (let i = 0; i < d.length; i++) {
    d[i] = Math.sqrt(Math.max(d[i], NEAREST ** 2));
    slope[i] = d[i] > NEAREST ? 0.5 / d[i] : 0;
  }
  return { d, slope };
}

function normalized(x, rows, width) {
  const y = new Float64Array(x.length), inverse = new Float64Array(rows);
  for (let i = 0; i < rows; i++) {
    let sum = 1e-12;
    for (let k = 0; k < width; k++) sum += x[i * width + k] ** 2;
    inverse[i] = 1 / Math.sqrt(sum);
    for (let k = 0; k < width; k++) y[i * width + k] = x[i * width + k] * inverse[i];
  }
  return { y, inverse };
}

/** Back through x / ‖x‖: what lies along y vanishes, the rest is divided by ‖x‖. */
function fromNormalized(g, { y, inverse }, width) {
  inverse.forEach((scale, i) => {
    let along = 0;
    for (let k = 0; k < width; k++) along += g[i * width + k] * y[i * width + k];
    for (let k = 0; k < width; k++) g[i * width + k] = (g[i * width + k] - along * y[i * width + k]) * scale;
  });
  return g;
}

/** a bᵀ of (n, width) and (m, width), and a b of (n, m) and (m, width). */
function timesTransposed(a, b, n, m, width) {
  const product = new Float64Array(n * m);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += a[i * width + k] * b[j * width + k];
      product[i * m + j] = sum;
    }
  }
  return product;
}

function weighted(a, b, n, m, width) {
  const product = new Float64Array(n * width);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < m; j++) {
      const weight = a[i * m + j];
      if (weight !== 0) for (let k = 0; k < width; k++) product[i * width + k] += weight * b[j * width + k];
    }
  }
  return product;
}

function transposed(a, n, m) {
  const turned = new Float64Array(n * m);
  for (let i = 0; i < n; i++) for (let j = 0; j < m; j++) turned[j * n + i] = a[i * m + j];
  return turned;
}
