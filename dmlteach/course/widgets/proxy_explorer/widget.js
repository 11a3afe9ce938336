// Proxy explorer: points of three classes on a circle, a proxy for each, and how much each point turns a proxy.
//
// Weights and values are closed forms below; they equal autograd of dmlteach's losses (tests/browser/test_proxy_explorer.py).

// --- four losses of the cosines (N × C): value, and the derivative with respect to each cosine

/** log Σ exp and its shares, of numbers that may be large. */
function logSumExp(numbers) {
  const top = Math.max(...numbers), parts = numbers.map((v) => Math.exp(v - top)), sum = parts.reduce((a, b) => a + b, 0);
  return { value: top + Math.log(sum), shares: parts.map((v) => v / sum) };
}

/** Mean over the points of −log softmax(logits) at the own class, and its derivative in each logit. */
function crossEntropy(logits, labels) {
  const rows = logits.map(logSumExp), n = logits.length;
  return {
    value: rows.reduce((sum, { value }, i) => sum + value - logits[i][labels[i]], 0) / n,
    weights: rows.map(({ shares }, i) => shares.map((p, c) => (p - (c === labels[i] ? 1 : 0)) / n)),
  };
}

/** cos(θ + m) of c = cos θ and its derivative; beyond θ = π − m it goes on as c − m sin m. */
function withMargin(c, m) {
  if (c < -Math.cos(m)) return [c - m * Math.sin(m), 1];
  const square = 1 - c * c, sine = Math.sqrt(Math.max(square, 1e-12));
  return [c * Math.cos(m) - sine * Math.sin(m), Math.cos(m) + (square < 1e-12 ? 0 : c / sine) * Math.sin(m)];
}

function byScale(scale, { value, weights }) {
  return { value, weights: weights.map((row) => row.map((w) => scale * w)) };
}

const normalizedSoftmax = (s, labels, scale) =>
  byScale(scale, crossEntropy(s.map((row) => row.map((c) => scale * c)), labels));

function arcface(s, labels, scale, margin) {
  const own = s.map((row, i) => withMargin(row[labels[i]], margin));
  const logits = s.map((row, i) => row.map((c, k) => scale * (k === labels[i] ? own[i][0] : c)));
  const { value, weights } = byScale(scale, crossEntropy(logits, labels));
  return { value, weights: weights.map((row, i) => row.map((w, k) => (k === labels[i] ? w * own[i][1] : w))) };
}

function proxyNCA(s, labels, scale) { // the own proxy is not in the sum
  const n = s.length, rows = s.map((row, i) => logSumExp(row.map((c, k) => (k === labels[i] ? -Infinity : scale * c))));
  return {
    value: rows.reduce((sum, { value }, i) => sum + value - scale * s[i][labels[i]], 0) / n,
    weights: rows.map(({ shares }, i) => shares.map((q, k) => (scale * (k === labels[i] ? -1 : q)) / n)),
  };
}

function proxyAnchor(s, labels, scale, margin) { // down the columns: each proxy sums over points, and a 1
  const classes = s[0].length, present = new Set(labels).size;
  let value = 0;
  const weights = s.map(() => new Array(classes).fill(0));
  for (let c = 0; c < classes; c++) {
    for (const [sign, mean] of [[-1, present], [1, classes]]) {
      const rows = s.map((_, i) => i).filter((i) => (labels[i] === c) === (sign < 0));
      const found = logSumExp([0, ...rows.map((i) => scale * (sign * s[i][c] + margin))]);
      value += found.value / mean;
      rows.forEach((i, k) => { weights[i][c] = (sign * scale * found.shares[k + 1]) / mean; });
    }
  }
  return { value, weights };
}

const FORMULAS = { normalized_softmax: normalizedSoftmax, arcface, proxy_nca: proxyNCA, proxy_anchor: proxyAnchor };
/** Value of a loss, and ∂L/∂s of every cosine, (N, C). */
export const listening = (loss, cosines, labels, scale, margin) => FORMULAS[loss](cosines, labels, scale, margin);

// --- the drawing's constants

const START = { loss: "normalized_softmax", scale: 1, margin: 0.1, scene: "one", proxies: [92, 214, 325], focus: 0, numbers: false };
const TAKEAWAY = "A proxy listens to points by their share of the gradient. A small scale lets it hear nearly all; a large one " +
  "only those that are on the wrong side or close to it. It stands for its class only where the class has one place.";
