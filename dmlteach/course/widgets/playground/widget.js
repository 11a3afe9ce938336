// Triplet playground: three points on a line or in the plane, and where each loss moves them.
//
// In a notebook the kernel answers every state with autograd's values; the closed form below draws at once.

// --- the losses in closed form: value and gradient of one triplet

const LOSSES = {
  triplet: { name: "triplet", dash: "" },
  sst: { name: "SST", dash: "6 3" },
  contrastive: { name: "contrastive", dash: "1.5 2.5" },
};
const POINTS = [
  { key: "a", name: "anchor", colour: "#0072b2" },
  { key: "p", name: "positive", colour: "#009e73" },
  { key: "n", name: "negative", colour: "#d55e00" },
];
const CONTRASTIVE_MARGIN = 1; // in distance; the slider's margin is in squared distance
const EDGE = 1e-9; // at the margin is inactive, whatever the last digit says

const minus = (x, y) => x.map((v, i) => v - y[i]);
const times = (s, x) => x.map((v) => s * v);
const plus = (...xs) => xs[0].map((_, i) => xs.reduce((sum, x) => sum + x[i], 0));
const dot = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
const d2 = (x, y) => dot(minus(x, y), minus(x, y));

function triplet([a, p, n], margin) {
  const hinge = margin + d2(a, p) - d2(a, n);
  if (!(hinge > EDGE)) return { loss: Math.max(hinge, 0), gradient: [a, a, a].map((z) => times(0, z)) };
  return { loss: hinge, gradient: [minus(n, p), minus(p, a), minus(a, n)].map((g) => times(2, g)) };
}

function sst([a, p, n]) {
  const u = d2(a, p) - (d2(a, n) + d2(p, n)) / 2;
  const s = 1 / (1 + Math.exp(-u));
  return {
    loss: Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u))), // log(1 + e^u) without overflow
    gradient: [[a, p, n], [p, a, n], [n, a, p]].map(([self, x, y], i) =>
      i < 2 ? times(s, plus(self, times(-2, x), y)) : times(s, plus(x, y, times(-2, self)))),
  };
}

function contrastive([a, p, n]) { // mean of 6 ordered pairs: 2 pulled, 4 pushed
  const push = (z) => {
    const squared = d2(z, n), d = Math.sqrt(Math.max(squared, 1e-12)), gap = Math.max(CONTRASTIVE_MARGIN - d, 0);
    return { loss: gap * gap, gradient: times(squared < 1e-12 ? 0 : (-2 * gap) / d, minus(z, n)) };
  };
  const [fromA, fromP, pull] = [push(a), push(p), times(2, minus(a, p))];
  return {
    loss: (d2(a, p) + fromA.loss + fromP.loss) / 6,
    gradient: [plus(pull, fromA.gradient), minus(fromP.gradient, pull),
      times(-1, plus(fromA.gradient, fromP.gradient))].map((g) => times(1 / 6, g)),
  };
}

const FORMULAS = { triplet, sst, contrastive };
/** Loss and gradient (3, D) of one triplet: points (3, D) are anchor, positive, negative. */
export const closedForm = (loss, points, margin) => FORMULAS[loss](points, margin);

// --- the triangle of differences: a−p, p−n, n−a, each from −2 to 4

const LOW = -2, SPAN = 6;
const CORNERS = [[1, 1], [0.5, 0], [0, 1]]; // a−p = 4 bottom right, p−n = 4 top, n−a = 4 bottom left
const differences = ([[a], [p], [n]]) => [a - p, p - n, n - a];
const toTriangle = (d) => [0, 1].map((k) => d.reduce((sum, v, i) => sum + ((v - LOW) / SPAN) * CORNERS[i][k], 0));
const fromTriangle = ([x, y]) => {
  const top = 1 - y, right = x - top / 2;
  return [right, top, 1 - right - top].map((w) => w * SPAN + LOW);
};
const intoTriangle = (d) => times(Math.min(1, ...d.filter((v) => v < LOW).map((v) => LOW / v)), d);

// --- state and constants of the drawing

