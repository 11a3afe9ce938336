// Temperature explorer: how a temperature divides the push of a log-softmax loss among the negatives of one anchor.
//
// The cosines are those of recorded drawings, the losses those of dmlteach, means over eight batches. The shares are
// taken here: `weightsOf`, which a test compares with autograd of the library's losses.

const START = { member: "supcon", temperature: 1, embedding: "untrained", numbers: false };
const NETWORKS = { untrained: "untrained network", trained: "trained network" };
const TAKEAWAY = "A log-softmax loss pushes each negative by its softmax probability. Where the temperature is small beside " +
  "the differences of similarity, the nearest has nearly all of the push; where it is large, all have the same. So one " +
  "temperature is hard in one embedding and soft in another, and the loss's value says nothing beside that of another " +
  "temperature.";
const ASK = "Predict first: at the usual temperature of 0.1, how many of the 60 negatives share the push, in effect? In the untrained " +
  "network, and in the trained one? Then move the slider, and choose the other network.";
const ASK_OF = { // of what "show me" shows
  "nearly the hardest alone": "Predict first: at this temperature, do as few negatives share the push in the untrained network? Then choose it.",
  "a positive is pushed away": "Predict first: NCA has its sum inside the log. Does it push this positive away, too? Then choose that loss.",
  "the better network, the higher loss": "Predict first: at this temperature, has the untrained network a lower loss, or a higher one? Then choose it.",
};
const TOP = 40, FLOOR = 186, HEIGHT = 262, LEFT = 8, SIDE = 214, CURVE = 132; // pixels

/** ∂L/∂S of an anchor's pairs: above 0 pushed apart, below 0 pulled together; what the loss does not look at has 0. */
export const weightsOf = ({ cosine, positive, paired }, temperature, member) => {
  const among = (i) => !member.paired || paired[i], wanted = (i) => among(i) && positive[i];
  const softmax = (part) => {
    const top = Math.max(...cosine.filter((_, i) => part(i)));
    const raised = cosine.map((s, i) => (part(i) ? Math.exp((s - top) / temperature) : 0));
    const sum = raised.reduce((a, b) => a + b, 0);
    return raised.map((x) => x / sum);
  };
  const number = cosine.filter((_, i) => wanted(i)).length;
  const chosen = softmax(among), aim = member.inside ? softmax(wanted) : cosine.map((_, i) => (wanted(i) ? 1 / number : 0));
  return chosen.map((p, i) => (p - aim[i]) / temperature);
};

/** exp of the entropy of shares that sum to 1: K where K are equal and the others 0. */
export const effectiveNumber = (shares) => Math.exp(-shares.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0));

const percent = (share) => `${text(100 * share, share < 0.1 ? 1 : 0)}\u00a0%`;

class TemperatureExplorer extends Explorable {
  static figure = { name: "temperature_explorer", label: "shares of the gradient against the temperature", start: START, takeaway: TAKEAWAY };

  begin() { this.recorded = this.model.get("recorded"); }

  get of() { return this.recorded.members[this.state.member]; }

  get place() { return this.recorded.temperatures.indexOf(this.state.temperature); }

  /** Shares of the push by negative; and the positives' weights, as shares of the sum of their sizes. */
  measured(temperature) {
    const row = this.recorded.rows[this.state.embedding], weights = weightsOf(row, temperature, this.of);
    const part = (positive) => weights.filter((_, i) => row.positive[i] === positive);
    const size = (list) => list.reduce((sum, w) => sum + Math.abs(w), 0) || 1;
    const push = part(false), pull = part(true);
    return { shares: push.map((w) => w / size(push)), positives: pull.map((w) => w / size(pull)) };
  }

  // - the controls

  toolbar() {
    this.states = Object.entries(this.recorded.states).map(([label, part]) => [button(label, () => this.change({ ...part })), part]);
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ", ...this.states.map(([node]) => node))];
  }

  question() {
    const isShown = ([, part]) => Object.entries(part).every(([key, value]) => this.state[key] === value);
    return ASK_OF[Object.entries(this.recorded.states).find(isShown)?.[0]] ?? ASK;
  }

