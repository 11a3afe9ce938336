// Training replay: two recorded runs side by side; the loss curves first, then what became of the embedding.
//
// Everything shown was computed by the library and recorded; the module draws.

const START = { left: "triplet", right: "hardest", epoch: 0, revealed: false, magnify: false, guess: "", numbers: false };
const SIDES = ["left", "right"];
const GUESSES = { "": "not decided", left: "left", right: "right", both: "both", neither: "neither" };
const PAIRS = {
  "pair 1": { left: "triplet", right: "hardest" },
  "pair 2": { left: "hardest", right: "active" },
  "pair 3": { left: "sst", right: "contrastive" },
};
const ASK = "Predict first: a collapsed network puts every drawing in one place. Which of these two loss curves belongs to a " +
  "collapsed one? The dashed line is the loss of a batch whose drawings are all in one place.";
const ASK_EPOCHS = "Which of the two is collapsed, and from which epoch on? Move the epoch and compare the distances.";
const LESSON = "A loss that comes to rest where “all in one place” would put it is a warning, not a proof: " +
  "look at the distances too. In a collapsed network they have gone to almost nothing. Recall@1 hides it for long, " +
  "because it reads the order of distances and never their size.";

// One colour and one shape per character; mid-tones that stand out on light and on dark.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c98a00", "#3d9fd6", "#7f7f7f", "#a0714a"];
const MARKS = [
  (x, y) => `M${x - 3.4} ${y}a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z`,
  (x, y) => `M${x - 3.1} ${y - 3.1}h6.2v6.2h-6.2Z`,
  (x, y) => `M${x} ${y - 4}l3.9 6.8h-7.8Z`,
  (x, y) => `M${x} ${y - 4.4}l4.4 4.4l-4.4 4.4l-4.4 -4.4Z`,
  (x, y) => `M${x} ${y + 4}l3.9 -6.8h-7.8Z`,
  (x, y) => `M${x - 1.2} ${y - 4}h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8Z`,
  (x, y) => `M${x - 4} ${y - 2.4}l1.6 -1.6l2.4 2.4l2.4 -2.4l1.6 1.6l-2.4 2.4l2.4 2.4l-1.6 1.6l-2.4 -2.4l-2.4 2.4` +
    "l-1.6 -1.6l2.4 -2.4Z",
  (x, y) => `M${x - 1.6} ${y - 4.2}h3.2v8.4h-3.2Z`,
];

const percent = (v) => `${Math.round(100 * v)} %`;
/** Three significant digits, without an exponent. */
const brief = (v) => text(v, clamp(2 - Math.floor(Math.log10(Math.abs(v))), 0, 6));

/** Points of every epoch, two coordinates each, from whole numbers of 16 bits. */
function unpack({ points, unit }) {
  const bytes = Uint8Array.from(atob(points), (c) => c.charCodeAt(0)), whole = new Int16Array(bytes.buffer);
  const each = whole.length / unit.length;
  return unit.map((u, e) => Float64Array.from(whole.subarray(e * each, (e + 1) * each), (v) => v * u));
}

/** Where a logarithmic axis has its ticks: at powers of ten, or at 1, 2, 5 where it spans little. */
const decades = (length) => [0.001, 0.01, 0.1, 1, 10].flatMap((v) => (length > 1.4 ? [v] : [v, 2 * v, 5 * v]));
const largest = (numbers) => numbers.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

class Replay extends Explorable {
  static figure = {
    name: "training_replay", label: "training replay", start: START, takeaway: LESSON,
    pace: 400, seconds: 30,
  };

  begin() {
    const { runs, characters, drawings, sprite, sizes } = this.model.get("recording");
    Object.assign(this, { runs, characters, perCharacter: drawings, sprite, sizes });
    this.points = Object.fromEntries(Object.entries(runs).map(([name, run]) => [name, unpack(run)]));
    this.last = runs.triplet.loss.length - 1;
  }

  get pair() { return SIDES.map((side) => this.runs[this.state[side]]); }

  given() { return [this.state.epoch, this.pair]; }

  advance() {
    if (this.state.epoch < this.last) this.change({ epoch: this.state.epoch + 1 });
    return this.state.epoch < this.last;
  }

  play() {
    if (!this.timer && this.state.epoch === this.last) this.change({ epoch: 0 });
    super.play();
  }

  to(part) {
    this.stop();
    this.change(part);
  }

  // - the controls

