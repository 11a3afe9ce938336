// The losses of the lab, as in dmlteach.losses, with gradients written by hand.
//
// Each takes a batch { z, labels, size, width }: z holds size × width numbers, row by row; and options. It returns
// { loss, active, gradient }: the share of what it compares that gives a gradient, and ∂ℓ/∂z as z is laid out. A loss with
// class vectors also takes `vectors`, and returns their gradient under the same names. distances.js stands before it.

const STEEPNESS = { alpha: 2, beta: 50, base: 0.5, epsilon: 0.1 }; // of multi-similarity
const ANCHOR = { alpha: 32, margin: 0.1 }; // of proxy-anchor
const TARGETS = 5; // of SST: nearest positives of each anchor

const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// --- over pairs

/** Mean over pairs of ½d² (same class) and ½[m − d]₊² (different classes). */
function contrastive(batch, { margin }) {
  const { size, labels } = batch, { d, slope } = distances(batch), g = new Float64Array(d.length);
  const pairs = Math.max(size * (size - 1), 1);
  let loss = 0, negatives = 0, active = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      if (i === j) continue;
      const at = i * size + j, same = labels[i] === labels[j], term = same ? d[at] : Math.max(margin - d[at], 0);
      loss += term ** 2 / 2 / pairs;
      g[at] = ((same ? term : -term) * slope[at]) / pairs;
      negatives += !same;
      active += !same && term > 0;
    }
  }
  return { loss, active: active / Math.max(negatives, 1), gradient: fromSquaredDistances(g, batch) };
}

/** Mean over anchors of 1/α log(1 + Σ_p exp(−α(S_ap − λ))) + 1/β log(1 + Σ_n exp(β(S_an − λ))), over the mined pairs. */
function multiSimilarity(batch) {
  const { z, labels, size, width } = batch, unit = normalized(z, size, width);
  const s = timesTransposed(unit.y, unit.y, size, size, width), g = new Float64Array(size * size);
  const { alpha, beta, base, epsilon } = STEEPNESS;
  let loss = 0, kept = 0;
  for (let a = 0; a < size; a++) {
    let leastPositive = Infinity, mostNegative = -Infinity;
    for (let j = 0; j < size; j++) {
      if (j === a) continue;
      if (labels[j] === labels[a]) leastPositive = Math.min(leastPositive, s[a * size + j]);
      else mostNegative = Math.max(mostNegative, s[a * size + j]);
    }
    const exponents = [[], []], members = [[], []]; // of positives, of negatives
    for (let j = 0; j < size; j++) {
      const at = a * size + j, same = labels[j] === labels[a];
      if (j === a || (same ? s[at] >= mostNegative + epsilon : s[at] <= leastPositive - epsilon)) continue;
      exponents[same ? 0 : 1].push(same ? -alpha * (s[at] - base) : beta * (s[at] - base));
      members[same ? 0 : 1].push(at);
    }
    [-1, 1].forEach((sign, side) => {
      const { value, shares } = logOnePlusSum(exponents[side]);
      loss += value / (side ? beta : alpha) / size;
      members[side].forEach((at, i) => { g[at] = (sign * shares[i]) / size; });
      kept += shares.length;
    });
  }
  const back = transposed(g, size, size).map((v, i) => v + g[i]);
  const gradient = fromNormalized(weighted(back, unit.y, size, size, width), unit, width);
  return { loss, active: kept / Math.max(size * (size - 1), 1), gradient };
}

/** log(1 + Σ exp(x)), and its derivative in each x. */
function logOnePlusSum(exponents) {
  const most = Math.max(0, ...exponents), parts = exponents.map((x) => Math.exp(x - most));
  const sum = parts.reduce((total, v) => total + v, Math.exp(-most));
  return { value: most + Math.log(sum), shares: parts.map((v) => v / sum) };
}

// --- over triplets

/** "all": mean over all triplets, those at 0 included, of [m + d(a,p) − d(a,n)]₊. */
function tripletAll(batch, margin) {
  const { labels, size } = batch, { d, slope } = distances(batch), g = new Float64Array(d.length);
  let loss = 0, active = 0, number = 0;
  for (let a = 0; a < size; a++) {
    for (let p = 0; p < size; p++) {
      if (p === a || labels[p] !== labels[a]) continue;
      for (let n = 0; n < size; n++) {
        if (labels[n] === labels[a]) continue;
        const hinge = margin + d[a * size + p] - d[a * size + n];
        number += 1;
        if (!(hinge > 0)) continue;
        active += 1;
        loss += hinge;
        g[a * size + p] += slope[a * size + p];
        g[a * size + n] -= slope[a * size + n];
      }
    }
  }
  const count = Math.max(number, 1);
  const gradient = fromSquaredDistances(g.map((v) => v / count), batch);
  return { loss: loss / count, active: active / Math.max(number, 1), gradient };
}

/** "hardest": mean over anchors of [m + max d(a,p) − min d(a,n)]₊. */
function tripletHardest(batch, margin) {
  const { labels, size } = batch, { d, slope } = distances(batch), g = new Float64Array(d.length);
  let loss = 0, active = 0, anchors = 0;
  for (let a = 0; a < size; a++) {
    let far = -1, near = -1;
    for (let j = 0; j < size; j++) {
      const at = a * size + j;
      if (labels[j] !== labels[a]) near = near < 0 || d[at] < d[near] ? at : near;
      else if (j !== a) far = far < 0 || d[at] > d[far] ? at : far;
    }
    if (far < 0 || near < 0) continue;
    anchors += 1;
    const hinge = margin + d[far] - d[near];
    if (!(hinge > 0)) continue;
    active += 1;
    loss += hinge;
    g[far] += slope[far];
    g[near] -= slope[near];
  }
  const count = Math.max(anchors, 1);
  const gradient = fromSquaredDistances(g.map((v) => v / count), batch);
  return { loss: loss / count, active: active / count, gradient };
}