  controls() {
    const options = Object.entries(this.recorded.members).map(([name, { label }]) => h("option", { value: name }, label));
    this.member = h("select", { "data-key": "member", onchange: (event) => this.change({ member: event.target.value }) }, ...options);
    this.slider = h("input", { type: "range", min: 0, max: this.recorded.temperatures.length - 1, step: 1, "data-key": "temperature",
      oninput: (event) => this.change({ temperature: this.recorded.temperatures[event.target.value] }) });
    this.shown = h("output", {});
    this.embeddings = Object.entries(NETWORKS).map(([name, label]) =>
      button(label, () => this.change({ embedding: name }), { "data-embedding": name }));
    return [h("label", {}, "loss", this.member), h("label", {}, "temperature", this.slider, this.shown),
      h("span", { class: "dml-group", role: "group", "aria-label": "embedding" }, ...this.embeddings),
      button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { member, temperature, embedding } = this.state;
    for (const [node, part] of this.states) {
      node.setAttribute("aria-pressed", Object.entries(part).every(([key, wanted]) => this.state[key] === wanted));
    }
    this.member.value = member;
    this.slider.value = this.place;
    set(this.slider, { "aria-valuetext": temperature });
    this.shown.textContent = temperature;
    for (const node of this.embeddings) node.setAttribute("aria-pressed", node.dataset.embedding === embedding);
  }

  // - the drawing: positives and negatives by rank, and beside them the loss against the temperature

  shape() { return JSON.stringify([this.state.member, this.state.temperature, this.state.embedding]); }

  build() {
    const beside = this.width >= 640, width = beside ? this.width - SIDE - 18 : this.width, side = beside ? SIDE : width;
    const drawn = s("svg", { width, height: HEIGHT, role: "img", "aria-label": this.alt() }, ...this.bars(width));
    const curve = s("svg", { width: side, height: CURVE, role: "img", "aria-label": "Loss against temperature, of both networks; numbers below." },
      ...this.curve(side));
    return [h("div", { class: "dml-panels", style: "gap:18px" }, drawn,
      h("div", { style: `width:${side}px` }, curve, ...this.told()))];
  }

  bars(width) {
    const { shares, positives } = this.measured(this.state.temperature), { shares: before } = this.measured(1);
    const broad = 20, start = LEFT + 3 * broad + 34, step = (width - LEFT - start) / shares.length, largest = Math.max(...shares);
    const most = Math.max(largest, ...before); // no bar and no line leaves the drawing
    const bar = (kind, x, w, height) => s("rect", { class: kind, x, width: w, y: FLOOR - Math.max(height, 0), height: Math.abs(height) });
    const line = before.map((share, i) => {
      const y = (FLOOR - (FLOOR - TOP) * share / most).toFixed(1);
      return `${i ? "L" : "M"}${(start + step * i).toFixed(1)} ${y}H${(start + step * (i + 1)).toFixed(1)}`;
    }).join("");
    const cosine = this.recorded.rows[this.state.embedding].cosine.slice(3), at = (x, y, label, anchor = "start") =>
      s("text", { x, y, class: "dml-small", "text-anchor": anchor }, label);
    return [...positives.map((w, i) => bar(w < 0 ? "dml-pulled" : "dml-push", LEFT + broad * i, broad - 3, 60 * w)),
      ...shares.map((share, i) => bar("dml-push", start + step * i, Math.max(step - 1, 1), (FLOOR - TOP) * share / most)),
      s("path", { class: "dml-belief", d: line }),
      s("path", { class: "dml-axis", d: `M${LEFT} ${FLOOR}H${start - 30}M${start} ${FLOOR}H${width - LEFT}` }),
      at(LEFT, 13, "positives"), at(start, 13, "60 negatives, the nearest first"),
      at(start, 29, `share of the push, at most ${percent(largest)}`),
      at(LEFT, FLOOR + 68, "below: pulled"), at(start, FLOOR + 18, `cosine ${text(cosine[0])}`),
      at(width - LEFT, FLOOR + 18, text(cosine.at(-1)), "end"),
      at(start, FLOOR + 38, "dashed: if it were only a scale")];
  }

  curve(width) {
    const { temperatures } = this.recorded, { embedding } = this.state, { loss } = this.of, low = 24, high = CURVE - 24;
    const most = Math.max(...loss.untrained, ...loss.trained);
    const along = (i) => LEFT + (width - 2 * LEFT) * i / (temperatures.length - 1), up = (value) => high - (high - low) * value / most;
    const path = (values) => values.map((value, i) => `${i ? "L" : "M"}${along(i).toFixed(1)} ${up(value).toFixed(1)}`).join("");
    const here = loss[embedding][this.place];
    const ticks = [[0, "0.01", "start"], [temperatures.indexOf(0.1), "0.1", "middle"], [temperatures.length - 1, "2", "end"]];
    return [s("text", { x: LEFT, y: 12, class: "dml-small" }, `loss (0 to ${text(most, 1)}) by temperature`),
      s("path", { class: "dml-axis", d: `M${LEFT} ${high}H${width - LEFT}` }),
      s("path", { class: "dml-level", d: `M${LEFT} ${up(here)}H${width - LEFT}` }),
      s("path", { class: "dml-of-untrained", d: path(loss.untrained) }), s("path", { class: "dml-of-trained", d: path(loss.trained) }),
      s("circle", { class: "dml-here", cx: along(this.place), cy: up(here), r: 5 }),
      ...ticks.map(([i, label, anchor]) => s("text", { x: along(i), y: high + 16, class: "dml-small", "text-anchor": anchor }, label))];
  }

  /** What stands beside the drawing. */
  told() {
    const { shares } = this.measured(this.state.temperature), line = (label, value, key) =>
      h("p", {}, `${label}: `, h("strong", { "data-of": key }, value));
    return [h("p", { class: "dml-legend" }, "solid: trained network; dashed: untrained; dotted: the loss that is shown."),
      line("effective number of negatives", text(effectiveNumber(shares), 1), "effective"),
      line("loss, mean of eight batches", text(this.of.loss[this.state.embedding][this.place]), "loss")];
  }

  buildTable() {
    const { temperature, embedding } = this.state, { cosine, positive } = this.recorded.rows[embedding];
    const { shares, positives } = this.measured(temperature), values = [...positives, ...shares];
    const rows = cosine.map((c, i) => h("tr", {}, h("th", { scope: "row" }, positive[i] ? `positive ${i + 1}` : `negative ${i - 2}`),
      h("td", {}, text(c, 3)), h("td", {}, percent(values[i]))));
    return [h("table", {}, h("caption", {}, "Shares of all push on negatives, and of the gradient on positives: there below 0 is pulled, above 0 pushed."),
      h("thead", {}, h("tr", {}, ...["picture", "cosine", "share"].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows))];
  }

  alt() {
    const { temperature, embedding } = this.state;
    return `Shares of the gradient of ${this.of.label}, temperature ${temperature}, ${NETWORKS[embedding]}. The numbers are in the table below.`;
  }

  /** What the state shows, in words. */
  sentence() {
    const { temperature, embedding } = this.state, { shares, positives } = this.measured(temperature), { label, loss } = this.of;
    const pushed = positives.filter((w) => w > 1e-12).length, here = loss[embedding][this.place];
    const told = [`${label}, at ${temperature}, ${NETWORKS[embedding]}: as if ${text(effectiveNumber(shares), 0)} of 60 negatives shared the push; ` +
      `the nearest has ${percent(Math.max(...shares))}.`];
    if (pushed) told.push(`${pushed} of 3 positives ${pushed > 1 ? "are" : "is"} pushed away.`);
    const least = Math.min(...loss.untrained), where = this.recorded.temperatures[loss.untrained.indexOf(least)], beside = loss.untrained[this.place];
    if (embedding === "trained" && here > beside) told.push(`The loss is ${text(here)}, and ${text(beside)} in the untrained network.`);
    else if (embedding === "trained" && here > least) told.push(`The loss is ${text(here)}: the untrained network has less at ${where}, ${text(least)}.`);
    return told.join(" ");
  }
}

const { render, mountAll } = hosts(TemperatureExplorer);
export { mountAll };
export default { render };