  toolbar() {
    const hidden = { epoch: 0, revealed: false, magnify: false, guess: "" };
    const show = { ...PAIRS["pair 1"], epoch: this.last, revealed: true, magnify: false };
    return [h("span", { class: "dml-group", role: "group", "aria-label": "two curves to predict from" }, "predict: ",
      ...Object.entries(PAIRS).map(([label, pair]) => button(label, () => this.to({ ...pair, ...hidden })))),
    h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ",
      button("collapsed beside healthy", () => this.to(show)))];
  }

  question() { return this.state.revealed ? ASK_EPOCHS : ASK; }

  controls() {
    this.choices = SIDES.map((side) => h("select", { onchange: (e) => this.to({ [side]: e.target.value }) },
      ...Object.keys(this.runs).map((value) => h("option", { value }))));
    this.guess = h("select", { onchange: (e) => this.change({ guess: e.target.value }) },
      ...Object.entries(GUESSES).map(([value, label]) => h("option", { value }, label)));
    this.reveal = button("Show the points", () => this.to({ revealed: !this.state.revealed }));
    this.slider = h("input", { type: "range", min: 0, max: this.last, step: 1, "aria-label": "epoch",
      oninput: (e) => this.to({ epoch: Number(e.target.value) }) });
    this.epochText = h("span", { class: "dml-epoch" });
    this.playButton = button("Play", () => this.play());
    this.fit = h("input", { type: "checkbox", onchange: (e) => this.change({ magnify: e.target.checked }) });
    this.fitLabel = h("label", {}, this.fit, " magnify to each epoch");
    return [h("label", {}, "my prediction: collapsed is ", this.guess), this.reveal,
      h("span", { class: "dml-group" }, h("label", {}, "epoch ", this.slider), this.epochText,
        button("Step", () => this.to({ epoch: Math.min(this.state.epoch + 1, this.last) })), this.playButton,
        button("Reset", () => this.reset())),
      this.fitLabel,
      ...SIDES.map((side, i) => h("label", {}, `${side} `, this.choices[i]))];
  }

  refreshControls() {
    const { epoch, revealed, magnify, guess } = this.state;
    this.choices.forEach((select, i) => {
      for (const option of select.options) option.textContent = this.name(this.runs[option.value]);
      select.value = this.state[SIDES[i]];
    });
    this.guess.value = guess;
    this.reveal.textContent = revealed ? "Hide the points" : "Show the points";
    this.slider.value = epoch;
    this.slider.setAttribute("aria-valuetext", this.when());
    this.epochText.textContent = `${epoch} of ${this.last}`;
    this.fit.checked = magnify;
    this.fitLabel.hidden = !revealed;
  }

  when() { return this.state.epoch ? `epoch ${this.state.epoch} of ${this.last}` : "before training"; }

  /** A run by its letter; what it is would give the answer away. */
  name({ letter, about }) { return this.state.revealed ? `run ${letter}: ${about}` : `run ${letter}`; }

  // - the drawing: a column for each run

  shape() { return [this.state.left, this.state.right, this.state.revealed].join(); }

  build() {
    const gap = 12, width = (this.width - gap) / 2, { revealed } = this.state, beside = revealed && width >= 420;
    const size = Math.min(beside ? 0.54 * width : width, 340), narrow = beside ? width - size - 8 : width;
    const losses = this.pair.flatMap((run) => [...run.loss.slice(1), run.line]);
    const distances = this.pair.flatMap((run) => run.distance);
    const shown = [{ key: "loss", title: "loss", values: losses, log: true, tall: revealed ? 76 : 120 },
      { key: "distance", title: "distance", values: distances, log: true, tall: 52 },
      { key: "recall", title: "Recall@1", values: [0, 1], tall: 52 }].slice(0, revealed ? 3 : 1);
    const columns = this.pair.map((run, i) => h("div", {
      class: "dml-column", role: "group", "aria-label": `${SIDES[i]}: ${this.name(run)}`, style: `width:${width}px`,
    }, h("p", { class: "dml-run" }, this.name(run)),
    h("div", { class: "dml-panels", style: "gap:8px" }, ...(revealed ? [this.cloud(run, i, size)] : []),
      h("div", {}, ...shown.map((what) => this.curve(run, i, narrow, what))))));
    return [h("div", { class: "dml-panels", style: `gap:${gap}px` }, ...columns), this.legend()];
  }

  /** A curve over the epochs with a marker at the current one. */
  curve(run, i, width, { key, title, values, log, tall }) {
    const left = 34, top = 22, right = width - 8;
    const scale = log ? Math.log10 : (v) => v, room = log ? 0.12 : 0.02;
    const from = scale(Math.min(...values)) - room, to = scale(Math.max(...values)) + room;
    const x = (e) => left + ((right - left) * e) / this.last, y = (v) => top + (tall * (to - scale(v))) / (to - from);
    const ticks = log ? decades(to - from).filter((v) => scale(v) > from && scale(v) < to) : [0, 0.5, 1];
    const small = (u, v, anchor, label) => s("text", { x: u, y: v, "text-anchor": anchor, class: "dml-small" }, label);
    const places = run[key].flatMap((v, e) => (v == null ? [] : [`${x(e)} ${y(v)}`]));
    const rule = s("path", { class: "dml-now", d: `M0 ${top}v${tall}` }), dot = s("circle", { class: "dml-dot", r: 4.5 });
    const heading = s("text", { x: 0, y: 14, class: "dml-title" });
    const svg = s("svg", { width, height: top + tall + 20, role: "img", "data-curve": key, "data-of": SIDES[i] },
      s("rect", { x: left, y: top, width: right - left, height: tall, class: "dml-outline" }), heading,
      ...ticks.flatMap((v) => [s("path", { class: "dml-rule", d: `M${left} ${y(v)}H${right}` }),
        small(left - 4, y(v) + 4, "end", String(v))]),
      ...[0, this.last / 2, this.last].map((e) =>
        small(x(e), top + tall + 15, e === this.last ? "end" : "middle", String(e))));
    const line = key === "loss" && run.line;
    if (line) {
      const label = right - left > 135 ? `${text(line)}: all in one place` : text(line), crowded = y(line) < top + 30;
      svg.append(s("path", { class: "dml-stuck", d: `M${left} ${y(line)}H${right}` }),
        small(right - 3, y(line) + (crowded ? 14 : -5), "end", label));
    }
    svg.append(rule, s("path", { class: "dml-curve", d: `M${places.join("L")}` }), dot);
    const ends = run[key].filter((v) => v != null), shown = key === "recall" ? percent : brief;
    this.drawings.push((epoch) => {
      const v = run[key][epoch];
      heading.textContent = `${title} ${v == null ? "" : shown(v)}`;
      set(rule, { transform: `translate(${x(epoch)} 0)` });
      set(dot, v == null ? { visibility: "hidden" } : { visibility: "visible", cx: x(epoch), cy: y(v) });
      set(svg, { "aria-label": `${title} of run ${run.letter}, from ${shown(ends[0])} to ${shown(ends.at(-1))}` +
        `${line ? `, ${text(line)} if all were in one place` : ""}; ${this.when()}: ${v == null ? "none" : shown(v)}` });
    });
    return svg;
  }

  /** The embedding: one path per character, so that an epoch is eight strings. */
  cloud(run, i, size) {
    const points = this.points[this.state[SIDES[i]]];
    const all = Math.max(...SIDES.flatMap((side) => this.points[this.state[side]].map(largest)));
    const paths = COLOURS.slice(0, this.characters).map((fill) => s("path", { fill, class: "dml-points" }));
    const note = s("text", { x: 6, y: size - 8, class: "dml-small" });
    const svg = s("svg", { width: size, height: size, role: "img", "data-cloud": SIDES[i] },
      s("rect", { x: 0.5, y: 0.5, width: size - 1, height: size - 1, class: "dml-outline" }), ...paths, note);
    this.drawings.push((epoch) => {
      const here = points[epoch], reach = 1.08 * (this.state.magnify ? largest(here) : all), unit = size / 2 / reach;
      const place = (k) => [here[2 * k], -here[2 * k + 1]].map((v) => Math.round(10 * (size / 2 + unit * v)) / 10);
      paths.forEach((path, c) => {
        const marks = Array.from({ length: this.perCharacter }, (_, k) => MARKS[c](...place(c * this.perCharacter + k)));
        set(path, { d: marks.join("") });
      });
      const times = all / largest(here);
      note.textContent = `frame ${brief(2 * reach)} wide` +
        (this.state.magnify && times > 1.2 ? `, magnified ${brief(times)} ×` : "");
      set(svg, { "aria-label": `embedding of run ${run.letter}, ${this.when()}: ${this.drawn()}; ` +
        `different characters are ${brief(run.distance[epoch])} apart on average` });
    });
    return svg;
  }

  drawn() { return `${this.characters * this.perCharacter} drawings of ${this.characters} characters`; }

  legend() {
    const dashed = "dashed: the loss of a batch whose drawings are all in one place.";
    if (!this.state.revealed) {
      const { batches, batch } = this.sizes;
      return h("p", { class: "dml-legend" }, `Mean training loss of each epoch (${batches} batches of ${batch} drawings), on a ` +
        `logarithmic axis; ${dashed} All runs start from the same untrained network.`);
    }
    const marks = COLOURS.slice(0, this.characters).map((fill, c) => h("span", { class: "dml-key" },
      s("svg", { width: 14, height: 14, "aria-hidden": "true" }, s("path", { d: MARKS[c](7, 7), fill, class: "dml-points" })),
      h("span", { class: "dml-glyph", role: "img", "aria-label": `character ${c + 1}`,
        style: `background-image:url(${this.sprite});background-position:${-28 * c}px 0` })));
    const [left, right] = this.pair.map((run) => percent(run.kept));
    return h("div", { class: "dml-legend" }, h("p", {}, ...marks), h("p", {},
      `Points: ${this.drawn()} not trained on, on the two main directions of the run's last epoch, the same for all epochs ` +
      `(left ${left}, right ${right} of the variance at the end); their mean is moved to the middle. So a collapsed run is ` +
      "shown where it has the most left. Distance (the mean between drawings of different characters) and Recall@1 are those " +
      `of the whole embedding, of ${this.sizes.measured} drawings. Loss and distance have logarithmic axes; ${dashed}`));
  }

  buildTable() {
    const { revealed } = this.state, keys = revealed ? ["loss", "recall", "distance"] : ["loss"];
    const names = { loss: "loss", recall: "Recall@1", distance: "distance" };
    const head = h("tr", {}, h("th", { scope: "col" }, "epoch"), ...this.pair.flatMap((run, i) =>
      keys.map((key) => h("th", { scope: "col" }, `${SIDES[i]}, run ${run.letter}: ${names[key]}`))));
    const rows = this.pair[0].loss.map((_, e) => h("tr", { "data-epoch": e }, h("th", { scope: "row" }, String(e)),
      ...this.pair.flatMap((run, i) => keys.map((key) => {
        const v = run[key][e], shown = v == null ? "–" : key === "recall" ? percent(v) : brief(v);
        return h("td", { "data-of": SIDES[i], "data-key": key, "data-value": v }, shown);
      }))));
    this.drawings.push((epoch) => rows.forEach((row, e) => {
      if (e === epoch) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }));
    return [h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))];
  }

  /** What the state shows, in words: read out 500 ms after the last change. */
  sentence() {
    const { epoch, revealed } = this.state, when = this.when();
    const told = this.pair.map((run, i) => {
      const side = SIDES[i][0].toUpperCase() + SIDES[i].slice(1), v = run.loss[epoch];
      const loss = v == null ? "" : ` loss ${brief(v)} (all in one place: ${text(run.line)}),`;
      if (!revealed) return loss && `${side}, run ${run.letter}:${loss.slice(0, -1)}.`;
      const share = (100 * run.distance[epoch]) / run.distance[0];
      return `${side}, run ${run.letter}:${loss} different characters ${brief(run.distance[epoch])} apart on average` +
        `${epoch ? ` (${text(share, share < 10 ? 1 : 0)} % of that before training)` : ""}, ` +
        `Recall@1 ${percent(run.recall[epoch])}: ${run.collapsed[epoch] ? "collapsed" : "not collapsed"}.`;
    });
    const head = when[0].toUpperCase() + when.slice(1);
    return [`${head}${revealed ? "" : ", points hidden"}.`, ...told, this.verdict()].filter(Boolean).join(" ");
  }

  /** The prediction beside the outcome at the last epoch. */
  verdict() {
    const { guess, revealed } = this.state;
    if (!guess || !revealed) return "";
    const [left, right] = this.pair.map((run) => run.collapsed.at(-1));
    const outcome = left && right ? "both" : left ? "left" : right ? "right" : "neither";
    return `Your prediction: ${guess}; collapsed at the end: ${outcome}.`;
  }
}

const { render, mountAll } = hosts(Replay);
export { mountAll };
export default { render };
