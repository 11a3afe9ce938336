// New-points explorer: points of three classes in the plane, and all that densely-anchored sampling may make of one.
//
// The new points are those of making.py, and what is nearest to each (tests/browser/test_new_points_explorer.py).

// --- making points

const STEPS = { 1: 9, 2: 5 }; // scales looked at on each scaled channel, by how many are scaled
const SHORTEST = 0.01; // way to a classmate that is told: the step between two places of the anchor

/** Channels of a class that are most often among the K largest of a point, the first of equals. */
function mostFrequent(points, K) {
  const dim = points[0].length, counts = new Array(dim).fill(0), byValue = (of) => of.map((_, k) => k).sort((a, b) => of[b] - of[a] || a - b);
  for (const z of points) for (const k of byValue(z).slice(0, K)) counts[k] += 1;
  return byValue(counts).slice(0, K);
}

/** All v′ = s ⊙ v + shift · (z_i − z_j) of the first of the points of a class. */
function newPoints(points, K, low, high, shift) {
  const scaled = mostFrequent(points, K), steps = high > low ? STEPS[K] : 1, v = points[0];
  const each = Array.from({ length: steps }, (_, i) => (steps === 1 ? low : low + ((high - low) * i) / (steps - 1)));
  let scales = [v.map(() => 1)];
  for (const k of scaled) scales = scales.flatMap((s) => each.map((value) => s.map((old, i) => (i === k ? value : old))));
  const differences = !shift ? [v.map(() => 0)]
    : points.flatMap((z, i) => points.filter((_, j) => j !== i).map((w) => z.map((x, k) => x - w[k])));
  return scales.flatMap((s) => differences.map((b) => v.map((x, k) => x * s[k] + shift * b[k])));
}

const apart = (z, w) => Math.hypot(...z.map((x, k) => x - w[k]));

/** New points of the first of `own` points of a class; the real point that each is nearest to; how far they reach. */
export function making(points, own, K, low, high, shift) {
  const made = newPoints(points.slice(0, own), K, low, high, shift);
  const nearest = made.map((z) => {
    const all = points.map((w) => apart(z, w));
    return all.indexOf(Math.min(...all));
  });
  const way = Math.max(SHORTEST, Math.min(...points.slice(1, own).map((w) => apart(w, points[0]))));
  return { made, nearest, inside: nearest.filter((row) => row < own).length, reach: Math.max(...made.map((z) => apart(z, points[0]))) / way };
}

// --- the drawing's constants

const START = { low: 0.99, high: 1.01, shift: 0.01, channels: 1, scene: "near", at: [1.9, 0.95], numbers: false };
const TAKEAWAY = "Where the label surely still holds, a new point is nearly a copy; where it would be news, the label may be wrong. " +
  "How far a scale moves a point depends on how far it is from the origin; how far a shift moves it, on how wide its class is.";
const SIDE = 300, SPAN = 4.4, OWN = 5; // pixels; units of the embedding of a side; points of class A
const COLOURS = ["#0072b2", "#cc79a7", "#e69f00"];
const SHAPES = ["M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z", "M-5.4 -5.4h10.8v10.8h-10.8Z", "M0 -6.9L6.6 5.1H-6.6Z"];
const ranged = ([low, high]) => (low === high ? "none" : `${low} to ${high}`);
const percent = (share) => (share > 0 && share < 0.01 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);
const hundredths = (x) => Math.round(100 * x) / 100;

/** Corners of the part of a square that is nearer to point i than to all others. */
function cell(points, i, size) {
  const [px, py] = points[i];
  let corners = [[0, 0], [size, 0], [size, size], [0, size]];
  points.forEach(([qx, qy], j) => {
    if (j === i) return;
    const side = corners.map(([x, y]) => (x - (px + qx) / 2) * (qx - px) + (y - (py + qy) / 2) * (qy - py));
    corners = corners.flatMap(([x, y], k) => {
      const [u, v] = corners.at(k - 1), before = side.at(k - 1), after = side[k], kept = after < 0 ? [[x, y]] : [];
      if ((before < 0) === (after < 0)) return kept;
      const t = before / (before - after);
      return [[u + t * (x - u), v + t * (y - v)], ...kept];
    });
  });
  return corners;
}

class NewPointsExplorer extends Explorable {
  static figure = { name: "new_points_explorer", label: "which new points are still in the class", start: START, takeaway: TAKEAWAY, pace: 700 };

  begin() { this.recorded = this.model.get("recorded"); }

  get origin() { return this.recorded.scenes[this.state.scene].origin; }
  get points() { return [this.state.at, ...this.recorded.others].map((z) => z.map((x, k) => x + this.origin[k])); }

  /** All that is shown, for the state as it stands. */
  found() {
    const { channels, low, high, shift } = this.state, points = this.points;
    return { points, ...making(points, OWN, channels, low, high, shift) };
  }

  given() { return [this.found()]; }

  place(x, y) {
    this.stop();
    this.change({ at: [x, y].map((v) => hundredths(clamp(v, 0.05, SPAN - 0.05))) });
  }

