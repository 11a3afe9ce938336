// Training replay: two runs side by side; the loss curves first, then what became of the embedding.
//
// Everything shown was computed by the library, recorded or, where there is a kernel, while the reader looks on ("live");
// the module draws.

const START = {
  left: "triplet", right: "hardest", epoch: 0, revealed: false, magnify: false, guess: "", numbers: false,
  settings: null, training: false, // of a live run: the kernel has them
};
const RATES = [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1], MARGINS = [0.01, 0.05, 0.2, 0.5, 1, 2, 5];
const NEEDS_KERNEL = "In a notebook with a kernel you can train a run of your own here, live, and choose its loss, learning " +
  "rate and margin; this page has none.";
const SIDES = ["left", "right"];
const GUESSES = { "": "not decided", left: "left", right: "right", both: "both", neither: "neither" };
const PAIRS = {
  "pair 1": { left: "triplet", right: "hardest" },
  "pair 2": { left: "hardest", right: "active" },
  "pair 3": { left: "sst", right: "contrastive" },
};
const ASK = "Predict first: a collapsed network puts every drawing in one place. Which of these two loss curves belongs to a " +
  "collapsed one, if any? The dashed line is the loss of a batch whose drawings are all in one place.";
const ASK_EPOCHS = "Is one of the two collapsed, and from which epoch on? Move the epoch and compare the distances.";
const LESSON = "A loss that comes to rest where “all in one place” would put it is a warning, not a proof: " +
  "look at the distances too. In a collapsed network they have gone to almost nothing. Recall@1 hides it for long, " +
  "because it reads the order of distances and never their size.";

// One colour per character, beside its shape; mid-tones that stand out on light and on dark.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#c98a00", "#3d9fd6", "#7f7f7f", "#a0714a"];

const percent = (v) => `${Math.round(100 * v)} %`;
const SMALLEST = 1e-7; // on a logarithmic axis; a loss can be 0
const log = (v) => Math.log10(Math.max(v, SMALLEST));
/** Three significant digits, without an exponent. */
const brief = (v) => (Math.abs(v) < 1e-6 ? "0" : text(v, clamp(2 - Math.floor(log(Math.abs(v))), 0, 6)));
const called = (run) => (run.letter ? `run ${run.letter}` : "live run");
const capital = (words) => words[0].toUpperCase() + words.slice(1);

/** Points of every epoch, two coordinates each, from whole numbers of 16 bits. */
function unpack({ points, unit }) {
  const bytes = Uint8Array.from(atob(points), (c) => c.charCodeAt(0)), whole = new Int16Array(bytes.buffer);
  const each = whole.length / unit.length;
  return unit.map((u, e) => Float64Array.from(whole.subarray(e * each, (e + 1) * each), (v) => v * u));
}

/** Where a logarithmic axis has its ticks: at 1, 2, 5 where it spans little, else at at most five powers of ten. */
const decades = (length) => Array.from({ length: 12 }, (_, i) => i - 7).filter((power) => power % Math.ceil(length / 4) === 0)
  .flatMap((power) => (length > 1.4 ? [1] : [1, 2, 5]).map((v) => Number(`${v}e${power}`)));
const largest = (numbers) => numbers.reduce((most, v) => Math.max(most, Math.abs(v)), SMALLEST);

/** Numbers to choose from; one that was set from Python joins them. */
function offer(select, values, chosen, recorded) {
  const all = [...new Set([...values, chosen, recorded])].sort((a, b) => a - b), offered = all.join();
  if (select.dataset.offered !== offered + recorded) {
    select.dataset.offered = offered + recorded;
    select.replaceChildren(...all.map((v) => h("option", { value: v }, v === recorded ? `${v} (as recorded)` : String(v))));
  }
  select.value = chosen;
}

class Replay extends Explorable {
  static figure = {
    name: "training_replay", label: "training replay", start: START, watched: ["live"], takeaway: LESSON,
    pace: 400, seconds: 30,
  };

