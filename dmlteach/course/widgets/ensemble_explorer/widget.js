// Ensemble explorer: one pair among others in three learners, and what each learner hands on to the next.
//
// Weights and values are closed forms below; they equal autograd of dmlteach's losses (tests/browser/test_ensemble_explorer.py).

// --- what becomes of P pairs in M learners, of their cosines (M × P)

const ZERO = 1e-6, PULLS = 0.01;
const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const zeros = (rows) => rows.map((row) => row.map(() => 0));

/** Which pairs each learner of HDC keeps: of each kind, the hardest of those that were handed to it. */
function kept(terms, positive, { ratios, mode }) {
  const pairs = positive.map((_, i) => i), found = [];
  terms.forEach((own, k) => {
    const nested = mode === "nested", before = nested && k > 0;
    const ranking = before ? terms[k - 1] : own, among = before ? pairs.filter((i) => found[k - 1][i]) : pairs;
    const chosen = positive.map(() => ratios[k] === 1);
    if (ratios[k] < 1) {
      for (const kind of [true, false]) {
        const count = Math.floor(ratios[k] * positive.filter((p) => p === kind).length + 1e-9);
        const ordered = among.filter((i) => positive[i] === kind).sort((a, b) => ranking[b] - ranking[a]);
        for (const i of ordered.slice(0, Math.max(count, nested ? 1 : 0))) chosen[i] = true;
      }
    }
    found.push(chosen);
  });
  return found;
}

function cascade(s, positive, given) { // positives d², negatives [margin − d²]₊, mean over those above 0
  const terms = s.map((row) => row.map((c, i) => (positive[i] ? 2 - 2 * c : Math.max(given.margin - (2 - 2 * c), 0))));
  const keeps = kept(terms, positive, given), gradients = zeros(s);
  const learns = terms.map((row, k) => row.map((term, i) => keeps[k][i] && term > ZERO));
  let value = 0;
  terms.forEach((row, k) => {
    const active = Math.max(learns[k].filter(Boolean).length, 1);
    row.forEach((term, i) => {
      if (!keeps[k][i]) return;
      value += term / active;
      gradients[k][i] = positive[i] ? -2 / active : term > 0 ? 2 / active : 0;
    });
  });
  return { value, weights: keeps.map((row) => row.map(Number)), gradients, learns };
}

function boosted(s, positive, { alpha, beta, cost }) { // w of a learner: σ(−A) of the mean A of those before
  const learners = s.length, counts = [positive.filter((p) => !p).length, positive.filter(Boolean).length];
  const weights = zeros(s), gradients = zeros(s), learns = zeros(s);
  let value = 0;
  positive.forEach((kind, i) => {
    const slope = alpha * (kind ? 1 : -cost);
    let before = 0, weight = 1;
    s.forEach((row, m) => {
      const x = slope * (row[i] - beta), step = 2 / (m + 2), size = counts[Number(kind)] * learners;
      weights[m][i] = weight;
      value += (weight * softplus(-x)) / size;
      gradients[m][i] = (-weight * sigmoid(-x) * slope) / size;
      learns[m][i] = weight * sigmoid(-x) > PULLS;
      before = (1 - step) * before + step * x;
      weight = sigmoid(-before);
    });
  });
  return { value, weights, gradients, learns };
}

/** Value, weights that earlier learners leave, ∂L/∂cos, and which pairs pull: `given` is a family with the constants. */
export const handedOn = (given, cosines, positive) => (given.mode ? cascade : boosted)(cosines, positive, given);

// --- the drawing's constants

const START = { family: "hdc", kind: "same", cosines: [0.8, 0.4, -0.6], numbers: false };
const TAKEAWAY = "In a cascade a pair reaches a learner only if every learner before it found it hard, whatever the learner itself " +
  "makes of it. Boosting weighs a pair by how wrong the learners before it are together: a pair of one class keeps much of its " +
  "weight even where they are right, a pair of two classes can lose nearly all of it.";
const LEFT = 96, RIGHT = 18, ROW = 84, PANEL = 236, WIDEST = 12; // pixels
const HANDED = 0.01; // less counts as nothing
const hundredth = (v) => Math.round(100 * clamp(v, -1, 1)) / 100;
const percent = (share) => (share > 0 && share < 0.005 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);
const weightText = (w) => (w > 0 && w < 0.005 ? "< 0.01" : text(w));

class EnsembleExplorer extends Explorable {
  static figure = { name: "ensemble_explorer", label: "who still learns from this pair", start: START, takeaway: TAKEAWAY };

  begin() { this.recorded = this.model.get("recorded"); }

  get family() { return this.recorded.families[this.state.family]; }
  get kindName() { return this.recorded.kinds[this.state.kind]; }

  /** The other pairs of the batch that are of the same kind. */
  get rivals() { return this.recorded.others[this.state.kind]; }

