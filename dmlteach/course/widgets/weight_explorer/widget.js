// Weight explorer: how hard a loss pushes a negative, against its distance, on batches of a real embedding.
//
// Every weight comes with the recording, read off the gradients of dmlteach's losses; nothing is measured here.

const START = { family: "triplet", value: 0.2, embedding: "untrained", riddle: 1, guess: "", numbers: false };
const EMBEDDINGS = { uniform: "uniform on the sphere", untrained: "untrained network", trained: "trained network" };
const TAKEAWAY = "Losses on pairs differ in one thing: how much weight a pair gets, given its distance and the others of " +
  "its batch. What a weight does depends on how many pairs lie at that distance, so look at both: a loss that suits " +
  "the untrained network may find nothing to push in the trained one, or push everything alike.";
const TOP = 168, BOTTOM = 96, GAP = 34, LEFT = 8, SIDE = 214; // pixels

const percent = (share) => (share > 0 && share < 0.01 ? "less than 1\u00a0%" : `${Math.round(100 * share)}\u00a0%`);

class WeightExplorer extends Explorable {
  static figure = { name: "weight_explorer", label: "weights of pairs against their distance", start: START, takeaway: TAKEAWAY };

  begin() { this.recorded = this.model.get("recorded"); }

  /** Family, value and embedding that are drawn: those of the riddle, or the reader's. */
  get chosen() {
    const { family, value, embedding, riddle } = this.state;
    return riddle ? this.recorded.riddles[riddle - 1] : { family, value, embedding };
  }

  /** Whether the name of the loss is still to be guessed. */
  get hidden() { return this.state.riddle > 0 && !this.state.guess; }

  curve({ family, value, embedding }) {
    const { values, curves } = this.recorded.families[family];
    return curves[values.indexOf(value)][embedding];
  }

  label(family) { return this.recorded.families[family].label; }

  /** A family as it usually is: the middle of its slider. */
  usual(family, embedding) {
    const { values } = this.recorded.families[family];
    return { family, value: values[Math.floor((values.length - 1) / 2)], embedding };
  }

  // - the controls

