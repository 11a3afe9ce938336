// The embedding lab: metric learning trained in the page, by a worker that holds the losses and the trainer.

const LOSS_NAMES = {
  contrastive: "contrastive", triplet: "triplet", sst: "SST", multi_similarity: "multi-similarity",
  proxy_anchor: "proxy-anchor", softmax: "softmax",
};
const MARGINS = { contrastive: 1, triplet: 0.2 }; // of the losses that have one, their usual ones
const NEGATIVES = { all: "all", hardest: "hardest" };
const BATCHES = { random: "random", classes: "P × K (8 × 5)", local: "local" };
const WIDTHS = { 16: "16", 2: "2" };
const SHOWN = { unseen: "never shown (10)", seen: "learned from (20)" };
const RATES = { 0.0001: "0.0001", 0.0003: "0.0003", 0.001: "0.001", 0.003: "0.003", 0.01: "0.01", 0.03: "0.03" };
const PACES = { slow: { steps: 1, milliseconds: 25 }, medium: { steps: 5, milliseconds: 25 }, fast: { steps: 200, milliseconds: 25 } };
const CALM = 50; // steps between two pictures, where the reader wants less motion
const LAST = 4000; // steps, where Play rests
const KEPT = 300; // points of a curve; then every second is dropped
const NEIGHBORS = 5;

// What a second lab beside the first has otherwise.
const BESIDE = {
  nothing: { label: "nothing", part: {} },
  still: { label: "no turns or shifts", part: { turns: false } },
  classes: { label: "P × K batches", part: { batches: "classes" } },
  triplet: { label: "triplet loss", part: { loss: "triplet", negatives: "all", margin: MARGINS.triplet } },
  plane: { label: "only 2 dimensions", part: { width: 2 } },
  shuffled: { label: "shuffled labels", part: { shuffled: true } },
};
const START = {
  loss: "triplet", negatives: "all", margin: MARGINS.triplet, batches: "classes", rate: 0.001, width: 16, turns: true,
  shuffled: false, seed: 0, beside: "nothing", shown: "unseen", pace: "fast", focus: 0, numbers: false,
};
const OF_TRAINING = ["loss", "negatives", "margin", "batches", "rate", "width", "turns", "shuffled", "seed"];
const NAMED = {
  "turns and shifts": { beside: "still" },
  "collapse": { negatives: "hardest", rate: 0.03 },
  "shuffled labels": { shuffled: true, turns: false },
  "local batches": { batches: "local", beside: "classes" },
  "softmax": { loss: "softmax", beside: "triplet" },
};
const ASK = "Predict first: comparing raw pixels finds a drawing of the same character for about three in four drawings. Will " +
  "2,000 steps on twenty other characters beat that? What share of the tuples still gives a gradient by then?";
const LESSON = "What is learned on some characters carries over to others if the drawings are varied enough: without turns and " +
  "shifts the network learns its twenty by heart and stays below raw pixels on the ten it never saw. A falling loss tells " +
  "nothing about them. And a plain classifier is as good here as losses over pairs and triplets.";

// One colour and one shape per character; mid-tones that stand out on light and on dark.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#3d8fc6", "#7f7f7f", "#a0714a", "#8a63c9", "#c2485b"];
const MARKS = [
  (x, y) => `M${x - 3.4} ${y}a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z`,
  (x, y) => `M${x - 3.1} ${y - 3.1}h6.2v6.2h-6.2Z`,
  (x, y) => `M${x} ${y - 4}l3.9 6.8h-7.8Z`,
  (x, y) => `M${x} ${y - 4.4}l4.4 4.4l-4.4 4.4l-4.4 -4.4Z`,
  (x, y) => `M${x} ${y + 4}l3.9 -6.8h-7.8Z`,
  (x, y) => `M${x - 1.2} ${y - 4}h2.4v2.8h2.8v2.4h-2.8v2.8h-2.4v-2.8h-2.8v-2.4h2.8Z`,
  (x, y) => `M${x - 1.6} ${y - 4.2}h3.2v8.4h-3.2Z`,
];
const markOf = (c) => MARKS[(c + Math.floor(c / COLOURS.length)) % MARKS.length];
const colourOf = (c) => COLOURS[c % COLOURS.length];

