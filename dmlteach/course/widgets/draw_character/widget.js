// Draw a character: a network in the page finds the nearest of 659 that it has never seen.
//
// strokes.js, network.js and load.js stand before this; what the network needs is loaded on the first stroke.

const START = { strokes: [], numbers: false };
const FOUND = 5, GAP = 6, MOST_POINTS = 5000, LAST = DRAWN_SIDE - 1;
const STEP = 4; // pixels by which an arrow key moves the drawing
const TAKEAWAY = "A classifier has an output for each class that it was trained on, and none for these characters. An embedding " +
  "needs one drawing of a new character and no new training: what makes two drawings alike was learned from 964 others.";

const percent = (share) => `${text(100 * share, 0)} %`;
const nameOf = (character) => `character ${character + 1}`;
const place = (rank) => `${rank}${rank % 100 > 10 && rank % 100 < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[rank % 10] ?? "th"}`;
/** Strokes as they are wherever they lie, to compare. */
const shapeOf = (strokes) => JSON.stringify(strokes.map((stroke) => stroke.map((z) => z.map((v, i) => Math.round(10 * (v - strokes[0][0][i]))))));

class DrawCharacter extends Pad {
  static figure = { name: "draw_character", label: "draw a character", start: START, watched: ["packed"], takeaway: TAKEAWAY };

  begin() {
    this.examples = this.model.get("examples");
    this.measured = this.model.get("measured");
    this.stroke = null; // the one under the pointer, not yet lifted
    this.cost = 0; // milliseconds of the last answer
  }

  remove() {
    this.gone = true;
    super.remove();
  }

  // - the network and its answer

  get strokes() { return this.stroke ? [...this.state.strokes, this.stroke] : this.state.strokes; }

  /** Which of the prepared drawings this is, wherever it lies; -1: none. */
  get example() {
    const { strokes } = this;
    if (!strokes.length) return -1;
    const shape = shapeOf(strokes);
    return this.examples.findIndex((one) => one.strokes.length === strokes.length && shapeOf(one.strokes) === shape);
  }

  change(part) {
    if (part.strokes) this.fault = null; // another stroke is another try
    super.change(part);
  }

  async load() {
    if (this.search || this.loading || this.fault) return;
    this.loading = true;
    try {
      this.search = new Search(await bring(this.model));
    } catch (error) {
      this.fault = error.message;
    }
    this.loading = false;
    if (!this.gone) this.refresh();
  }

  /** All characters by similarity, for the strokes as they are; while one draws, at most a quarter of the time is spent here. */
  answer() {
    const { strokes } = this, key = JSON.stringify(strokes);
    if (!strokes.length) return null;
    this.load();
    if (!this.search) return null;
    const started = performance.now();
    if (key !== this.answered?.key && !(this.stroke && started - this.ended < 4 * this.cost)) {
      this.answered = { key, found: this.search.nearest(strokes, Infinity) };
      this.ended = performance.now();
      this.cost = this.ended - started;
    }
    const right = this.examples[this.example]?.character ?? null, { found } = this.answered;
    const rank = right == null ? null : found.findIndex(({ character }) => character === right) + 1;
    return { found: found.slice(0, FOUND), right, rank };
  }

  given() { return [this.answer()]; }

  // - the controls

  question() {
    return `For how many of the ${this.examples.length} drawings above is the nearest the right character? ` +
      "The network searches 659 characters, and was trained on none of them.";
  }

  toolbar() {
    this.options = this.examples.map(({ strokes }, i) => {
      const radio = h("input", { type: "radio", name: `${this.id}example`, "aria-label": `prepared drawing ${i + 1}`,
        onchange: () => this.change({ strokes: structuredClone(strokes) }) });
      const view = `-0.5 -0.5 ${DRAWN_SIDE} ${DRAWN_SIDE}`;
      const picture = s("svg", { viewBox: view, "aria-hidden": "true" }, s("path", { class: "dml-drawn", d: pathOf(strokes) }));
      return { radio, node: h("label", { class: "dml-prepared" }, radio, picture) };
    });
    return [h("span", { class: "dml-group", role: "radiogroup", "aria-label": "prepared drawings" },
      h("span", {}, "Draw below, or take one:"), ...this.options.map(({ node }) => node))];
  }