  /** All that is shown, for the state as it stands; the pair itself is the first. */
  found() {
    const { kind, cosines } = this.state, { others } = this.recorded;
    const pairs = [cosines, ...others.same, ...others.other];
    const positive = [kind === "same", ...others.same.map(() => true), ...others.other.map(() => false)];
    const s = cosines.map((_, m) => pairs.map((pair) => pair[m]));
    const { value, weights, gradients, learns } = handedOn({ ...this.recorded, ...this.family }, s, positive);
    const shares = gradients.map((row) => Math.abs(row[0]) / Math.max(row.reduce((sum, g, i) => sum + (positive[i] === positive[0] ? Math.abs(g) : 0), 0), 1e-300));
    const first = kind === "same" ? 1 : 1 + others.same.length, rivals = this.rivals.map((_, i) => first + i);
    return { value, weights: weights.map((row) => row[0]), gradients: gradients.map((row) => row[0]), learns: learns.map((row) => row[0]), shares,
      ofRivals: weights.map((row) => rivals.map((i) => row[i])) };
  }

  given() { return [this.found()]; }

  place(m, cosine) { this.change({ cosines: this.state.cosines.map((c, k) => (k === m ? hundredth(cosine) : c)) }); }

  // - the controls

  toolbar() {
    this.states = Object.entries(this.recorded.states).map(([label, part]) => [button(label, () => this.change(structuredClone(part))), part]);
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ", ...this.states.map(([node]) => node))];
  }

  question() {
    const right = this.state.kind === "same" ? "1" : "−1";
    if (this.family.mode === "nested") return `Predict first: learner 3 ${this.state.kind === "same" ? "may have this pair farther apart than all others" :
      "may have this pair nearer together than all others"}. In which learners must it be hard, so that learner 3 learns from it? Then drag it there.`;
    if (this.family.mode) return "Predict first: which learners learn from this pair, if each takes the pairs that are hardest for itself? Then drag it.";
    return `Predict first: if learner 1 has this pair entirely right, at ${right}, how much of its weight is left for learner 2? Then drag it there.`;
  }

  controls() {
    const menu = (key, entries) => h("select", { "data-key": key, onchange: (event) => this.change({ [key]: event.target.value }) },
      ...entries.map(([value, label]) => h("option", { value }, label)));
    this.menus = { family: menu("family", Object.entries(this.recorded.families).map(([name, { label }]) => [name, label])),
      kind: menu("kind", Object.entries(this.recorded.kinds)) };
    return [h("label", {}, "ensemble", this.menus.family), h("label", {}, "a pair", this.menus.kind), button("Reset", () => this.reset())];
  }

  refreshControls() {
    for (const [key, node] of Object.entries(this.menus)) node.value = this.state[key];
    for (const [node, part] of this.states) {
      node.setAttribute("aria-pressed", Object.entries(part).every(([key, wanted]) => JSON.stringify(this.state[key]) === JSON.stringify(wanted)));
    }
  }