  /** The next wider range of scales. */
  advance() {
    const { ranges } = this.recorded, next = ranges[ranges.findIndex(([low]) => low === this.state.low) + 1];
    if (!next) return false;
    this.change({ low: next[0], high: next[1] });
    return true;
  }

  // - the controls

  toolbar() {
    this.states = Object.entries(this.recorded.states).map(([label, part]) =>
      [button(label, () => { this.stop(); this.change(structuredClone(part)); }), part]);
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ", ...this.states.map(([node]) => node))];
  }

  question() {
    return "Predict first: with scales from 0.5 to 2, as for photographs of products, what share of the new points is still nearest to a point " +
      "of class A? Then move the scales.";
  }

  controls() {
    const menu = (key, entries, chosen) => h("select", { "data-key": key, onchange: (event) => { this.stop(); this.change(chosen(event.target.value)); } },
      ...entries.map(([value, label]) => h("option", { value }, label)));
    const slider = (key, values, chosen) => {
      const input = h("input", { type: "range", min: 0, max: values.length - 1, step: 1, "data-key": key,
        oninput: (event) => { this.stop(); this.change(chosen(values[Number(event.target.value)])); } });
      return { input, shown: h("output", {}) };
    };
    const { ranges, shifts, scenes } = this.recorded;
    this.range = slider("range", ranges, ([low, high]) => ({ low, high }));
    this.shift = slider("shift", shifts, (shift) => ({ shift }));
    this.channels = menu("channels", [[1, "one axis"], [2, "both axes"]], (value) => ({ channels: Number(value) }));
    this.scene = menu("scene", Object.entries(scenes).map(([name, { label }]) => [name, label]), (scene) => ({ scene }));
    this.playButton = button("Play", () => {
      if (!this.timer && this.state.low === ranges.at(-1)[0]) this.change({ low: 1, high: 1 });
      this.play();
    }, { "aria-label": "Play: widen the range of scales" });
    return [h("label", {}, "scales", this.range.input, this.range.shown), h("label", {}, "shift", this.shift.input, this.shift.shown),
      h("label", {}, "scaled", this.channels), h("label", {}, "classes", this.scene), this.playButton, button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { low, high, shift, channels, scene } = this.state, { ranges, shifts } = this.recorded;
    this.channels.value = channels;
    this.scene.value = scene;
    for (const [{ input, shown }, at, words] of [[this.range, ranges.findIndex((one) => one[0] === low), ranged([low, high])],
      [this.shift, shifts.indexOf(shift), shift === 0 ? "none" : `${shift} × difference`]]) {
      input.value = at;
      set(input, { "aria-valuetext": words });
      shown.textContent = words;
    }
    for (const [node, part] of this.states) {
      node.setAttribute("aria-pressed", Object.entries(part).every(([key, wanted]) => JSON.stringify(this.state[key]) === JSON.stringify(wanted)));
    }
  }

  onKey(event) {
    const step = event.shiftKey ? 0.01 : 0.1, by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!by || !event.target.closest?.(".dml-handle") || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.place(this.state.at[0] + by[0], this.state.at[1] + by[1]);
  }

  // - the drawing: the region of class A, the real points, and the new ones of the anchor

  shape() { return this.state.scene; }

  build() {
    const beside = this.width >= 580, size = Math.min(beside ? 340 : this.width, 340), unit = size / SPAN, [left, bottom] = this.origin;
    const at = ([x, y]) => [(x - left) * unit, size - (y - bottom) * unit];
    const { labels, classes } = this.recorded;
    const svg = s("svg", { width: size, height: size, role: "group", "aria-label": "points of three classes, and new ones of the anchor" });
    const region = svg.appendChild(s("path", { class: "dml-region" }));
    svg.append(s("rect", { class: "dml-frame", width: size, height: size }));
    if (left) svg.append(s("text", { x: 8, y: size - 10 }, `← the origin is ${left} farther left`));
    else svg.append(s("path", { class: "dml-origin", d: `M0 ${size - 12}V${size}H12` }), s("text", { x: 8, y: size - 10 }, "0"));
    const marks = labels.map((label, i) => svg.appendChild(s("path", { class: i ? "dml-shape" : "dml-anchor", d: SHAPES[label], fill: COLOURS[label] })));
    classes.forEach((name, c) => {
      const [x, y] = [[1.75, 1.75], [0.45, 3.1], [3.9, 1.75]][c]; // beside its points
      svg.append(s("text", { class: "dml-letter", x: x * unit, y: size - y * unit }, name));
    });
    const leaves = svg.appendChild(s("path", { class: "dml-leaves" })), stays = svg.appendChild(s("path", { class: "dml-stays" }));
    const handle = this.handle(svg, (x, y) => this.place(x / unit, (size - y) / unit));
    this.told = Object.fromEntries(["inside", "reach", "others", "out"].map((key) => [key, h("strong", { "data-of": key })]));
    this.drawings.push(({ points, made, nearest, ...more }) => {
      const where = points.map(at), visible = (z) => at(z).every((x) => x >= 0 && x <= size);
      const path = (wanted, mark) => made.filter((z, i) => (nearest[i] < OWN) === wanted && visible(z)).map((z) => mark(...at(z))).join("");
      set(region, { d: Array.from({ length: OWN }, (_, i) => `M${cell(where, i, size).map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}Z`).join("") });
      marks.forEach((mark, i) => set(mark, { transform: `translate(${where[i]})` }));
      set(stays, { d: path(true, (x, y) => `M${x - 1.8} ${y}a1.8 1.8 0 1 0 3.6 0a1.8 1.8 0 1 0 -3.6 0Z`) });
      set(leaves, { d: path(false, (x, y) => `M${x - 2.4} ${y - 2.4}l4.8 4.8m0 -4.8l-4.8 4.8`) });
      handle(where[0]);
      this.tell({ made, nearest, out: made.filter((z) => !visible(z)).length, ...more });
    });
    return [h("div", { class: "dml-panels", style: "gap:18px" }, svg,
      h("div", { style: `width:${beside ? Math.min(SIDE, this.width - size - 18) : this.width}px` }, ...this.beside()))];
  }

  /** The anchor, to be dragged; or focused, and moved by the arrow keys. */
  handle(svg, place) {
    const hit = s("circle", { class: "dml-hit" }), ring = s("circle", { class: "dml-ring", r: 12 });
    const node = svg.appendChild(s("g", { class: "dml-handle", "data-key": "anchor", tabindex: 0, role: "application",
      "aria-roledescription": "movable point" }, hit, ring));
    const moved = (event) => {
      const box = svg.getBoundingClientRect();
      place(event.clientX - box.left, event.clientY - box.top);
    };
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no text selection; the focus is set by hand
      node.setPointerCapture(event.pointerId);
      node.focus();
    });
    node.addEventListener("pointermove", (event) => node.hasPointerCapture(event.pointerId) && moved(event));
    node.addEventListener("touchstart", (event) => event.preventDefault()); // a finger on it must not move the page
    node.addEventListener("click", (event) => event.stopPropagation());
    svg.addEventListener("click", moved); // instead of dragging: the anchor goes where the drawing is clicked
    return ([x, y]) => {
      for (const part of [hit, ring]) set(part, { cx: x, cy: y });
      set(node, { "aria-label": `anchor of class A at ${this.state.at.join(", ")}; arrow keys move it` });
    };
  }

  /** What stands beside the drawing. */
  beside() {
    const { inside, reach, others, out } = this.told;
    this.beyond = h("p", {}, "outside the picture: ", out);
    return [h("p", {}, "nearest to class A: ", inside), h("p", {}, "nearest to another class: ", others),
      h("p", {}, "the farthest, on the way to the nearest classmate: ", reach), this.beyond,
      h("p", { class: "dml-legend" }, "The ring: the anchor; drag it, or focus it and use the arrow keys. Shaded: what is nearest to class A. " +
        "Dots: new points that stay there; crosses: those that do not.")];
  }

  tell({ made, inside, reach, out }) {
    this.told.inside.textContent = `${inside} of ${made.length}`;
    this.told.others.textContent = made.length - inside;
    this.told.reach.textContent = percent(reach);
    this.told.out.textContent = out;
    this.beyond.hidden = !out;
  }

  buildTable() {
    const { labels, classes, others } = this.recorded;
    const name = (i) => (i ? `${classes[labels[i]]} at ${others[i - 1].map((x, k) => hundredths(x + this.origin[k])).join(", ")}` : "the anchor");
    const cells = labels.map(() => h("td", { "data-of": "count" }));
    this.drawings.push(({ nearest }) => cells.forEach((node, i) => { node.textContent = nearest.filter((row) => row === i).length; }));
    return [h("table", {}, h("caption", {}, "How many new points are nearest to each real point."),
      h("thead", {}, h("tr", {}, ...["real point", "new points"].map((words) => h("th", { scope: "col" }, words)))),
      h("tbody", {}, ...labels.map((_, i) => h("tr", {}, h("th", { scope: "row" }, name(i)), cells[i]))))];
  }

  /** What the state shows, in words. */
  sentence() {
    const { low, high, shift, channels } = this.state, { made, inside, reach } = this.found();
    const scaled = low === high ? "No scaling" : `Scales from ${low} to ${high} on ${channels === 1 ? "one axis" : "both axes"}`;
    const moved = shift === 0 ? "no shift" : `shifts of ${shift} times a difference of two points of the class`;
    const news = inside < made.length ? "for the others the label A is doubtful" : reach < 0.2 ? "nearly copies" : "each still where its label says";
    return `${scaled}, ${moved}: ${inside} of ${made.length} new points are nearest to a point of class A; ${news}. ` +
      `The farthest lies ${percent(reach)} of the way to the nearest classmate from the anchor.`;
  }
}

const { render, mountAll } = hosts(NewPointsExplorer);
export { mountAll };
export default { render };