const triplet = (batch, { margin, negatives }) => (negatives === "hardest" ? tripletHardest : tripletAll)(batch, margin);

/** The nearest positives of an anchor, ties by index. */
function targetsOf(a, d2, labels, size) {
  const positives = [];
  for (let j = 0; j < size; j++) if (j !== a && labels[j] === labels[a]) positives.push(j);
  return positives.sort((i, j) => d2[a * size + i] - d2[a * size + j] || i - j).slice(0, TARGETS);
}

/** Mean over triplets of log(1 + exp(d²(a,p) − ½[d²(a,n) + d²(p,n)])). */
function sst(batch) {
  const { labels, size } = batch, d2 = squaredDistances(batch), g = new Float64Array(d2.length);
  let loss = 0, active = 0, number = 0;
  for (let a = 0; a < size; a++) {
    for (const p of targetsOf(a, d2, labels, size)) {
      for (let n = 0; n < size; n++) {
        if (labels[n] === labels[a]) continue;
        const u = d2[a * size + p] - (d2[a * size + n] + d2[p * size + n]) / 2, weight = sigmoid(u);
        number += 1;
        loss += softplus(u);
        active += weight > 0.01;
        g[a * size + p] += weight;
        g[a * size + n] -= weight / 2;
        g[p * size + n] -= weight / 2;
      }
    }
  }
  const count = Math.max(number, 1);
  return { loss: loss / count, active: active / count, gradient: fromSquaredDistances(g.map((v) => v / count), batch) };
}

// --- with a vector for each class

/** The place of each row's largest value. */
function largest(values, rows, columns) {
  return Array.from({ length: rows }, (_, i) => {
    let best = 0;
    for (let j = 1; j < columns; j++) if (values[i * columns + j] > values[i * columns + best]) best = j;
    return best;
  });
}

/** Σ over proxies of log(1 + Σ_own exp(−α(s − δ))) / |P⁺| + log(1 + Σ_other exp(α(s + δ))) / |P|. */
function proxyAnchor(batch, { classes, vectors }) {
  const { z, labels, size, width } = batch, { alpha, margin } = ANCHOR;
  const unit = normalized(z, size, width), proxies = normalized(vectors.weight, classes, width);
  const s = timesTransposed(unit.y, proxies.y, size, classes, width), g = new Float64Array(s.length);
  const withOwn = Math.max(new Set(labels).size, 1), rows = Array.from({ length: size }, (_, i) => i);
  let loss = 0;
  for (let c = 0; c < classes; c++) {
    for (const sign of [-1, 1]) { // its own are pulled, the others pushed
      const members = rows.filter((i) => (labels[i] === c) === (sign < 0)), over = sign < 0 ? withOwn : classes;
      const { value, shares } = logOnePlusSum(members.map((i) => sign * alpha * (s[i * classes + c] + sign * margin)));
      loss += value / over;
      members.forEach((i, k) => { g[i * classes + c] = (sign * alpha * shares[k]) / over; });
    }
  }
  const active = largest(s, size, classes).filter((c, i) => c !== labels[i]).length / Math.max(size, 1);
  const back = weighted(transposed(g, size, classes), unit.y, classes, size, width);
  return {
    loss, active,
    gradient: fromNormalized(weighted(g, proxies.y, size, classes, width), unit, width),
    vectors: { weight: fromNormalized(back, proxies, width) },
  };
}

/** Mean over the batch of −log softmax(W z + b) at the example's own class. */
function softmax(batch, { classes, vectors }) {
  const { z, labels, size, width } = batch, scores = timesTransposed(z, vectors.weight, size, classes, width);
  const g = new Float64Array(scores.length), bias = new Float64Array(classes);
  for (let at = 0; at < scores.length; at++) scores[at] += vectors.bias[at % classes];
  let loss = 0;
  for (let i = 0; i < size; i++) {
    const row = scores.subarray(i * classes, (i + 1) * classes), most = Math.max(...row);
    const sum = row.reduce((total, v) => total + Math.exp(v - most), 0);
    loss += (most + Math.log(sum) - row[labels[i]]) / size;
    for (let c = 0; c < classes; c++) {
      g[i * classes + c] = (Math.exp(row[c] - most) / sum - (labels[i] === c ? 1 : 0)) / size;
      bias[c] += g[i * classes + c];
    }
  }
  const active = largest(scores, size, classes).filter((c, i) => c !== labels[i]).length / Math.max(size, 1);
  return {
    loss, active,
    gradient: weighted(g, vectors.weight, size, classes, width),
    vectors: { weight: weighted(transposed(g, size, classes), z, classes, size, width), bias },
  };
}

/** What can be chosen, by name; `sphere`: it normalizes, and so do its neighbors. */
const LOSSES = {
  contrastive: { compute: contrastive, margin: 1 },
  triplet: { compute: triplet, margin: 0.2 },
  sst: { compute: sst },
  multi_similarity: { compute: multiSimilarity, sphere: true },
  proxy_anchor: { compute: proxyAnchor, sphere: true, vectors: ["weight"] },
  softmax: { compute: softmax, vectors: ["weight", "bias"] },
};