  begin() {
    const { runs, margins, learning_rate: recordedRate, characters, drawings, sprite, sizes } = this.model.get("recording");
    Object.assign(this, { runs: { ...runs }, margins, recordedRate, characters, perCharacter: drawings, sprite, sizes });
    this.points = Object.fromEntries(Object.entries(runs).map(([name, run]) => [name, unpack(run)]));
    this.last = runs.triplet.loss.length - 1;
    this.kernel = this.model.get("training") != null;
    this.first.training = false; // Reset never starts a run
    this.takeLive();
  }

  /** The live run as far as it is, under the name "live". */
  takeLive() {
    this.live = this.model.get("live") ?? {};
    if (!this.live.run || this.live.run === this.runs.live) return;
    this.runs.live = this.live.run;
    this.points.live = unpack(this.live.run);
    this.version = (this.version ?? 0) + 1;
  }

  fromModel() {
    this.takeLive();
    super.fromModel();
  }

  get trains() { return this.kernel && ["starting", "training"].includes(this.live.status); }

  get pair() { return SIDES.map((side) => this.runs[this.state[side]]); }

  /** The epoch shown of a run: the newest, where it is not that far. */
  at(run) { return Math.min(this.state.epoch, run.loss.length - 1); }

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
      ...Object.keys(this.margins).map((value) => h("option", { value }))));
    this.liveChoice = h("option", { value: "live" });
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
      ...SIDES.map((side, i) => h("label", {}, `${side} `, this.choices[i])), this.liveControls()];
  }

  liveControls() {
    if (!this.kernel) return h("p", { class: "dml-live" }, NEEDS_KERNEL);
    const choose = (part) => this.change({ settings: { ...this.state.settings, ...part } });
    const number = (key) => h("select", { onchange: (e) => choose({ [key]: Number(e.target.value) }) });
    this.loss = h("select", { onchange: (e) => choose({ loss: e.target.value, margin: this.margins[e.target.value] }) },
      ...Object.keys(this.margins).map((value) => h("option", { value }, this.runs[value].about)));
    this.rate = number("learning_rate");
    this.margin = number("margin");
    this.marginLabel = h("label", {}, "margin ", this.margin);
    this.trainButton = button("Train live", () => {
      if (this.state.training || !this.trains) this.change({ training: !this.state.training }); // else it is about to stop
    });
    this.words = h("span", { class: "dml-words" });
    return h("div", { class: "dml-live dml-row", role: "group", "aria-label": "train live" }, "a run of your own: ",
      h("label", {}, "loss ", this.loss), h("label", {}, "learning rate ", this.rate), this.marginLabel,
      this.trainButton, this.words);
  }

  refreshLive() {
    const { settings, training } = this.state, { loss, learning_rate: rate, margin } = settings, recorded = this.margins[loss];
    this.loss.value = loss;
    offer(this.rate, RATES, rate, this.recordedRate);
    if (recorded != null) offer(this.margin, MARGINS, margin, recorded);
    this.marginLabel.hidden = recorded == null;
    this.trainButton.textContent = training ? "Stop" : this.trains ? "Stopping …" : "Train live";
    this.words.textContent = training && !this.trains ? "The kernel is asked to train; it starts as soon as it is free."
      : !training && this.trains ? "The kernel is asked to stop; it does as soon as it is free."
      : this.trains ? this.live.words : `${this.last} epochs, from the same start as the recorded runs.`;
  }

  refreshControls() {
    const { epoch, revealed, magnify, guess } = this.state;
    if (this.runs.live && !this.liveChoice.isConnected) this.choices[1].append(this.liveChoice);
    if (this.kernel) this.refreshLive();
    this.choices.forEach((select, i) => {
      for (const option of select.options) {
        const name = this.name(this.runs[option.value]);
        if (option.textContent !== name) option.textContent = name; // the list may be open
      }
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

  when(epoch = this.state.epoch) { return epoch ? `epoch ${epoch} of ${this.last}` : "before training"; }

  /** A run by its letter; what it is would give the answer away. */
  name(run) { return this.state.revealed ? `${called(run)}: ${run.about}` : called(run); }

  // - the drawing: a column for each run

  shape() {
    const { left, right, revealed } = this.state;
    return [left, right, revealed, right === "live" && this.version].join();
  }

  build() {
    const gap = 12, width = (this.width - gap) / 2, { revealed } = this.state, beside = revealed && width >= 420;
    const size = Math.min(beside ? 0.54 * width : width, 340), narrow = beside ? width - size - 8 : width;
    const losses = this.pair.flatMap((run) => [...run.loss.slice(1), run.line]);
    const distances = this.pair.flatMap((run) => run.distance);
    const shown = [{ key: "loss", title: "loss", values: losses, logarithmic: true, tall: revealed ? 76 : 120 },
      { key: "distance", title: "distance", values: distances, logarithmic: true, tall: 52 },
      { key: "recall", title: "Recall@1", values: [0, 1], tall: 52 }].slice(0, revealed ? 3 : 1);
    const columns = this.pair.map((run, i) => h("div", {
      class: "dml-column", role: "group", "aria-label": `${SIDES[i]}: ${this.name(run)}`, style: `width:${width}px`,
    }, h("p", { class: "dml-run" }, this.name(run)),
    h("div", { class: "dml-panels", style: "gap:8px" }, ...(revealed ? [this.cloud(run, i, size)] : []),
      h("div", {}, ...shown.map((what) => this.curve(run, i, narrow, what))))));
    return [h("div", { class: "dml-panels", style: `gap:${gap}px` }, ...columns), this.legend()];
  }

  /** A curve over the epochs with a marker at the current one. */
  curve(run, i, width, { key, title, values, logarithmic, tall }) {
    const left = 34, top = 22, right = width - 8;
    const scale = logarithmic ? log : (v) => v, room = logarithmic ? 0.12 : 0.02;
    const from = scale(Math.min(...values)) - room, to = scale(Math.max(...values)) + room;
    const x = (e) => left + ((right - left) * e) / this.last, y = (v) => top + (tall * (to - scale(v))) / (to - from);
    const ticks = logarithmic ? decades(to - from).filter((v) => scale(v) > from && scale(v) < to) : [0, 0.5, 1];
    const small = (u, v, anchor, label) => s("text", { x: u, y: v, "text-anchor": anchor, class: "dml-small" }, label);
    // The loss is the question and drawn whole; the answers to it are drawn as far as the reader has gone.
    const upTo = (epoch) => (key === "loss" ? run[key] : run[key].slice(0, epoch + 1));
    const path = (values) => values.flatMap((v, e) => (v == null ? [] : [`${x(e)} ${y(v)}`])).join("L");
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
    const curve = s("path", { class: "dml-curve" }), shown = key === "recall" ? percent : brief;
    svg.append(rule, curve, dot);
    this.drawings.push(() => {
      const epoch = this.at(run), v = run[key][epoch], ends = upTo(epoch).filter((value) => value != null);
      set(curve, { d: ends.length ? `M${path(upTo(epoch))}` : "" });
      heading.textContent = `${title} ${v == null ? "" : shown(v)}`;
      set(rule, { transform: `translate(${x(epoch)} 0)` });
      set(dot, v == null ? { visibility: "hidden" } : { visibility: "visible", cx: x(epoch), cy: y(v) });
      const course = ends.length ? `, from ${shown(ends[0])} to ${shown(ends.at(-1))}` : "";
      set(svg, { "aria-label": `${title} of ${called(run)}${course}` +
        `${line ? `, ${text(line)} if all were in one place` : ""}; ${this.when(epoch)}: ${v == null ? "none" : shown(v)}` });
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
    this.drawings.push(() => {
      const epoch = this.at(run), here = points[epoch];
      const reach = 1.08 * (this.state.magnify ? largest(here) : all), unit = size / 2 / reach;
      const place = (k) => [here[2 * k], -here[2 * k + 1]].map((v) => Math.round(10 * (size / 2 + unit * v)) / 10);
      paths.forEach((path, c) => {
        const marks = Array.from({ length: this.perCharacter }, (_, k) => MARKS[c](...place(c * this.perCharacter + k)));
        set(path, { d: marks.join("") });
      });
      const times = all / largest(here);
      note.textContent = `frame ${brief(2 * reach)} wide` +
        (this.state.magnify && times > 1.2 ? `, magnified ${brief(times)} ×` : "");
      set(svg, { "aria-label": `embedding of ${called(run)}, ${this.when(epoch)}: ${this.drawn()}; ` +
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
    const turns = this.state.right === "live" ? " The live run's last epoch is its newest, so its picture can turn." : "";
    return h("div", { class: "dml-legend" }, h("p", {}, ...marks), h("p", {},
      `Points: ${this.drawn()} not trained on, on the two main directions of the run's last epoch, the same for all epochs ` +
      `(left ${left}, right ${right} of the variance at the end); their mean is moved to the middle. So a collapsed run is ` +
      `shown where it has the most left.${turns} Distance (the mean between drawings of different characters) and Recall@1 ` +
      `are those of the whole embedding, of ${this.sizes.measured} drawings of ${this.sizes.classes} characters; at epoch 0 they ` +
      "are those of the untrained network. They are drawn up to the epoch shown. Loss and distance have logarithmic axes; " +
      dashed));
  }

  buildTable() {
    const { revealed } = this.state, keys = revealed ? ["loss", "recall", "distance"] : ["loss"];
    const names = { loss: "loss", recall: "Recall@1", distance: "distance" };
    const head = h("tr", {}, h("th", { scope: "col" }, "epoch"), ...this.pair.flatMap((run, i) =>
      keys.map((key) => h("th", { scope: "col" }, `${SIDES[i]}, ${called(run)}: ${names[key]}`))));
    const rows = this.pair[0].loss.map((_, e) => h("tr", { "data-epoch": e }, h("th", { scope: "row" }, String(e)),
      ...this.pair.flatMap((run, i) => keys.map((key) => {
        const v = run[key][e], shown = v == null ? "–" : key === "recall" ? percent(v) : brief(v);
        return h("td", { "data-of": SIDES[i], "data-key": key, "data-value": v, "data-shown": shown }, shown);
      }))));
    this.drawings.push((epoch) => rows.forEach((row, e) => {
      if (e === epoch) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
      for (const cell of row.querySelectorAll("td")) {
        cell.textContent = e <= epoch || cell.dataset.key === "loss" ? cell.dataset.shown : "…";
      }
    }));
    return [h("table", {}, h("thead", {}, head), h("tbody", {}, ...rows))];
  }

  /** What the state shows, in words. */
  sentence() {
    if (this.trains) return "Live run: it trains, and is described here once it has ended."; // not every epoch
    const { revealed, right } = this.state, news = right === "live" || this.live.status === "failed" ? this.live.words : "";
    const told = this.pair.map((run, i) => {
      const side = capital(SIDES[i]), epoch = this.at(run), v = run.loss[epoch];
      const loss = v == null ? "" : ` loss ${brief(v)} (all in one place: ${text(run.line)}),`;
      if (!revealed) return loss && `${side}, ${called(run)}:${loss.slice(0, -1)}.`;
      const share = (100 * run.distance[epoch]) / run.distance[0];
      return `${side}, ${called(run)}:${loss} different characters ${brief(run.distance[epoch])} apart on average` +
        `${epoch ? ` (${text(share, share < 10 ? 1 : 0)} % of that before training)` : ""}, ` +
        `Recall@1 ${percent(run.recall[epoch])}: ${run.collapsed[epoch] ? "collapsed" : "not collapsed"}.`;
    });
    const head = `${capital(this.when())}${revealed ? "" : ", points hidden"}.`;
    return [this.kernel && news, head, ...told, this.verdict()].filter(Boolean).join(" ");
  }

  /** The prediction, and at the last epoch the outcome beside it. */
  verdict() {
    const { guess, revealed, right: run, epoch } = this.state;
    if (!guess || !revealed || run === "live") return "";
    if (epoch < this.last) return `Your prediction: ${guess}. Take the epoch to its end to see the outcome.`;
    const [left, right] = this.pair.map((run) => run.collapsed.at(-1));
    const outcome = left && right ? "both" : left ? "left" : right ? "right" : "neither";
    return `Your prediction: ${guess}; collapsed at the end: ${outcome}.`;
  }
}

const { render, mountAll } = hosts(Replay);
export { mountAll };
export default { render };