const LIMITS = { line: 2.5, plane: 2 }; // coordinates run from −limit to limit
const STEP = 0.25; // an arrow is STEP × the negative gradient
const START = {
  view: "line", line: [-0.4, 0.6, 0.4], plane: [[-0.8, -0.4], [0.7, -0.6], [0.1, 0.5]],
  margin: 0.2, follow: "sst", contrastive: false, numbers: false,
};
const SHOW = {
  line: {
    "near p": [-0.4, 0.6, 0.4], "far away": [-0.4, 0.6, 1.6], "at the margin": [-0.4, 0.6, 0.69],
    "in the middle": [-0.4, 0.6, 0.1], "all together": [0, 0, 0],
  },
  plane: {
    "beside the pair": [[-0.8, -0.4], [0.7, -0.6], [0.1, 0.5]], "far away": [[-0.8, -0.4], [0.7, -0.6], [0.2, 1.6]],
    "at the margin": [[-0.5, 0], [0.5, 0], [-0.5, 1.09]], "in the middle": [[-0.8, -0.4], [0.7, -0.6], [-0.05, -0.5]],
    "all together": [[0, 0], [0, 0], [0, 0]],
  },
};
const QUESTION = {
  line: "Predict first: move the negative n towards the anchor a. Do the two losses ever push it in opposite directions?",
  plane: "Predict first: where must the negative n stand so that SST does not move it at all?",
};
const TAKEAWAY = "The triplet loss measures the negative from the anchor alone and falls silent at the margin; " +
  "SST measures it from the midpoint of anchor and positive, fades instead of stopping, and treats the two alike.";

const vector = (v, digits = 2) => (v.length === 1 ? text(v[0], digits) : `(${v.map((x) => text(x, digits)).join(", ")})`);

