// The embedding lab: metric learning trained in the page, by a worker that holds the losses and the trainer.

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

  /** The named state that is set, with any seed. */
  get named() {
    const differ = ({ part }) => [...OF_TRAINING, "beside"].some((key) => key !== "seed" && this.state[key] !== { ...START, ...part }[key]);
    return Object.values(NAMED).find((named) => !differ(named));
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
    Object.assign(this, { history: [], reports: null, before: null, early: null, rest: this.named?.steps ?? LAST, trained: JSON.stringify(this.settings) });
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
    if (this.timer && this.hurried) this.advance(false);
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
    this.early ??= reports[0].loss;
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

  /** A named state is set, and asks; Play is the reader's. */
  show({ part }) {
    this.stop();
    this.anew({ ...structuredClone(START), ...part, numbers: this.state.numbers, pace: this.state.pace });
  }

  /** Play rests where a named state shows what it is there for; the next Play goes on. */
  play() {
    if (this.reports?.[0].step >= this.rest) this.rest = LAST;
    super.play();
  }

  /** At rest it says what it found. */
  stop() {
    if (this.timer) this.pending ??= requestAnimationFrame(() => this.flush());
    super.stop();
  }

  advance(calm) {
    this.hurried = !calm && this.state.pace === "fast";
    if (this.fault) return false;
    if (this.asked) return true;
    const left = this.rest - this.reports[0].step, pace = PACES[this.state.pace];
    if (left <= 0) return false;
    this.ask({ steps: Math.min(calm ? CALM : pace.steps, left), milliseconds: calm ? 1000 : pace.milliseconds });
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
      ...Object.entries(NAMED).map(([label, named]) => button(label, () => this.show(named))))];
  }

  question() { return `Predict first, then press Play: ${this.named?.ask ?? ASK}`; }

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
    this.select("beside", Object.fromEntries(Object.entries(BESIDE).map(([name, { label }]) => [name, label])), "beside"),
    this.select("shown", SHOWN, "points"), h("label", {}, "drawing ", this.look)];
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
    const wide = this.width >= 440, size = wide ? clamp(this.width - 300, 180, 300) : Math.min(this.width, 360);
    const rest = wide ? this.width - size - 17 : this.width; // the width may have been rounded up
    return [h("div", { class: "dml-panels dml-lab-panels" },
      h("div", { style: `width:${size}px` }, cloud(this, size), strip(this)),
      h("div", { style: `width:${rest}px` },
        chart(this, rest, { title: "Recall@1 unseen:", key: "unseen", tall: 116, lines: true }),
        chart(this, rest, { title: "Recall@1 seen:", key: "seen", tall: 42 }),
        chart(this, rest, { title: "loss:", key: "loss", tall: 42 }),
        chart(this, rest, { title: "active tuples:", key: "active", tall: 42, steps: true }))), this.legend()];
  }

  legend() {
    return h("p", { class: "dml-legend" }, "Each point is a drawing, each colour and shape a character; click one to see its neighbors. " +
      "Recall@1 is measured in all dimensions, on drawings as they are. A tuple is what the loss compares, a pair or a triplet of drawings " +
      "(or a drawing and a class); an active one still gives a gradient.");
  }

  buildTable() {
    if (!this.reports) return [];
    const names = { step: "step", loss: "loss", active: "active tuples", unseen: "Recall@1 unseen", seen: "Recall@1 seen", spread: "spread" };
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

  sentence() {
    if (this.fault) return `Training cannot run in this page: ${this.fault}.`;
    if (!this.reports) return "";
    const [now, beside] = this.reports, [own, other] = this.settings;
    if (this.timer) return `Step ${now.step}. It trains; the numbers are told here when it rests.`;
    const told = { own, other, now, beside, first: this.history[0][0], early: this.early, raw: this.raw.unseen };
    return `Step ${now.step}. ${inWords(told, BESIDE[this.state.beside].label)}`;
  }
}

const { render, mountAll } = hosts(EmbeddingLab);
export { mountAll };
export default { render };