const percent = (v) => (v == null || Number.isNaN(v) ? "–" : `${Math.round(100 * v)} %`);
/** Three significant digits, without an exponent. */
const brief = (v) => (v == null || Number.isNaN(v) ? "–" : Math.abs(v) < 1e-6 ? "0"
  : text(v, clamp(2 - Math.floor(Math.log10(Math.abs(v))), 0, 6)));

class EmbeddingLab extends Explorable {
  static figure = { name: "embedding_lab", label: "embedding lab", start: START, takeaway: LESSON, pace: 33, seconds: 3600 };

  begin() {
    this.characters = this.model.get("characters");
    this.restart();
  }

  remove() {
    this.worker?.terminate();
    super.remove();
  }

  // --- the worker: one question at a time; what it says of a run that is over is not heard

  get settings() {
    const one = Object.fromEntries(OF_TRAINING.map((key) => [key, this.state[key]]));
    return this.state.beside === "nothing" ? [one] : [one, { ...one, ...BESIDE[this.state.beside].part }];
  }

  employ() {
    try {
      this.worker = new Worker(URL.createObjectURL(new Blob([WORKER_SOURCE], { type: "text/javascript" })));
    } catch (error) { // a page may forbid it
      this.fault = error.message;
      return;
    }
    this.worker.onmessage = ({ data }) => this.hear(data);
    this.worker.onerror = (event) => {
      this.fault = event.message || "the worker did not start";
      this.stop();
      this.refresh();
    };
  }

  restart() {
    if (!this.worker) this.employ();
    if (!this.worker) return;
    this.run = (this.run ?? 0) + 1;
    Object.assign(this, { history: [], reports: null, before: null, trained: JSON.stringify(this.settings) });
    this.ask({ settings: this.settings, characters: this.characters });
  }

  ask(what) {
    this.asked = true;
    this.worker.postMessage({ run: this.run, ...what });
  }

  hear({ run, reports, ...first }) {
    if (run !== this.run) return;
    this.asked = false;
    if (first.images) this.take(first);
    this.reports = reports;
    this.remember(reports);
    this.place();
    this.version = (this.version ?? 0) + 1;
    this.pending ??= requestAnimationFrame(() => this.flush());
  }

  /** What a new run tells once: the drawings, and what raw pixels reach. */
  take({ images, side, character, raw }) {
    if (!this.sheet) {
      const canvas = Object.assign(document.createElement("canvas"), { width: side * images.length / 20, height: side * 20 });
      const context = canvas.getContext("2d"), picture = context.createImageData(canvas.width, canvas.height);
      images.forEach((image, i) => image.forEach((ink, k) => {
        const x = Math.floor(i / 20) * side + (k % side), y = (i % 20) * side + Math.floor(k / side);
        picture.data.set([255 - 255 * ink, 255 - 255 * ink, 255 - 255 * ink, 255], 4 * (y * canvas.width + x));
      }));
      context.putImageData(picture, 0, 0);
      this.sheet = canvas.toDataURL();
    }
    Object.assign(this, { raw, character, numSeen: character.length * this.characters.seen * this.characters.drawings / this.characters.count });
  }

  /** Keep a point of the curves; where they are many, every second is dropped. */
  remember(reports) {
    this.history.push(reports.map(({ z, ...numbers }) => numbers));
    const last = this.history.length - 1;
    if (last >= KEPT) this.history = this.history.filter((_, i) => i % 2 === 0 || i === last);
  }

  get range() { return this.state.shown === "seen" ? [0, this.numSeen] : [this.numSeen, this.character.length]; }