  controls() {
    this.undo = button("Undo", () => this.change({ strokes: this.state.strokes.slice(0, -1) }));
    this.clear = button("Clear", () => this.change({ strokes: [] }));
    return [this.undo, this.clear, h("span", { class: "dml-legend" },
      "Draw with mouse, finger or pen; arrow keys on the pad move the drawing (with Shift by one pixel).")];
  }

  refreshControls() {
    this.undo.disabled = this.clear.disabled = this.state.strokes.length === 0;
    const { example } = this;
    this.options.forEach(({ radio }, i) => { radio.checked = i === example; });
  }

  // - the drawing

  shape() { return ""; }

  build() {
    const tile = Math.min(82, Math.floor((this.width > 560 ? this.width - 270 : this.width - 6) / FOUND) - GAP);
    this.root.style.setProperty("--tile", `${tile}px`);
    const note = h("p", { class: "dml-legend dml-note" });
    this.drawings.push((answer) => { note.textContent = answer ? this.honestly() : "The network, 0.8 MB, is loaded on the first stroke."; });
    return [h("div", { class: "dml-draw-panels" }, this.buildPad(), h("div", { class: "dml-nearest" }, ...this.buildAnswer())), note];
  }

  buildPad() {
    const size = this.width > 560 ? 240 : Math.min(this.width - 10, 300), ink = s("path", { class: "dml-drawn" });
    const invitation = s("text", { x: 52, y: 55, "text-anchor": "middle", class: "dml-invitation" }, "draw here");
    this.buildPaper(size, invitation, ink);
    this.drawings.push(() => {
      const { strokes } = this;
      set(ink, { d: pathOf(strokes) });
      invitation.textContent = strokes.length ? "" : "draw here";
      set(this.pad, { "aria-label": `${strokes.length} ${strokes.length === 1 ? "stroke" : "strokes"} drawn; arrow keys move the drawing` });
    });
    return this.pad;
  }

  buildAnswer() {
    const title = h("p", { class: "dml-title" }), cells = Array.from({ length: FOUND }, (_, rank) => this.buildNeighbor(rank));
    const seen = h("canvas", { width: SMALL_SIDE, height: SMALL_SIDE, class: "dml-seen", role: "img", "aria-label": "your drawing in 28 × 28 pixels" });
    const caption = h("p", { class: "dml-legend" }, "What the network gets: 28 × 28 pixels. It runs in this page; nothing that you draw leaves it.");
    this.drawings.push((answer) => {
      title.textContent = this.fault ? "No answer" : !this.strokes.length ? "The five nearest will stand here" :
        answer ? "The five nearest of 659 characters" : "Loading the network …";
      this.paint(seen);
      cells.forEach(({ update }, rank) => update(answer?.found[rank], answer));
    });
    return [title, h("ol", {}, ...cells.map(({ node }) => node)), h("div", { class: "dml-seen-row" }, seen, caption)];
  }

  /** What the network gets, dark on white. */
  paint(canvas) {
    const context = canvas.getContext("2d"), image = context.createImageData(SMALL_SIDE, SMALL_SIDE);
    shrink(drawStrokes(this.strokes)).forEach((v, i) => image.data.set([255 - v, 255 - v, 255 - v, 255], 4 * i));
    context.putImageData(image, 0, 0);
  }

  buildNeighbor(rank) {
    const picture = h("span", { class: "dml-tile", role: "img", "aria-label": `place ${rank + 1}: empty` }), bar = h("span", { class: "dml-bar" });
    const [alike, name, word] = Array.from({ length: 3 }, () => h("span", {}));
    const node = h("li", {}, picture, h("span", { class: "dml-bar-box", "aria-hidden": "true" }, bar), alike, name, word);
    return { node, update: (item, answer) => {
      const right = item && item.character === answer.right;
      node.className = right ? "dml-right" : item ? "" : "dml-empty";
      name.textContent = item ? `no. ${item.character + 1}` : "";
      word.textContent = right ? "✓ right" : "";
      alike.textContent = item ? percent(item.similarity) : "";
      bar.style.width = item ? `${100 * item.similarity}%` : "0";
      set(picture, { "aria-label": item ? `place ${rank + 1}: ${nameOf(item.character)}, similarity ${percent(item.similarity)}${right ? ", the right one" : ""}` : `place ${rank + 1}: empty` });
      if (!item) return picture.style.removeProperty("background-image");
      const { picture: sheet, columns } = this.search.sheet, x = item.character % columns, y = Math.floor(item.character / columns);
      Object.assign(picture.style, { backgroundImage: `url(${sheet})`, backgroundSize: `calc(${columns} * var(--tile)) auto`,
        backgroundPosition: `calc(${-x} * var(--tile)) calc(${-y} * var(--tile))` });
    } };
  }