  toolbar() {
    this.riddles = this.recorded.riddles.map((_, i) => button(String(i + 1), () => this.change({ riddle: i + 1, guess: "" }),
      { "aria-label": `riddle ${i + 1}` }));
    const show = (label, part) => button(label, () => this.change({ riddle: 0, guess: "", ...part }));
    this.states = Object.entries(this.recorded.states).map(([label, part]) => [show(label, part), part]);
    return [h("span", { class: "dml-group", role: "group", "aria-label": "riddles" }, "guess the loss: ", ...this.riddles),
      h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ", ...this.states.map(([node]) => node))];
  }

  question() {
    if (this.hidden) return "Which loss gives these weights? Look where they are 0, and how they rise towards the near ones. Then choose below.";
    return "Predict first: if the network were trained, or its points lay at random, where would the push come from? " +
      "Then choose another embedding.";
  }

  controls() {
    const families = Object.keys(this.recorded.families);
    const menu = (first, key, chosen) => {
      const options = families.map((family) => h("option", { value: family }, this.label(family)));
      return h("select", { "data-key": key, onchange: (event) => event.target.value && chosen(event.target.value) },
        ...(first ? [h("option", { value: "" }, first)] : []), ...options);
    };
    this.guess = menu("choose …", "guess", (guess) => this.change({ guess }));
    this.family = menu("", "family", (family) =>
      this.change({ riddle: 0, guess: "", ...this.usual(family, this.chosen.embedding) }));
    this.slider = h("input", { type: "range", min: 0, step: 1, "data-key": "value",
      oninput: (event) => this.slide(Number(event.target.value)) });
    this.option = h("span", {});
    this.shown = h("output", {});
    this.embeddings = Object.entries(EMBEDDINGS).map(([name, label]) =>
      button(label, () => this.change({ ...this.chosen, embedding: name, riddle: 0, guess: "" }), { "data-embedding": name }));
    this.places = { guess: h("label", {}, "your guess", this.guess), family: h("label", {}, "loss", this.family),
      slider: h("label", {}, this.option, this.slider, this.shown),
      embeddings: h("span", { class: "dml-group", role: "group", "aria-label": "embedding" }, ...this.embeddings) };
    return [...Object.values(this.places), button("Reset", () => this.reset())];
  }

  slide(place) {
    const { family, embedding } = this.chosen;
    this.change({ riddle: 0, guess: "", family, embedding, value: this.recorded.families[family].values[place] });
  }

  refreshControls() {
    const { family, value, embedding } = this.chosen, { riddle, guess } = this.state, of = this.recorded.families[family];
    this.riddles.forEach((node, i) => node.setAttribute("aria-pressed", riddle === i + 1));
    for (const [node, part] of this.states) {
      node.setAttribute("aria-pressed", !riddle && Object.entries(part).every(([key, wanted]) => this.state[key] === wanted));
    }
    for (const [name, place] of Object.entries(this.places)) place.hidden = name === "guess" ? !riddle : this.hidden;
    this.guess.value = guess;
    this.family.value = family;
    this.option.textContent = of.option === "length" ? "length of the embeddings" : of.option;
    this.slider.max = of.values.length - 1;
    this.slider.value = of.values.indexOf(value);
    set(this.slider, { "aria-valuetext": value });
    this.shown.textContent = value;
    for (const node of this.embeddings) node.setAttribute("aria-pressed", node.dataset.embedding === embedding);
  }

  // - the drawing: weight of one negative above, all their push below, on one axis of distance

  shape() { return JSON.stringify([this.chosen, this.state.guess, this.hidden]); }

  build() {
    const beside = this.width >= 640, width = beside ? this.width - SIDE - 18 : this.width;
    const { edges } = this.recorded, along = (d) => LEFT + (width - 2 * LEFT) * d / edges.at(-1);
    const drawn = s("svg", { width, height: TOP + GAP + BOTTOM + 40, role: "img", "aria-label": this.alt() },
      ...this.upper(along), ...this.lower(along), ...this.axis(along, width));
    return [h("div", { class: "dml-panels", style: "gap:18px" }, drawn,
      h("div", { style: `width:${beside ? SIDE : width}px` }, ...this.told()))];
  }

  /** Mean weights as a line through the middles of the bins that have one. */
  path(weights, largest, along) {
    const { edges } = this.recorded;
    const points = weights.map((w, i) => [along((edges[i] + edges[i + 1]) / 2), TOP - (TOP - 22) * (w ?? 0) / largest, w != null]);
    return points.filter(([, , known]) => known).map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  }

  bars(heights, floor, room, along, kind) {
    const { edges } = this.recorded, largest = Math.max(...heights, 1e-300);
    return heights.map((value, i) => s("rect", { class: kind, x: along(edges[i]), width: along(edges[i + 1]) - along(edges[i]) - 0.6,
      y: floor - room * value / largest, height: room * value / largest }));
  }

  upper(along) {
    const chosen = this.chosen, { negative } = this.curve(chosen), { negatives } = this.recorded.pairs[chosen.embedding];
    const largest = (weights) => Math.max(...weights.map((w) => w ?? 0), 1e-300);
    const lines = [s("path", { class: "dml-weight", d: this.path(negative, largest(negative), along) })];
    if (this.state.riddle && this.state.guess && this.state.guess !== chosen.family) {
      const other = this.curve(this.usual(this.state.guess, chosen.embedding)).negative;
      lines.push(s("path", { class: "dml-guessed", d: this.path(other, largest(other), along) }));
    }
    return [...this.bars(negatives, TOP, TOP - 22, along, "dml-pairs"), ...lines,
      s("text", { x: LEFT, y: 13, class: "dml-small" }, "line: weight of one negative; bars: how many there are")];
  }

  lower(along) {
    const { negative, half } = this.curve(this.chosen), { negatives } = this.recorded.pairs[this.chosen.embedding];
    const floor = TOP + GAP + BOTTOM, push = negative.map((w, i) => (w ?? 0) * negatives[i]);
    const marks = half == null ? [] : [s("path", { class: "dml-half", d: `M${along(half)} ${floor - BOTTOM + 18}V${floor + 5}` })];
    return [...this.bars(push, floor, BOTTOM - 20, along, "dml-push"), ...marks,
      s("text", { x: LEFT, y: floor - BOTTOM + 12, class: "dml-small" }, "weight × number: where the push comes from")];
  }

  axis(along, width) {
    const floor = TOP + GAP + BOTTOM, line = (y) => s("path", { class: "dml-axis", d: `M${LEFT} ${y}H${width - LEFT}` });
    const ticks = [0, 0.5, 1, 1.5, 2].map((d) => s("text", { x: along(d), y: floor + 18, class: "dml-small",
      "text-anchor": d === 0 ? "start" : d === 2 ? "end" : "middle" }, d));
    return [line(TOP), line(floor), ...ticks,
      s("text", { x: width / 2, y: floor + 35, class: "dml-small", "text-anchor": "middle" }, "distance of the negative")];
  }

  /** What stands beside the drawing. */
  told() {
    const { embedding } = this.chosen, { active, half, nearer } = this.curve(this.chosen), { recall } = this.recorded;
    const line = (label, value, key) => h("p", {}, `${label}: `, h("strong", { "data-of": key }, value));
    const measured = recall[embedding] == null ? "drawn at random, no network" : `${EMBEDDINGS[embedding]}, Recall@1 ${text(100 * recall[embedding], 1)} %` +
      ` among ${recall.classes} characters (untrained: ${text(100 * recall.untrained, 1)} %)`;
    return [line("negatives with any weight", percent(active), "active"),
      line("half of the push from within", half == null ? "nothing is pushed" : text(half), "half"),
      line("negatives as near as that", half == null ? "–" : percent(nearer), "nearer"),
      h("p", { class: "dml-legend" }, `The embedding: ${measured}.`)];
  }

  buildTable() {
    const { edges, pairs } = this.recorded, { negative, positive } = this.curve(this.chosen), { negatives, positives } = pairs[this.chosen.embedding];
    const largest = Math.max(...negative.map((w) => w ?? 0), ...positive.map((w) => w ?? 0), 1e-300);
    const share = (w) => (w == null ? "–" : text(w / largest, 3));
    const rows = negatives.map((n, i) => [n, positives[i], i]).filter(([n, p]) => n + p > 0);
    return [h("table", {}, h("caption", {}, "Mean weights of a pair, as shares of the largest; – where there are fewer than eight pairs."),
      h("thead", {}, h("tr", {}, ...["distance", "negatives", "weight of one", "positives", "weight of one"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows.map(([n, p, i]) => h("tr", {}, h("th", { scope: "row" }, `${text(edges[i])} to ${text(edges[i + 1])}`),
        ...[n, share(negative[i]), p, share(positive[i])].map((value) => h("td", {}, value))))))];
  }

  alt() {
    const { embedding } = this.chosen, name = this.hidden ? "a loss to be guessed" : this.label(this.chosen.family);
    return `Weights of negatives against their distance, of ${name}, ${EMBEDDINGS[embedding]}. The numbers are in the table below.`;
  }

  /** What the state shows, in words. */
  sentence() {
    const { family, value, embedding } = this.chosen, { active, half } = this.curve(this.chosen), { riddle, guess } = this.state;
    const where = half == null ? "nothing is pushed" : `${percent(active)} of the negatives have any weight, and half of the push comes from within ${text(half)}`;
    if (this.hidden) return `Riddle ${riddle}, ${EMBEDDINGS[embedding]}: ${where}. Which loss is it?`;
    const of = this.recorded.families[family], named = `${of.label}, ${of.option} ${value}`;
    if (!riddle) return `${named}, ${EMBEDDINGS[embedding]}: ${where}.`;
    const right = guess === family;
    return `${right ? "Right" : `Not ${this.label(guess)} (dashed, with its usual option)`}: it is ${named}. ${of.telltale}`;
  }
}

const { render, mountAll } = hosts(WeightExplorer);
export { mountAll };
export default { render };