  /** The points shown, on their principal plane. */
  place() {
    const [start, end] = this.range, { points, share } = principalPlane(this.reports[0].z, this.state.width, start, end);
    const before = this.before?.shown === this.state.shown ? this.before.points : null;
    this.before = { shown: this.state.shown, points: turnedTo(points, before), share };
  }

  // --- changes

  change(part) {
    super.change(part);
    const anew = JSON.stringify(this.settings) !== this.trained;
    if (anew) {
      this.stop();
      this.restart();
    } else if ("shown" in part && this.reports) this.place();
  }

  fromModel() {
    super.fromModel();
    if (JSON.stringify(this.settings) !== this.trained) this.restart();
  }

  /** Change the state and start from step 0, also where no setting changes. */
  anew(part) {
    const { run } = this;
    this.change(part);
    if (this.run === run) this.restart();
  }

  reset() {
    this.stop();
    this.anew(structuredClone(this.first));
  }

  show(part) {
    this.stop();
    this.anew({ ...structuredClone(START), ...part, numbers: this.state.numbers, pace: this.state.pace });
    this.play();
  }

  advance(calm) {
    if (this.fault) return false;
    if (this.asked) return true;
    const { step } = this.reports[0], pace = PACES[this.state.pace];
    if (step >= LAST) return false;
    this.ask({ steps: calm ? CALM : Math.min(pace.steps, LAST - step), milliseconds: calm ? 1000 : pace.milliseconds });
    return true;
  }

  // --- the controls

  select(key, options, label, read = String) {
    const select = h("select", { onchange: (e) => this.change({ [key]: read(e.target.value) }) },
      ...Object.entries(options).map(([value, name]) => h("option", { value }, name)));
    this.fields[key] = select;
    return h("label", {}, `${label} `, select);
  }

  checkbox(key, label) {
    this.fields[key] = h("input", { type: "checkbox", onchange: (e) => this.change({ [key]: e.target.checked }) });
    return h("label", {}, this.fields[key], ` ${label}`);
  }

  number(key, label, limits) {
    this.fields[key] = h("input", { type: "number", ...limits, onchange: (e) => e.target.value !== "" &&
      this.change({ [key]: clamp(Number(e.target.value), limits.min, limits.max) }) });
    return h("label", {}, `${label} `, this.fields[key]);
  }