  onKey(event) {
    const target = event.target.closest?.("[data-learner]"), { key } = event;
    const sign = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[key], end = { Home: -1, End: 1 }[key];
    if (!target || !(sign || end) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const m = Number(target.dataset.learner);
    this.place(m, end ?? this.state.cosines[m] + sign * (event.shiftKey ? 0.01 : 0.1));
  }

  // - the drawing: a line of similarity for each learner, the pair on it among the others, and a band to the next learner

  shape() { return this.state.kind; }

  build() {
    const beside = this.width >= 620, width = beside ? Math.min(this.width - PANEL - 20, 520) : Math.min(this.width, 520);
    const at = (cosine) => LEFT + ((cosine + 1) / 2) * (width - LEFT - RIGHT), line = (m) => m * ROW + 30, { cosines } = this.state;
    const svg = s("svg", { width, height: ROW * cosines.length - 12, role: "group", "aria-label": "similarity of the pair in three learners" });
    for (const tick of [-1, 0, 1]) svg.append(s("text", { x: at(tick), y: line(cosines.length - 1) + 34, "text-anchor": "middle", class: "dml-small" }, text(tick, 0)));
    const bands = cosines.slice(1).map(() => svg.appendChild(s("path", { class: "dml-band" })));
    const rows = cosines.map((_, m) => this.row(svg, m, at, line(m), width));
    svg.addEventListener("click", (event) => { // instead of dragging: the pair goes where the line of a learner is clicked
      const box = svg.getBoundingClientRect(), m = clamp(Math.floor((event.clientY - box.top) / ROW), 0, cosines.length - 1);
      this.place(m, this.cosineAt(event.clientX - box.left, width));
    });
    this.told = { count: h("strong", { "data-of": "count" }), learners: cosines.map((_, m) => h("span", { "data-of": `learner${m + 1}` })) };
    this.drawings.push((found) => {
      bands.forEach((band, m) => {
        const w = found.weights[m + 1];
        set(band, { d: `M${at(this.state.cosines[m])} ${line(m)}L${at(this.state.cosines[m + 1])} ${line(m + 1)}`, "data-weight": w,
          "stroke-width": w < HANDED ? 1.5 : Math.max(WIDEST * w, 1.5), "stroke-dasharray": w < HANDED ? "2 5" : "none" });
      });
      rows.forEach((draw, m) => draw(found, m));
      this.tell(found);
    });
    return [h("div", { class: "dml-panels", style: "gap:20px" }, svg, h("div", { style: `width:${beside ? PANEL : this.width}px` }, ...this.beside()))];
  }

  cosineAt(x, width) { return (2 * (x - LEFT)) / (width - LEFT - RIGHT) - 1; }

  /** The line of a learner; returns what draws its state. */
  row(svg, m, at, y, width) {
    const shown = s("text", { x: 0, y: y + 14 });
    svg.append(s("path", { class: "dml-line", d: `M${at(-1)} ${y}H${at(1)}${[-1, 0, 1].map((tick) => `M${at(tick)} ${y - 6}v12`).join("")}` }),
      s("text", { x: 0, y: y - 4, class: "dml-title" }, `learner ${m + 1}`), shown);
    const same = this.state.kind === "same";
    const marks = this.rivals.map((pair) => svg.appendChild(s("path", { class: same ? "dml-same" : "dml-other", transform: `translate(${at(pair[m])} ${y})`,
      d: same ? "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z" : "M-4.5 -4.5h9v9h-9Z" })));
    const move = this.handle(svg, m, y, width);
    return ({ weights, ofRivals }) => {
      marks.forEach((mark, i) => set(mark, { "fill-opacity": ofRivals[m][i] }));
      shown.textContent = `weight ${weightText(weights[m])}`;
      move(at(this.state.cosines[m]), this.state.cosines[m]);
    };
  }

  handle(svg, m, y, width) {
    const hit = s("circle", { class: "dml-hit", cy: y }), ring = s("circle", { class: "dml-ring", r: 16, cy: y });
    const mark = s("path", { class: "dml-pair", d: "M0 -11l11 11l-11 11l-11 -11Z" });
    const node = svg.appendChild(s("g", { class: "dml-handle", "data-learner": m, "data-key": `learner${m}`, tabindex: 0, role: "slider",
      "aria-valuemin": -1, "aria-valuemax": 1, "aria-label": `similarity of the pair in learner ${m + 1}` }, hit, ring, mark));
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault(); // no text selection; the focus is set by hand
      node.setPointerCapture(event.pointerId);
      node.focus();
    });
    node.addEventListener("pointermove", (event) => {
      if (node.hasPointerCapture(event.pointerId)) this.place(m, this.cosineAt(event.clientX - svg.getBoundingClientRect().left, width));
    });
    node.addEventListener("click", (event) => event.stopPropagation());
    node.addEventListener("touchstart", (event) => event.preventDefault()); // a finger on it must not move the page
    return (x, cosine) => {
      for (const part of [hit, ring]) set(part, { cx: x });
      set(mark, { transform: `translate(${x} ${y})` });
      set(node, { "aria-valuenow": cosine, "aria-valuetext": text(cosine) });
    };
  }

  /** What stands beside the drawing. */
  beside() {
    const { count, learners } = this.told;
    return [h("p", {}, "learners that learn from it: ", count), ...learners.map((node, m) => h("p", {}, h("strong", {}, `learner ${m + 1}: `), node)),
      h("p", { class: "dml-legend" }, "Diamond: the pair; drag it on a line, or focus it and use the arrow keys. Others: pairs of the same kind, filled as far as " +
        "a learner is given them. Band: what is handed on.")];
  }

  tell({ weights, learns, shares }) {
    this.told.count.textContent = `${learns.filter(Boolean).length} of ${learns.length}`;
    this.told.learners.forEach((node, m) => {
      node.textContent = learns[m] ? `${percent(shares[m])} of what these pairs pull` : weights[m] < HANDED ? "is not given it" : "has it right, at rest";
    });
  }

  buildTable() {
    const learners = this.state.cosines.map((_, m) => m), keys = ["cosine", "weight", "gradient", "share"];
    const cells = learners.map(() => keys.map((key) => h("td", { "data-of": key })));
    this.drawings.push(({ weights, gradients, shares }) => {
      cells.forEach((row, m) => [this.state.cosines[m], weights[m], gradients[m], shares[m]].forEach((v, k) => {
        row[k].textContent = text(v, 3);
        row[k].dataset.value = v;
      }));
    });
    return [h("table", {}, h("caption", {}, "Of the pair: the weight that earlier learners leave it, ∂L/∂cos (below 0 it is drawn together, above 0 pushed apart), " +
      "and its share in what pairs of its kind pull"), h("thead", {}, h("tr", {}, ...["learner", "cosine", "weight", "∂L/∂cos", "share"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...cells.map((row, m) => h("tr", {}, h("th", { scope: "row" }, `${m + 1}`), ...row))))];
  }

  /** What the state shows, in words. */
  sentence() {
    const { weights, learns } = this.found(), { cosines } = this.state;
    return `${this.family.label}: this pair ${this.kindName} has the similarities ${cosines.map((c) => text(c)).join(", ")}. ` +
      `${learns.filter(Boolean).length} of 3 learners learn from it; its weights are ${weights.map(weightText).join(", ")}. ${this.family.telltale}`;
  }
}

const { render, mountAll } = hosts(EnsembleExplorer);
export { mountAll };
export default { render };
