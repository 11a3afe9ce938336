// The principal plane of points of many dimensions, turned so that it moves as little as it can from the one before.

/** The principal plane of rows start … end - 1 of z. Returns the two coordinates of each row, and the share of variance. */
function principalPlane(z, width, start, end) {
  const size = end - start, mean = new Float64Array(width), covariance = new Float64Array(width * width);
  for (let i = start; i < end; i++) for (let k = 0; k < width; k++) mean[k] += z[i * width + k] / size;
  for (let i = start; i < end; i++) {
    for (let k = 0; k < width; k++) {
      for (let l = 0; l < width; l++) covariance[k * width + l] += ((z[i * width + k] - mean[k]) * (z[i * width + l] - mean[l])) / size;
    }
  }
  const total = mean.reduce((sum, _, k) => sum + covariance[k * width + k], 0), { values, vectors } = eigen(covariance, width);
  const axes = Array.from(values.keys()).sort((i, j) => values[j] - values[i]).slice(0, 2).map((i) => vectors[i]);
  const points = Array.from({ length: size }, (_, i) => axes.map((axis) =>
    axis.reduce((sum, v, k) => sum + v * (z[(start + i) * width + k] - mean[k]), 0)));
  const variance = points.reduce((sum, [x, y]) => sum + (x * x + y * y) / size, 0);
  return { points, share: total > 0 ? variance / total : 0 };
}

/** Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations. */
function eigen(matrix, n) {
  const a = Float64Array.from(matrix), v = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (__, k) => (i === k ? 1 : 0)));
  for (let sweep = 0; sweep < 30; sweep++) {
    let off = 0, trace = 0;
    for (let p = 0; p < n; p++) {
      trace += a[p * n + p] ** 2;
      for (let q = p + 1; q < n; q++) off += a[p * n + q] ** 2;
    }
    if (off <= 1e-24 * trace) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  return { values: Array.from({ length: n }, (_, i) => a[i * n + i]), vectors: v };
}

/** One rotation that makes a(p, q) zero; rows of v are the eigenvectors. */
function rotate(a, v, n, p, q) {
  const apq = a[p * n + q];
  if (apq === 0) return;
  const theta = (a[q * n + q] - a[p * n + p]) / (2 * apq), t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1), s = t * c;
  for (let k = 0; k < n; k++) {
    const [akp, akq] = [a[k * n + p], a[k * n + q]];
    a[k * n + p] = c * akp - s * akq;
    a[k * n + q] = s * akp + c * akq;
  }
  for (let k = 0; k < n; k++) {
    const [apk, aqk] = [a[p * n + k], a[q * n + k]];
    a[p * n + k] = c * apk - s * aqk;
    a[q * n + k] = s * apk + c * aqk;
    [v[p][k], v[q][k]] = [c * v[p][k] - s * v[q][k], s * v[p][k] + c * v[q][k]];
  }
}

/** Points turned, or mirrored and turned, to lie as near as they can to the points before. */
function turnedTo(points, before) {
  if (!before) return points;
  let [xx, xy, yx, yy] = [0, 0, 0, 0];
  points.forEach(([x, y], i) => {
    const [u, w] = before[i];
    xx += x * u; xy += x * w; yx += y * u; yy += y * w;
  });
  const turned = Math.hypot(xx + yy, xy - yx), mirrored = Math.hypot(xx - yy, xy + yx);
  if (turned >= mirrored) {
    const angle = Math.atan2(xy - yx, xx + yy), c = Math.cos(angle), s = Math.sin(angle);
    return points.map(([x, y]) => [c * x - s * y, s * x + c * y]);
  }
  const angle = Math.atan2(xy + yx, xx - yy), c = Math.cos(angle), s = Math.sin(angle);
  return points.map(([x, y]) => [c * x + s * y, s * x - c * y]);
}