  toolbar() {
    this.fields = {};
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show me" }, "show me: ",
      ...Object.entries(NAMED).map(([label, part]) => button(label, () => this.show(part))))];
  }

  question() { return ASK; }

  controls() {
    this.playButton = button("Play", () => this.play());
    const loss = this.select("loss", LOSS_NAMES, "loss");
    this.fields.loss.onchange = null;
    this.fields.loss.addEventListener("change", (e) => this.change({ margin: MARGINS[e.target.value] ?? this.state.margin }));
    this.negatives = this.select("negatives", NEGATIVES, "negatives");
    this.margin = this.number("margin", "margin", { min: 0, max: 2, step: 0.1 });
    this.look = h("input", { type: "range", min: 1, step: 1, oninput: (e) => this.change({ focus: Number(e.target.value) - 1 }) });
    return [h("span", { class: "dml-group" }, this.playButton,
      button("Step", () => { this.stop(); if (!this.asked && this.reports) this.ask({ steps: 1, milliseconds: 0 }); }),
      button("Reset", () => this.reset())),
    this.select("pace", Object.fromEntries(Object.keys(PACES).map((pace) => [pace, pace])), "pace"),
    loss, this.negatives, this.margin, this.select("batches", BATCHES, "batches"), this.select("rate", RATES, "rate", Number),
    this.select("width", WIDTHS, "dimensions", Number), this.checkbox("turns", "turns and shifts"),
    this.checkbox("shuffled", "labels shuffled"), this.number("seed", "seed", { min: 0, max: 999, step: 1 }),
    this.select("beside", Object.fromEntries(Object.entries(BESIDE).map(([name, { label }]) => [name, label])), "beside it, dashed,"),
    this.select("shown", SHOWN, "points: characters"), h("label", {}, "look at drawing ", this.look)];
  }

  refreshControls() {
    for (const [key, field] of Object.entries(this.fields)) {
      if (field.type === "checkbox") field.checked = this.state[key];
      else if (field !== document.activeElement || field.tagName === "SELECT") field.value = this.state[key];
    }
    this.negatives.hidden = this.state.loss !== "triplet";
    this.margin.hidden = !(this.state.loss in MARGINS);
    if (this.reports) {
      const [start, end] = this.range;
      this.look.max = end - start;
      this.look.value = this.focus + 1;
      this.look.setAttribute("aria-valuetext", this.nameOf(start + this.focus));
    }
  }

  get focus() { return clamp(this.state.focus, 0, this.range[1] - this.range[0] - 1); }
  nameOf(i) { return `character ${this.character[i] + 1}, drawing ${(i % this.characters.drawings) + 1}`; }

  // --- the drawing

  shape() { return [this.reports ? "alive" : "", this.state.shown, this.state.beside, this.state.width].join(); }

  build() {
    if (!this.reports) return [h("p", { style: `min-height:${Math.max(this.stage.clientHeight - 16, 300)}px` }, "The worker unpacks the drawings …")];
    const wide = this.width >= 640, size = Math.min(wide ? this.width * 0.46 : this.width, 400), rest = wide ? this.width - size - 16 : this.width;
    return [h("div", { class: "dml-panels", style: "gap:8px 16px" }, this.cloud(size),
      h("div", { style: `width:${rest}px` },
        this.chart(rest, { title: "Recall@1, never shown:", key: "unseen", lines: true, tall: wide ? 128 : 120 }),
        this.chart(rest, { title: "Recall@1, learned from:", key: "seen", tall: 44 }),
        this.chart(rest, { title: "loss:", key: "loss", tall: 44 }),
        this.chart(rest, { title: "active tuples:", key: "active", tall: 44 }))), this.strip(), this.legend()];
  }

  /** Points of one path per character. */
  cloud(size) {
    const head = 22, count = this.state.shown === "seen" ? this.characters.seen : this.characters.count / this.characters.drawings - this.characters.seen;
    const paths = Array.from({ length: count }, (_, c) => s("path", { fill: colourOf(c), class: "dml-points" }));
    const ring = s("circle", { r: 9, class: "dml-focus" }), title = s("text", { x: 0, y: 14, class: "dml-title" });
    const note = s("text", { x: 6, y: head + size - 8, class: "dml-small" });
    const svg = s("svg", { width: size, height: size + head, role: "img", "data-cloud": "" },
      s("rect", { x: 0.5, y: head, width: size - 1, height: size - 1, class: "dml-outline" }), title, note, ...paths, ring);
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const far = this.placed.map(([u, v]) => Math.hypot(u - x, v - y));
      this.change({ focus: far.indexOf(Math.min(...far)) });
    });
    this.drawings.push(() => {
      const { points, share } = this.before, each = this.characters.drawings;
      const reach = 1.06 * points.reduce((most, [x, y]) => Math.max(most, Math.abs(x), Math.abs(y)), 1e-9);
      const unit = size / 2 / reach, round = (v) => Math.round(v * 10) / 10;
      this.placed = points.map(([x, y]) => [round(size / 2 + unit * x), round(head + size / 2 - unit * y)]);
      paths.forEach((path, c) => set(path, { d: this.placed.slice(c * each, (c + 1) * each).map(([x, y]) => markOf(c)(x, y)).join("") }));
      const [cx, cy] = this.placed[this.focus];
      set(ring, { cx, cy });
      title.textContent = `step ${this.reports[0].step}: the plane holds ${percent(share)} of the variance`;
      note.textContent = `frame ${brief(2 * reach)} wide`;
      set(svg, { "aria-label": `${points.length} drawings of ${count} characters on the principal plane of the embedding, ` +
        `which holds ${percent(share)} of their variance; step ${this.reports[0].step}` });
    });
    return svg;
  }

  /** A curve over the steps; the second lab's is dashed. */
  chart(width, { title, key, lines, tall }) {
    const left = 40, top = 20, right = width - 6, share = key !== "loss";
    const heading = s("text", { x: 0, y: 14, class: "dml-title" }), axis = s("g", { class: "dml-ticks" });
    const curves = this.reports.map((_, i) => s("path", { class: i ? "dml-curve dml-second" : "dml-curve" }));
    const marks = lines ? this.references().map(({ label, dash }) => ({ label, path: s("path", { class: "dml-reference", "stroke-dasharray": dash }),
      words: s("text", { x: right - 3, "text-anchor": "end", class: "dml-small" }) })) : [];
    const svg = s("svg", { width, height: top + tall + 18, role: "img", "data-curve": key },
      s("rect", { x: left, y: top, width: right - left, height: tall, class: "dml-outline" }), heading, axis,
      ...marks.flatMap(({ path, words }) => [path, words]), ...curves);
    this.drawings.push(() => {
      const last = this.horizon, values = this.history.flatMap((reports) => reports.map((report) => report[key])).filter(Number.isFinite);
      const most = share ? 1 : Math.max(...values, 1e-6) * 1.05;
      const x = (step) => left + ((right - left) * step) / last, y = (v) => top + tall * (1 - v / most);
      const small = (u, v, anchor, label) => s("text", { x: u, y: v, "text-anchor": anchor, class: "dml-small" }, label);
      axis.replaceChildren(small(left - 4, top + 10, "end", share ? "100 %" : brief(most)), small(left - 4, top + tall, "end", "0"),
        ...[0, last / 2, last].map((step) => small(x(step), top + tall + 14, step === last ? "end" : "middle", String(step))));
      marks.forEach(({ path, words }, i) => {
        const { value, label } = this.references()[i];
        set(path, { d: `M${left} ${y(value)}H${right}` });
        set(words, { y: y(value) - 3 });
        words.textContent = `${label} ${percent(value)}`;
      });
      curves.forEach((curve, i) => {
        const known = this.history.filter((reports) => Number.isFinite(reports[i][key]));
        set(curve, { d: known.length ? `M${known.map((reports) => `${x(reports[i].step)} ${y(Math.min(reports[i][key], most))}`).join("L")}` : "" });
      });
      const shown = share ? percent : brief, now = this.reports.map((report) => shown(report[key]));
      heading.textContent = `${title} ${now.join(", dashed ")}`;
      set(svg, { "aria-label": `${title.replace(":", "")} over ${this.reports[0].step} steps: now ${now.join(", the second lab ")}` });
    });
    return svg;
  }

  /** What stands in the plot at all times. */
  references() {
    const each = this.characters.drawings, unseen = this.character.length - this.numSeen;
    return [{ label: "raw pixels", value: this.raw.unseen, dash: "7 3" },
      { label: "untrained network", value: this.history[0][0].unseen, dash: "2 3" },
      { label: "chance", value: (each - 1) / (unseen - 1), dash: "1 5" }];
  }

  /** The last step on the axes. */
  get horizon() { return [200, 500, 1000, 2000, LAST].find((steps) => this.reports[0].step <= steps) ?? LAST; }

  thumbnail(label) {
    const picture = h("span", { class: "dml-thumb", role: "img" }), words = h("span", { class: "dml-thumb-words" }, label);
    const node = h("span", { class: "dml-thumb-box" }, picture, words);
    return { node, set: (i, told, name) => {
      const each = this.characters.drawings;
      set(picture, { style: `background-image:url(${this.sheet});background-position:${-36 * Math.floor(i / each)}px ${-36 * (i % each)}px;` +
        `background-size:${36 * this.character.length / each}px auto`, "aria-label": name });
      words.textContent = told;
    } };
  }

  /** The drawing looked at and its nearest neighbors. */
  strip() {
    const own = this.thumbnail(""), found = Array.from({ length: NEIGHBORS }, () => this.thumbnail(""));
    this.drawings.push(() => {
      const [start] = this.range, i = start + this.focus;
      own.set(i, "looked at", this.nameOf(i));
      this.nearest(i).forEach((j, k) => {
        const same = this.character[j] === this.character[i];
        found[k].set(j, same ? "✓ same" : "✗ other", `${this.nameOf(j)}: ${same ? "the same character" : "another character"}`);
      });
    });
    return h("div", { class: "dml-strip", role: "group", "aria-label": "a drawing and its five nearest neighbors" },
      own.node, h("span", {}, "nearest: "), ...found.map(({ node }) => node));
  }

  nearest(i) {
    const [start, end] = this.range, { width } = this.state, { z } = this.reports[0], found = [];
    for (let j = start; j < end; j++) {
      let d2 = 0;
      for (let k = 0; k < width; k++) d2 += (z[i * width + k] - z[j * width + k]) ** 2;
      if (j !== i) found.push([d2, j]);
    }
    return found.sort(([a, i1], [b, i2]) => a - b || i1 - i2).slice(0, NEIGHBORS).map(([, j]) => j);
  }

  legend() {
    return h("p", { class: "dml-legend" }, "Each point is a drawing, each colour and shape a character; click a point to see its neighbors. " +
      "The plane is the principal one of the points shown, turned to lie as the frame before. Recall@1 is measured in all dimensions, " +
      "on the drawings as they are. Active tuples are the share of what the loss compares that still gives a gradient.");
  }

  buildTable() {
    if (!this.reports) return [];
    const names = { step: "step", loss: "loss", active: "active tuples", unseen: "Recall@1, never shown", seen: "Recall@1, learned from", spread: "spread" };
    const labels = this.reports.map((_, i) => (i ? `beside: ${BESIDE[this.state.beside].label}` : "this lab"));
    const body = h("tbody");
    this.drawings.push(() => body.replaceChildren(...this.reports.map((report, i) => h("tr", { "data-lab": i },
      h("th", { scope: "row" }, labels[i]), ...Object.keys(names).map((key) => {
        const v = report[key], shown = key === "step" ? String(v) : ["loss", "spread"].includes(key) ? brief(v) : percent(v);
        return h("td", { "data-key": key, "data-value": String(v) }, shown);
      })))));
    return [h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "lab"),
      ...Object.values(names).map((name) => h("th", { scope: "col" }, name)))), body)];
  }

  /** What the state shows, in words. */
  sentence() {
    if (this.fault) return `Training cannot run in this page: ${this.fault}.`;
    if (!this.reports) return "";
    const [{ step, unseen, loss, active, spread }, other] = this.reports;
    const told = [`Step ${step}.`];
    if (this.timer) return told.concat("It trains; the numbers are told here when it rests.").join(" ");
    told.push(`Recall@1 of the ten characters never shown is ${percent(unseen)}; raw pixels reach ${percent(this.raw.unseen)}, ` +
      `the untrained network ${percent(this.history[0][0].unseen)}.`);
    if (other) told.push(`The lab beside it (${BESIDE[this.state.beside].label}) reaches ${percent(other.unseen)}.`);
    if (loss != null) told.push(`The loss is ${brief(loss)}, and ${percent(active)} of the tuples are active.`);
    if (spread < 0.05 * this.history[0][0].spread) told.push("All drawings lie almost in one place: the embedding has collapsed.");
    if (this.state.width === 2) told.push("Two dimensions can be drawn whole, but they cannot hold what sixteen can.");
    return told.join(" ");
  }
}

const { render, mountAll } = hosts(EmbeddingLab);
export { mountAll };
export default { render };