// A point keeps its shape everywhere.
const SHAPES = [
  (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`,
  (r) => `M${-r * 0.9} ${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}Z`,
  (r) => `M0 ${-1.15 * r}L${1.1 * r} ${0.85 * r}H${-1.1 * r}Z`,
];

/** An arrow whose shaft has the loss's dash; a short arrow becomes a bar: "does not move". */
function arrow(parent, loss, { key, colour }) {
  const dash = LOSSES[loss].dash;
  const shaft = s("path", { fill: "none", stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash });
  const head = s("path", { fill: colour, stroke: colour, "stroke-width": 1.5, "stroke-linejoin": "round" });
  parent.append(s("g", { class: "dml-arrow", "data-loss": loss, "data-of": key }, shaft, head));
  return (x, y, dx, dy) => {
    const length = Math.hypot(dx, dy);
    if (length < 1) {
      set(shaft, { d: "" });
      return set(head, { d: `M${x} ${y - 4}V${y + 4}` });
    }
    const [ux, uy] = [dx / length, dy / length], size = Math.min(9, length), [tx, ty] = [x + dx, y + dy];
    const [bx, by] = [tx - size * ux, ty - size * uy], w = size * 0.45;
    set(shaft, { d: `M${x} ${y}L${bx} ${by}` });
    set(head, { d: `M${tx} ${ty}L${bx - w * uy} ${by + w * ux}L${bx + w * uy} ${by - w * ux}Z` });
  };
}

// Blue below zero, white, red above: the colours of the static maps.
const SCALE = ["053061", "2166ac", "4393c3", "92c5de", "d1e5f0", "f7f7f7", "fddbc7", "f4a582", "d6604d", "b2182b", "67001f"]
  .map((hex) => [0, 2, 4].map((k) => parseInt(hex.slice(k, k + 2), 16)));
function colourOf(value) {
  const t = (clamp(value, -4, 4) + 4) / 8 * (SCALE.length - 1), i = Math.min(Math.floor(t), SCALE.length - 2);
  return SCALE[i].map((v, k) => v + (t - i) * (SCALE[i + 1][k] - v));
}

const pictures = new Map(); // "loss margin" → three image addresses
/** The three maps of a loss as images: colour is the negative gradient, dots where nothing moves. */
function mapPictures(loss, margin) {
  const key = loss === "triplet" ? `${loss} ${margin}` : loss;
  if (pictures.has(key)) return pictures.get(key);
  const size = 180, height = Math.round(size * Math.sqrt(0.75));
  const canvases = POINTS.map(() => Object.assign(document.createElement("canvas"), { width: size, height }));
  const contexts = canvases.map((canvas) => canvas.getContext("2d"));
  const images = contexts.map((context) => context.createImageData(size, height));
  const last = POINTS.map(() => new Float64Array(size + 1)); // the row above, and to the left in this one
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < size; column++) {
      const d = fromTriangle([(column + 0.5) / size, (row + 0.5) / height]);
      if (Math.min(...d) < LOW - 0.1) continue; // or a seam would show
      const { gradient } = closedForm(loss, [[0], [-d[0]], [d[2]]], margin);
      const still = gradient.every(([g]) => g === 0);
      gradient.forEach(([g], i) => {
        const crossing = last[i][column] * g < 0 || last[i][column + 1] * g < 0, dotted = still && row % 6 === 2 && (column + row / 2) % 6 === 3;
        last[i][column + 1] = g;
        const rgb = crossing ? [60, 60, 60] : dotted ? [150, 150, 150] : colourOf(-g);
        images[i].data.set([...rgb, 255], 4 * (row * size + column));
      });
    }
  }
  const made = canvases.map((canvas, i) => (contexts[i].putImageData(images[i], 0, 0), canvas.toDataURL()));
  if (pictures.size > 60) pictures.clear();
  pictures.set(key, made);
  return made;
}

/** Small triangles on a map that point left or right and grow with the gradient: the map without its colours. */
function glyphs(loss, margin, i, size) {
  const path = [], height = size * Math.sqrt(0.75);
  for (let x = -5 / 3; x < 3; x++) {
    for (let y = -5 / 3; -x - y >= -1.7; y++) {
      const value = -closedForm(loss, [[0], [-x], [-x - y]], margin).gradient[i][0];
      const r = clamp(Math.abs(value), 0, 4) * size / 150, [u, v] = toTriangle([x, y, -x - y]);
      if (r > 0.3) path.push(`M${u * size + Math.sign(value) * r} ${v * height}l${-2 * Math.sign(value) * r} ${-r}v${2 * r}Z`);
    }
  }
  return path.join("");
}

// --- the explorable

class Playground extends Explorable {
  static figure = { name: "playground", label: "triplet playground", start: START, watched: ["answer"], takeaway: TAKEAWAY };

  begin() { this.selected = 2; }

  get points() { return this.state.view === "line" ? this.state.line.map((x) => [x]) : this.state.plane; }
  get limit() { return LIMITS[this.state.view]; }
  get losses() { return ["triplet", "sst", ...(this.state.contrastive ? ["contrastive"] : [])]; }

  given() { return [this.points, this.values()]; }

  /** What to show: the kernel's values if it has answered this very state, else the closed form. */
  values() {
    const { view, margin } = this.state, points = this.points, answer = this.model.get("answer");
    const fits = answer?.view === view && Math.abs(answer.margin - margin) < EDGE &&
      answer.points.every((z, i) => z.every((v, k) => Math.abs(v - points[i][k]) < EDGE));
    if (fits) return { source: "autograd", ...answer.values };
    return { source: "formula", ...Object.fromEntries(this.losses.map((l) => [l, closedForm(l, points, margin)])) };
  }

  place(i, position) {
    const points = this.points.map((z) => [...z]);
    points[i] = position;
    this.placeAll(points);
  }

  tidy(z) { return z.map((v) => Math.round(clamp(v, -this.limit, this.limit) * 1e4) / 1e4); }

  placeAll(points) {
    const tidied = points.map((z) => this.tidy(z));
    this.change(this.state.view === "line" ? { line: tidied.flat() } : { plane: tidied });
  }

  /** Put the triplet at given differences, its mean where it was (or as near as the line allows). */
  placeDifferences(wanted) {
    const [x, y, z] = intoTriangle(wanted);
    const offsets = [(x - z) / 3, (y - x) / 3, (z - y) / 3];
    const mean = clamp(plus(...this.points)[0] / 3, -this.limit - Math.min(...offsets), this.limit - Math.max(...offsets));
    this.placeAll(offsets.map((v) => [mean + v]));
  }

  /** Move every point along its arrow; false once nothing moves any more. */
  step(share = 1) {
    const { gradient } = this.values()[this.state.follow] ?? closedForm(this.state.follow, this.points, this.state.margin);
    const next = this.points.map((z, i) => this.tidy(plus(z, times(-STEP * share, gradient[i]))));
    const moved = Math.max(...next.flatMap((z, i) => minus(z, this.points[i]).map(Math.abs)));
    this.placeAll(next);
    return moved > 1e-3 * share;
  }

  advance(calm) { return this.step(calm ? 1 : 0.12); }

  // - the controls

  toolbar() {
    this.viewButtons = { line: "On a line", plane: "In the plane" };
    for (const [view, label] of Object.entries(this.viewButtons)) {
      this.viewButtons[view] = button(label, () => { this.stop(); this.change({ view }); });
    }
    this.presets = h("span", { class: "dml-group", role: "group", "aria-label": "show the negative" });
    return [h("span", { class: "dml-group", role: "group", "aria-label": "view" }, ...Object.values(this.viewButtons)), this.presets];
  }

  question() { return QUESTION[this.state.view]; }

  controls() {
    this.badge = h("span", { class: "dml-badge" });
    const margin = (type, label) => h("input", {
      type, min: 0, max: 2, step: 0.05, "aria-label": label,
      oninput: (e) => e.target.value !== "" && this.change({ margin: clamp(Number(e.target.value), 0, 2) }),
    });
    this.margins = [margin("range", "margin"), margin("number", "margin as a number")];
    this.follow = h("select", { onchange: (e) => this.change({ follow: e.target.value }) },
      ...Object.entries(LOSSES).map(([value, { name }]) => h("option", { value }, name)));
    this.playButton = button("Play", () => this.play());
    this.third = h("input", { type: "checkbox", onchange: (e) => {
      const follow = !e.target.checked && this.state.follow === "contrastive" ? { follow: "sst" } : {};
      this.change({ contrastive: e.target.checked, ...follow });
    } });
    return [h("label", {}, "margin m ", ...this.margins),
      h("span", { class: "dml-group" }, h("label", {}, "follow ", this.follow),
        button("Step", () => { this.stop(); this.step(); }), this.playButton,
        button("Reset", () => this.reset())),
      h("label", {}, this.third, " contrastive"), this.badge];
  }

  onKey(event) {
    const target = event.target.closest?.("[data-point],[data-mark]");
    const direction = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!target || !direction || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.stop();
    const [x, y] = times(event.shiftKey ? 0.01 : 0.1, direction);
    if ("mark" in target.dataset) { // right: a away from p and n; up: p away from n, a in the middle
      return this.placeDifferences(plus(differences(this.points), [x - y / 2, y, -x - y / 2]));
    }
    const i = Number(target.dataset.point), here = this.points[i];
    this.place(i, here.length === 1 ? [here[0] + x + y] : plus(here, [x, y]));
  }

  // - the drawing

  shape() { return [this.state.view, this.losses].join(); }

  build() {
    this.buildPresets();
    return this.state.view === "line" ? this.buildLine() : this.buildPlane();
  }

  refreshControls() {
    const { view, margin, follow, contrastive: third } = this.state, { source } = this.values();
    for (const [name, button] of Object.entries(this.viewButtons)) button.setAttribute("aria-pressed", name === view);
    for (const input of this.margins) if (input !== document.activeElement || Number(input.value) !== margin) input.value = margin;
    for (const option of this.follow.options) option.hidden = option.disabled = option.value === "contrastive" && !third;
    this.follow.value = follow;
    this.third.checked = third;
    this.badge.textContent = source === "autograd" ? "● values: autograd" : "○ values: formula";
    this.badge.title = source === "autograd" ? "computed by autograd of dmlteach.losses in the kernel"
      : "computed by the closed form in this page";
  }

  buildPresets() {
    this.presets.replaceChildren("show n: ", ...Object.entries(SHOW[this.state.view]).map(([label, points]) =>
      button(label, () => {
        this.stop();
        this.change({ [this.state.view]: structuredClone(points) });
      })));
  }

  /** A draggable, focusable point; the copies in further panels hand their focus to the first. */
  handle(parent, i, toPage, fromPage, first) {
    const { name, key, colour } = POINTS[i];
    const label = s("text", { y: -18, "text-anchor": "middle", class: "dml-letter" }, key);
    const node = s("g", {
      class: "dml-handle", "data-point": i,
      ...(first ? { "data-key": key, tabindex: 0, role: "slider", "aria-valuemin": -this.limit, "aria-valuemax": this.limit }
        : { "aria-hidden": "true" }),
      onfocus: () => { this.selected = i; this.refresh(); },
    }, s("circle", { class: "dml-hit" }), s("circle", { class: "dml-ring", r: 13 }),
    s("path", { d: SHAPES[i](8), fill: colour, class: "dml-shape" }), label);
    parent.append(node);
    this.drag(node, (x, y) => this.place(i, fromPage(x, y)), () => {
      this.selected = i;
      this.stage.querySelector(`[data-key="${key}"]`).focus();
    });
    this.drawings.push((points) => {
      const z = points[i], [x, y] = toPage(z);
      const where = z.length === 1 ? `x ${text(z[0])}` : `x ${text(z[0])}, y ${text(z[1])}`;
      set(node, { transform: `translate(${x} ${y})`, "data-selected": this.selected === i });
      if (first) set(node, { "aria-label": `${name}, ${where}`, "aria-valuenow": z[0], "aria-valuetext": where });
    });
  }

  drag(node, moveTo, begin) {
    const page = (event) => {
      const box = node.ownerSVGElement.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no selection of text
      this.stop();
      node.setPointerCapture(event.pointerId);
      begin();
    });
    node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && moveTo(...page(event)));
    node.addEventListener("click", (event) => event.stopPropagation());
    // A finger on a point must not move the page; browsers overlook touch-action on SVG groups.
    node.addEventListener("touchstart", (event) => event.preventDefault());
  }

  /** Click instead of drag: the point chosen last goes where the drawing is clicked. */
  clickToPlace(svg, fromPage) {
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      this.stop();
      this.place(this.selected, fromPage(event.clientX - box.left, event.clientY - box.top));
      this.stage.querySelector(`[data-key="${POINTS[this.selected].key}"]`).focus();
    });
  }

  hatching() {
    return s("pattern", { id: `${this.id}hatch`, width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      s("path", { d: "M0 0V7", class: "dml-hatch" }));
  }

  buildLine() {
    const maps = this.width >= 700 ? Math.min(0.54 * this.width, 500) : this.width; // beside the line
    const pad = 22, width = maps < this.width ? this.width - maps - 12 : this.width, limit = this.limit, unit = (width - 2 * pad) / (2 * limit);
    const toX = (x) => pad + (x + limit) * unit;
    const fromPage = (x) => [Math.round(((x - pad) / unit - limit) * 100) / 100];
    const axis = 40, lane = 64, top = axis + 36, height = top + lane * this.losses.length;
    const svg = s("svg", { width, height, role: "group", "aria-label": "the three points on a line" }, s("defs", {}, this.hatching()));
    svg.append(s("path", { class: "dml-axis", d: `M${toX(-limit)} ${axis}H${toX(limit)}` }));
    for (let x = -2; x <= 2; x++) {
      svg.append(s("path", { class: "dml-axis", d: `M${toX(x)} ${axis}v6` }),
        s("text", { x: toX(x), y: axis + 26, "text-anchor": "middle", class: "dml-small" }, text(x, 0)));
    }
    this.losses.forEach((loss, k) => this.lane(svg, loss, top + k * lane, lane, toX, unit));
    const drops = POINTS.map(({ colour }) => svg.appendChild(s("path", { class: "dml-drop", stroke: colour })));
    this.drawings.push((points) => points.forEach(([x], i) => set(drops[i], { d: `M${toX(x)} ${axis}V${height}` })));
    POINTS.forEach((_, i) => this.handle(svg, i, ([x]) => [toX(x), axis], fromPage, true));
    this.clickToPlace(svg, fromPage);
    return [h("div", { class: "dml-panels", style: "gap:12px" }, svg, this.buildMaps(maps)), this.legend()];
  }

  /** One loss under the number line: its arrows, and where n would get none. */
  lane(svg, loss, y, height, toX, unit) {
    const hatch = s("path", { fill: `url(#${this.id}hatch)`, class: "dml-region" });
    const title = s("text", { x: 4, y: y + 14, class: "dml-title" });
    const tick = s("path", { class: "dml-middle" });
    svg.append(s("path", { class: "dml-rule", d: `M0 ${y}H${toX(0) * 2}` }), hatch, tick);
    const arrows = POINTS.map((point) => arrow(svg, loss, point));
    svg.append(title);
    this.drawings.push(([[a], [p], [n]], values) => {
      title.textContent = this.title(loss, values);
      [a, p, n].forEach((x, i) => arrows[i](toX(x), y + 28 + 13 * i, -STEP * unit * values[loss].gradient[i][0], 0));
      set(hatch, { d: this.quiet(loss, a, p).map(([from, to]) =>
        `M${toX(from)} ${y + 19}H${toX(to)}v${height - 21}H${toX(from)}Z`).join("") });
      const middle = toX((a + p) / 2);
      if (loss === "sst") set(tick, { d: `M${middle - 4} ${y + 18}l8 8m0 -8l-8 8M${middle} ${y + 18}V${y + height - 3}` });
    });
  }

  /** Stretches of the line on which the negative gets no push. */
  quiet(loss, a, p) {
    if (loss === "sst") return [];
    const r = loss === "triplet" ? Math.sqrt(this.state.margin + (a - p) ** 2) : CONTRASTIVE_MARGIN;
    const discs = loss === "triplet" ? [a] : [a, p].sort((x, y) => x - y);
    const limit = this.limit, edges = [-limit, ...discs.flatMap((c) => [c - r, c + r]), limit];
    const gaps = [];
    for (let i = 0; i < edges.length; i += 2) {
      if (edges[i] < edges[i + 1]) gaps.push([Math.max(edges[i], -limit), Math.min(edges[i + 1], limit)]);
    }
    return gaps;
  }

  title(loss, values) {
    const { loss: value, gradient } = values[loss], still = gradient.flat().every((g) => g === 0);
    return `${LOSSES[loss].name}: loss ${text(value)}${still ? ", nothing moves" : ""}`;
  }

  buildMaps(width) {
    const gap = 10, cell = width / 3, size = Math.min(cell - 2 * gap, 230), roomy = size > 150;
    const tall = size * Math.sqrt(0.75), head = 40, row = tall + head + 30;
    const svg = s("svg", { width, height: row * this.losses.length, role: "group", "aria-label": "gradient maps" });
    this.losses.forEach((loss, k) => POINTS.forEach((point, i) => {
      const x = cell * i + (cell - size) / 2, y = row * k + head;
      this.map(svg, loss, i, x, y, size, k === 0 && i === 0);
      const title = `${LOSSES[loss].name}: ${roomy ? `how ${point.key} moves` : point.key}`;
      svg.append(s("text", { x: x + size / 2, y: y - 24, "text-anchor": "middle", class: "dml-title" }, title));
    }));
    return svg;
  }

  map(svg, loss, i, x, y, size, first) {
    const tall = size * Math.sqrt(0.75), clip = `${this.id}${loss}${i}`, name = LOSSES[loss].name;
    const corners = CORNERS.map(([u, v]) => `${u * size} ${v * tall}`).join("L");
    const image = s("image", { width: size, height: tall, preserveAspectRatio: "none", "clip-path": `url(#${clip})` });
    const signs = s("path", { class: "dml-glyphs" });
    const mark = s("g", { class: "dml-handle", "data-mark": loss,
      ...(first ? { "data-key": "mark", tabindex: 0, role: "slider", "aria-valuemin": LOW, "aria-valuemax": LOW + SPAN }
        : { "aria-hidden": "true" }) },
    s("circle", { class: "dml-hit" }), s("circle", { class: "dml-ring", r: 11 }), s("circle", { class: "dml-mark", r: 5.5 }));
    const order = (u, v, anchor, label) => s("text", { x: u, y: v, "text-anchor": anchor, class: "dml-small" }, label);
    const group = s("g", { transform: `translate(${x} ${y})` },
      s("title", {}, `${name}: how the ${POINTS[i].name} moves`),
      s("clipPath", { id: clip }, s("path", { d: `M${corners}Z` })), image, signs,
      s("path", { d: `M${corners}Z`, class: "dml-outline" }),
      order(size / 2, -6, "middle", "n a p"), order(0, tall + 15, "start", "a p n"), order(size, tall + 15, "end", "p n a"), mark);
    svg.append(group);
    const moveTo = (px, py) => this.placeDifferences(fromTriangle([(px - x) / size, (py - y) / tall]));
    this.drag(mark, moveTo, () => this.stage.querySelector('[data-key="mark"]').focus());
    group.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      moveTo(event.clientX - box.left, event.clientY - box.top);
    });
    let drawn;
    this.drawings.push((points) => {
      if (drawn !== this.state.margin) {
        drawn = this.state.margin;
        set(image, { href: mapPictures(loss, drawn)[i] });
        set(signs, { d: glyphs(loss, drawn, i, size) });
      }
      const d = differences(points), inside = Math.min(...d) >= LOW, [u, v] = toTriangle(intoTriangle(d));
      set(mark, { transform: `translate(${u * size} ${v * tall})`, "data-inside": inside });
      const label = `a − p ${text(d[0])}, p − n ${text(d[1])}, n − a ${text(d[2])}${inside ? "" : ", outside the map"}`;
      if (first) set(mark, { "aria-label": `mark on the maps, ${label}`, "aria-valuenow": clamp(d[0], LOW, LOW + SPAN), "aria-valuetext": label });
    });
  }

  legend() {
    const stops = SCALE.map((rgb, i) => `rgb(${rgb}) ${(100 * i) / (SCALE.length - 1)}%`).join(",");
    return h("p", { class: "dml-legend" }, "◂ −4 ", h("span", { class: "dml-scale", style: `background:linear-gradient(90deg,${stops})` }),
      " 4 ▸  negative gradient: blue and ◂ move the point left, red and ▸ right (colours end at ±4); dots: nothing moves. " +
      "Letters at a corner: the order on the line there. Every map has the same mark: the triplet on the line. " +
      `On the line, arrows are negative gradients × ${STEP}; hatched: n there gets no push; ×: midpoint of a and p.`);
  }

  buildPlane() {
    const many = this.width >= 170 * this.losses.length + 190 ? this.losses.length : 1;
    const gap = 12, size = Math.min((this.width - gap * (many - 1)) / many, 460);
    const limit = this.limit, unit = size / (2 * limit), head = 24;
    const toPage = ([x, y]) => [(x + limit) * unit, head + (limit - y) * unit];
    const fromPage = (x, y) => [x / unit - limit, limit - (y - head) / unit].map((v) => Math.round(v * 100) / 100);
    return [h("div", { class: "dml-panels", style: `gap:${gap}px` }, ...this.losses.map((loss, k) => {
      const svg = s("svg", { width: size, height: size + head, role: "group", "aria-label": `the plane, arrows of the ${LOSSES[loss].name} loss` });
      this.panel(svg, loss, size, head, unit, toPage);
      POINTS.forEach((_, i) => this.handle(svg, i, toPage, fromPage, k === 0));
      this.clickToPlace(svg, fromPage);
      return svg;
    })), h("p", { class: "dml-legend" }, `Arrows: negative gradients × ${STEP}; "Step" takes each point to the tip. ` +
      "Hatched: a negative standing there would get no push from that loss. ×: midpoint of a and p.")];
  }

  /** One loss in the plane: its arrows, the hatched region where n gets none, the midpoint. */
  panel(svg, loss, size, head, unit, toPage) {
    const mask = `${this.id}${loss}mask`, frame = { x: 0, y: head, width: size, height: size };
    const circles = { triplet: 1, sst: 0, contrastive: 2 }[loss];
    const holes = POINTS.slice(0, circles).map(() => s("circle", { fill: "black" }));
    const edges = holes.map(() => s("circle", { class: "dml-edge" }));
    const clip = `${this.id}${loss}clip`, title = s("text", { x: 2, y: 16, class: "dml-title" });
    const inner = s("g", { "clip-path": `url(#${clip})` });
    const pair = s("path", { class: "dml-pair" }), middle = s("path", { class: "dml-middle" });
    svg.append(s("defs", {}, this.hatching(), s("clipPath", { id: clip }, s("rect", frame)),
      s("mask", { id: mask, maskUnits: "userSpaceOnUse", ...frame }, s("rect", { ...frame, fill: "white" }), ...holes)), title, inner);
    const origin = toPage([0, 0]);
    inner.append(s("path", { class: "dml-grid", d: `M0 ${origin[1]}H${size}M${origin[0]} ${head}V${head + size}` }));
    if (circles) inner.append(s("rect", { ...frame, fill: `url(#${this.id}hatch)`, mask: `url(#${mask})`, class: "dml-region" }));
    inner.append(...edges, pair, middle);
    const arrows = POINTS.map((point) => arrow(inner, loss, point));
    svg.append(s("rect", { ...frame, class: "dml-outline" }));
    this.drawings.push((points, values) => {
      title.textContent = this.title(loss, values);
      const [a, p] = points.map(toPage), m = times(0.5, plus(a, p));
      const r = unit * (loss === "triplet" ? Math.sqrt(this.state.margin + d2(points[0], points[1])) : CONTRASTIVE_MARGIN);
      [...holes, ...edges].forEach((circle, i) => set(circle, { cx: points.map(toPage)[i % circles][0], cy: points.map(toPage)[i % circles][1], r }));
      set(pair, { d: `M${a}L${p}` });
      set(middle, { d: `M${m[0] - 4} ${m[1] - 4}l8 8m0 -8l-8 8` });
      points.forEach((z, i) => {
        const [gx, gy] = values[loss].gradient[i];
        arrows[i](...toPage(z), -STEP * unit * gx, STEP * unit * gy);
      });
    });
  }

  buildTable() {
    const axes = this.state.view === "line" ? ["x"] : ["x", "y"], inputs = [], cells = [];
    const head = h("tr", {}, h("th", { scope: "col" }, "point"), h("th", { scope: "col" }, axes.join(", ")),
      ...this.losses.map((loss) => h("th", { scope: "col" }, `−∂ℓ/∂z, ${LOSSES[loss].name}`)));
    const rows = POINTS.map(({ key, name }, i) => {
      const fields = axes.map((axis, k) => h("input", {
        type: "number", min: -this.limit, max: this.limit, step: 0.1, "aria-label": `${name} ${axis}`,
        oninput: (event) => {
          if (event.target.value === "") return;
          this.stop();
          this.place(i, this.points[i].map((v, j) => (j === k ? Number(event.target.value) : v)));
        },
      }));
      inputs.push(fields);
      const numbers = this.losses.map((loss) => h("td", { "data-loss": loss, "data-of": key }));
      cells.push(numbers);
      return h("tr", {}, h("th", { scope: "row" }, `${key}, ${name}`), h("td", {}, ...fields), ...numbers);
    });
    const values = this.losses.map((loss) => h("td", { "data-loss": loss, "data-of": "loss" }));
    const table = h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows,
      h("tr", {}, h("th", { scope: "row" }, "loss ℓ"), h("td", {}), ...values)));
    this.drawings.push((points, now) => {
      points.forEach((z, i) => z.forEach((v, k) => {
        if (inputs[i][k] !== document.activeElement) inputs[i][k].value = Math.round(v * 100) / 100;
      }));
      const write = (cell, v) => { cell.textContent = vector(v, 3); cell.dataset.value = JSON.stringify(v); };
      this.losses.forEach((loss, l) => {
        POINTS.forEach((_, i) => write(cells[i][l], times(-1, now[loss].gradient[i])));
        write(values[l], [now[loss].loss]);
      });
      this.table.dataset.source = now.source;
    });
    return [table];
  }

  /** What the state shows, in words. */
  sentence() {
    const values = this.values();
    const pushes = this.losses.map((loss) => times(-1, values[loss].gradient[2]));
    const told = this.losses.map((loss, l) => {
      const { loss: value, gradient } = values[loss], size = Math.sqrt(dot(pushes[l], pushes[l]));
      const name = LOSSES[loss].name === "SST" ? "SST" : LOSSES[loss].name[0].toUpperCase() + LOSSES[loss].name.slice(1);
      if (gradient.flat().every((g) => g === 0)) return `${name}: loss ${text(value)}, no point moves.`;
      if (size < 0.005) return `${name}: loss ${text(value)}, n stays where it is.`;
      const way = this.state.view === "line" ? ` ${pushes[l][0] < 0 ? "left" : "right"}` : "";
      return `${name}: loss ${text(value)}, pushes n${way} with strength ${text(size)}.`;
    });
    const [x, y] = pushes, lengths = Math.sqrt(dot(x, x) * dot(y, y));
    if (lengths > 1e-6) {
      const angle = (Math.acos(clamp(dot(x, y) / lengths, -1, 1)) * 180) / Math.PI;
      if (this.state.view === "plane") told.push(`Triplet and SST push n in directions ${Math.round(angle)}° apart.`);
      else told.push(angle > 90 ? "Triplet and SST push n in opposite directions." : "Triplet and SST push n the same way.");
    }
    return told.join(" ");
  }
}

const { render, mountAll } = hosts(Playground);
export { mountAll };
export default { render };