  honestly() {
    const { drawings, network, baseline } = this.measured;
    return `Of ${drawings} drawings by other people, traced with this pen, the right one of 659 characters comes first for ${percent(network.first)} ` +
      `and is among the five for ${percent(network.among)}; with the untrained network for ${percent(baseline.first)} and ${percent(baseline.among)}.`;
  }

  // - the pad

  get paper() { return { side: DRAWN_SIDE, steps: 2, shortest: 1, most: MOST_POINTS }; }

  release() {
    const strokes = this.strokes;
    this.stroke = null;
    this.change({ strokes });
  }

  /** Arrow keys move the whole drawing as far as it stays on the pad. */
  onKey(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way || event.target !== this.pad || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const points = this.state.strokes.flat(), step = event.shiftKey ? 1 : STEP;
    if (!points.length) return;
    const by = way.map((sign, i) => {
      const values = points.map((z) => z[i]);
      return clamp(sign * step, -Math.min(...values), LAST - Math.max(...values));
    });
    this.change({ strokes: this.state.strokes.map((stroke) => stroke.map((z) => z.map((v, i) => v + by[i]))) });
  }

  // - numbers and words

  buildTable() {
    const body = h("tbody"), { network, baseline, drawings, full } = this.measured;
    this.drawings.push((answer) => body.replaceChildren(...(answer?.found ?? []).map(({ character, distance, similarity }, i) =>
      h("tr", { "data-character": character }, h("th", { scope: "row" }, String(i + 1)), h("td", {}, String(character + 1)),
        h("td", { "data-distance": String(distance) }, text(distance)), h("td", {}, percent(similarity))))));
    const head = (...titles) => h("thead", {}, h("tr", {}, ...titles.map((title) => h("th", { scope: "col" }, title))));
    const row = (name, { first, among }) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, `${text(100 * first, 1)} %`), h("td", {}, `${text(100 * among, 1)} %`));
    return [h("table", {}, head("place", "character", "distance", "similarity"), body),
      h("p", { class: "dml-legend" }, "Similarity is 100 % at the same point, and 0 % at the distance that drawings of two characters have on average."),
      h("table", {}, head(`${drawings} traced drawings, 659 characters`, "right one first", "among five"),
        h("tbody", {}, row("this network, 8-bit weights", network), row("the untrained network", baseline))),
      h("p", { class: "dml-legend" }, `With weights of 32 bits the nearest is the same for ${percent(full.first)} of these drawings, and at least four ` +
        `of the five for ${percent(full.four)}.`)];
  }

  /** What the state shows, in words. */
  sentence() {
    const { strokes } = this, answer = this.answer();
    if (!strokes.length) return "Nothing is drawn yet.";
    if (this.fault) return `The network could not be loaded: ${this.fault}.`;
    if (!answer) return "The network is being loaded.";
    const [{ character, similarity }, ...others] = answer.found, { rank, right } = answer;
    const judged = right == null ? "" : rank === 1 ? ", which is right" : `, which is wrong: the right one, ${nameOf(right)}, comes ${place(rank)} of 659`;
    const subject = right == null ? `Your drawing, ${strokes.length} ${strokes.length === 1 ? "stroke" : "strokes"}` : `Prepared drawing ${this.example + 1}`;
    return `${subject}: the nearest is ${nameOf(character)}, similarity ${percent(similarity)}${judged}. Then come ` +
      `${others.map((one) => one.character + 1).join(", ")}.`;
  }
}

const { render, mountAll } = hosts(DrawCharacter);
export { mountAll };
export default { render };