const SIDE = 214, RIM = 58, WIDEST = 14; // pixels
const COLOURS = ["#0072b2", "#cc79a7", "#e69f00"];
const SHAPES = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (r) => `M${-r * 0.9} ${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  (r) => `M0 ${-1.15 * r}L${1.1 * r} ${0.85 * r}H${-1.1 * r}Z`,
];
const PACE = 3; // degrees that Play moves a proxy by, at first
const RESTS = 0.02; // of all that turns it, what is left over where the rest cancels

const radians = (degrees) => (degrees * Math.PI) / 180;
const percent = (share) => (share > 0 && share < 0.01 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);
const tidy = (degrees) => (Math.round((((degrees % 360) + 360) % 360) * 10) / 10) % 360;

class ProxyExplorer extends Explorable {
  static figure = { name: "proxy_explorer", label: "which point does a proxy listen to", start: START, takeaway: TAKEAWAY, pace: 90 };

  begin() {
    this.recorded = this.model.get("recorded");
    this.pace = PACE;
  }

  get points() { return this.recorded.scenes[this.state.scene]; }
  get family() { return this.recorded.families[this.state.loss]; }
  get className() { return this.recorded.classes[this.state.focus]; }

  /** All that is shown, for the state as it stands. */
  found() {
    const { loss, scale, margin, proxies, focus } = this.state, { degrees, labels } = this.points;
    const cosines = degrees.map((at) => proxies.map((p) => Math.cos(radians(at - p))));
    const { value, weights } = listening(loss, cosines, labels, scale, margin);
    const forces = degrees.map((at, i) => weights[i][focus] * Math.sin(radians(at - proxies[focus])));
    const all = Math.max(forces.reduce((sum, f) => sum + Math.abs(f), 0), 1e-300), shares = forces.map((f) => Math.abs(f) / all);
    const turn = forces.reduce((sum, f) => sum + f, 0) / all, most = shares.indexOf(Math.max(...shares));
    let half = 0, left = 0.5 - 1e-9;
    for (const part of [...shares].sort((a, b) => b - a)) if (left > 0) { left -= part; half += 1; }
    const own = labels.map((label, i) => [label, i]).filter(([label]) => label === focus).map(([, i]) => i);
    const nearest = own.filter((i) => cosines[i].indexOf(Math.max(...cosines[i])) === focus).length;
    return { value, weights, forces, shares, turn, most, half, nearest, own: own.length, cosines };
  }

  given() { return [this.found()]; }

  place(c, degrees) {
    this.pace = PACE;
    this.change({ focus: c, proxies: this.state.proxies.map((p, k) => (k === c ? tidy(degrees) : p)) });
  }

  /** One small step of the focused proxy against its gradient; shorter each time it has gone too far. */
  advance() {
    const { proxies, focus } = this.state, way = -Math.sign(this.found().turn);
    if (this.way && way !== this.way) this.pace /= 2;
    this.way = way;
    if (!way || this.pace < 0.1) return false;
    this.change({ proxies: proxies.map((p, k) => (k === focus ? tidy(p + way * this.pace) : p)) });
    return true;
  }

  // - the controls

  toolbar() {
    this.states = Object.entries(this.recorded.states).map(([label, part]) =>
      [button(label, () => { this.stop(); this.change(structuredClone(part)); }), part]);
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ", ...this.states.map(([node]) => node))];
  }

  question() {
    if (this.state.scene === "two") return "Predict first: of the six points of A, how many at most can be nearer to its proxy than to another? Then drag it round the circle.";
    return `Predict first: half of what turns the proxy of A comes from how many of the ${this.points.degrees.length} points, at scale 32? Then move the scale.`;
  }

  controls() {
    const menu = (key, entries, chosen) => h("select", { "data-key": key, onchange: (event) => chosen(event.target.value) },
      ...entries.map(([value, label]) => h("option", { value }, label)));
    const labelled = (of) => Object.entries(of).map(([name, { label }]) => [name, label]);
    this.loss = menu("loss", labelled(this.recorded.families), (loss) => { this.pace = PACE; this.change({ loss }); });
    this.scene = menu("scene", labelled(this.recorded.scenes), (scene) => { this.stop(); this.change({ scene }); });
    const slider = (key, values) => {
      const input = h("input", { type: "range", min: 0, max: values.length - 1, step: 1, "data-key": key,
        oninput: (event) => { this.pace = PACE; this.change({ [key]: values[Number(event.target.value)] }); } });
      return { input, shown: h("output", {}), values };
    };
    this.sliders = { scale: slider("scale", this.recorded.scales), margin: slider("margin", this.recorded.margins) };
    this.marginPlace = h("label", {}, "margin", this.sliders.margin.input, this.sliders.margin.shown);
    this.playButton = button("Play", () => { this.pace = PACE; this.way = 0; this.play(); }, { "aria-label": "Play: let the proxy move" });
    return [h("label", {}, "loss", this.loss), h("label", {}, "scale", this.sliders.scale.input, this.sliders.scale.shown),
      this.marginPlace, h("label", {}, "points", this.scene), this.playButton, button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { loss, scene, scale } = this.state;
    this.loss.value = loss;
    this.scene.value = scene;
    for (const [key, { input, shown, values }] of Object.entries(this.sliders)) {
      input.value = values.indexOf(this.state[key]);
      set(input, { "aria-valuetext": this.state[key] });
      shown.textContent = this.state[key];
    }
    this.marginPlace.hidden = !this.family.margin;
    const same = (key, wanted) => (key === "margin" && !this.family.margin) || JSON.stringify(this.state[key]) === JSON.stringify(wanted);
    for (const [node, part] of this.states) {
      node.setAttribute("aria-pressed", Object.entries(part).every(([key, wanted]) => same(key, wanted)));
    }
    this.root.dataset.scale = scale;
  }

  onKey(event) {
    const target = event.target.closest?.("[data-proxy]"), sign = { ArrowLeft: 1, ArrowUp: 1, ArrowRight: -1, ArrowDown: -1 }[event.key];
    if (!target || !sign || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.stop();
    const c = Number(target.dataset.proxy);
    this.place(c, this.state.proxies[c] + sign * (event.shiftKey ? 1 : 5));
  }

  // - the drawing: a circle, its points, a proxy outside it for each class, and lines from the focused one

  shape() { return this.state.scene; }

  build() {
    const beside = this.width >= 580, size = Math.min(beside ? 340 : this.width, 340), radius = size / 2 - RIM;
    const at = (degrees, r) => [size / 2 + r * Math.cos(radians(degrees)), size / 2 - r * Math.sin(radians(degrees))];
    const { degrees, labels } = this.points;
    const svg = s("svg", { width: size, height: size, role: "group", "aria-label": "points and proxies on a circle" },
      s("circle", { class: "dml-circle", cx: size / 2, cy: size / 2, r: radius }));
    const lines = degrees.map(() => svg.appendChild(s("path", { class: "dml-heard" })));
    degrees.forEach((angle, i) => svg.append(s("path", { class: "dml-shape", d: SHAPES[labels[i]](6), fill: COLOURS[labels[i]],
      transform: `translate(${at(angle, radius)})` })));
    const turn = svg.appendChild(s("path", { class: "dml-turn" }));
    const handles = this.recorded.classes.map((name, c) => this.handle(svg, name, c, size));
    svg.addEventListener("click", (event) => { // instead of dragging: the focused proxy goes where the drawing is clicked
      const box = svg.getBoundingClientRect();
      this.stop();
      this.place(this.state.focus, this.angle(event.clientX - box.left, event.clientY - box.top, size));
    });
    this.told = { half: h("strong", { "data-of": "half" }), most: h("strong", { "data-of": "most" }), nearest: h("strong", { "data-of": "nearest" }),
      value: h("strong", { "data-of": "value" }) };
    this.drawings.push((found) => {
      const { proxies, focus } = this.state, from = at(proxies[focus], radius + 24);
      lines.forEach((line, i) => set(line, { d: `M${from}L${at(degrees[i], radius)}`, "data-share": found.shares[i],
        class: `dml-heard ${found.weights[i][focus] < 0 ? "dml-pull" : "dml-away"}`,
        "stroke-width": found.shares[i] < 0.002 ? 0 : Math.max(WIDEST * found.shares[i], 0.8) }));
      handles.forEach((draw, c) => draw(at(proxies[c], radius + 24), at(proxies[c], radius + 48), proxies[c], c === focus));
      set(turn, { d: this.arc(found.turn, proxies[focus], (angle) => at(angle, radius + 24)) });
      this.tell(found);
    });
    return [h("div", { class: "dml-panels", style: "gap:18px" }, svg,
      h("div", { style: `width:${beside ? Math.min(SIDE, this.width - size - 18) : this.width}px` }, ...this.beside()))];
  }

  angle(x, y, size) { return (Math.atan2(size / 2 - y, x - size / 2) * 180) / Math.PI; }

  /** Which way the focused proxy is turned: an arc outside it, as long as what the points do not cancel. */
  arc(turn, degrees, at) {
    if (Math.abs(turn) < RESTS) return "";
    const way = -Math.sign(turn), start = degrees + way * 9, end = start + way * (3 + 24 * Math.abs(turn)), tip = at(end + way * 3);
    const [x, y] = at(end), [u, v] = [tip[0] - x, tip[1] - y];
    return `M${at(start)}L${tip}M${x - v * 0.6} ${y + u * 0.6}L${tip}L${x + v * 0.6} ${y - u * 0.6}`;
  }

  handle(svg, name, c, size) {
    const label = s("text", { "text-anchor": "middle", class: "dml-letter" }, name), hit = s("circle", { class: "dml-hit" });
    const mark = s("path", { class: "dml-shape", d: SHAPES[c](11), fill: COLOURS[c] }), ring = s("circle", { class: "dml-ring", r: 15 });
    const node = s("g", { class: "dml-handle", "data-proxy": c, "data-key": `proxy${c}`, tabindex: 0, role: "slider",
      "aria-valuemin": 0, "aria-valuemax": 360 }, hit, ring, mark);
    svg.append(node, label);
    node.addEventListener("focus", () => this.state.focus !== c && this.change({ focus: c }));
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no text selection; the focus is set by hand
      this.stop();
      node.setPointerCapture(event.pointerId);
      node.focus();
    });
    node.addEventListener("pointermove", (event) => {
      if (!node.hasPointerCapture(event.pointerId)) return;
      const box = svg.getBoundingClientRect();
      this.place(c, this.angle(event.clientX - box.left, event.clientY - box.top, size));
    });
    node.addEventListener("click", (event) => event.stopPropagation());
    node.addEventListener("touchstart", (event) => event.preventDefault()); // a finger on it must not move the page
    return (where, beyond, degrees, focused) => {
      for (const part of [hit, ring]) set(part, { cx: where[0], cy: where[1] });
      set(mark, { transform: `translate(${where})` });
      set(label, { x: beyond[0], y: beyond[1] + 5 });
      set(node, { "aria-valuenow": Math.round(degrees), "aria-valuetext": `${Math.round(degrees)} degrees`,
        "aria-label": `proxy of class ${name}`, "data-focused": focused });
    };
  }

  /** What stands beside the drawing. */
  beside() {
    const { half, most, nearest, value } = this.told;
    return [h("p", {}, "half of what turns it comes from: ", half), h("p", {}, "most from: ", most),
      h("p", {}, "of its class, nearest to it: ", nearest), h("p", {}, "loss: ", value),
      h("p", { class: "dml-legend" }, "Outside the circle: proxies; drag one, or focus it and use the arrow keys. Solid line: a point draws it; " +
        "dashed: pushes it away; the wider, the larger its share. The arrow: where it is turned.")];
  }

  tell({ half, shares, most, nearest, own, value }) {
    const { degrees, labels } = this.points;
    this.told.half.textContent = `${half} of ${degrees.length} points`;
    this.told.most.textContent = `${this.recorded.classes[labels[most]]} at ${degrees[most]}°, ${percent(shares[most])}`;
    this.told.nearest.textContent = `${nearest} of ${own}`;
    this.told.value.textContent = text(value);
  }

  buildTable() {
    const { degrees, labels } = this.points, { classes } = this.recorded;
    const cells = degrees.map(() => ["cosine", "weight", "share"].map((key) => h("td", { "data-of": key })));
    const rows = degrees.map((at, i) => h("tr", { "data-point": i }, h("th", { scope: "row" }, `${classes[labels[i]]} at ${at}°`), ...cells[i]));
    const caption = h("caption", {});
    this.drawings.push(({ cosines, weights, shares }) => {
      const { focus } = this.state;
      caption.textContent = `Of the proxy of ${this.className}: ∂L/∂cos is below 0 where a point draws it, above 0 where it pushes; ` +
        "times the sine of the angle between them it turns it.";
      cells.forEach((row, i) => [cosines[i][focus], weights[i][focus], shares[i]].forEach((v, k) => {
        row[k].textContent = text(v, 3);
        row[k].dataset.value = v;
      }));
    });
    return [h("table", {}, caption, h("thead", {}, h("tr", {}, ...["point", "cosine", "∂L/∂cos", "share"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows))];
  }

  /** What the state shows, in words. */
  sentence() {
    const { scale, margin } = this.state, { half, shares, most, nearest, own, turn } = this.found(), { degrees } = this.points;
    const named = `${this.family.label[0].toUpperCase()}${this.family.label.slice(1)}, scale ${scale}${this.family.margin ? `, margin ${margin} (${this.family.margin})` : ""}`;
    const way = Math.abs(turn) < RESTS ? "pulls and pushes cancel, it rests" : `it is turned ${turn < 0 ? "counterclockwise" : "clockwise"}`;
    return `${named}: half of what turns the proxy of ${this.className} comes from ${half} of ${degrees.length} points, the largest share of one alone ` +
      `is ${percent(shares[most])}; ${way}. ${nearest} of its ${own} points are nearest to it. ${this.family.telltale}`;
  }
}

const { render, mountAll } = hosts(ProxyExplorer);
export { mountAll };
export default { render };
