// Batch explorer: the batches that four samplers make of one embedding, recorded during training.
//
// Samplers, pairs, triplets and all numbers were computed by dmlteach when the figure was made; this steps through them.

const SAMPLERS = { random: "random", class_balanced: "P×K", local: "local", local_classes: "local classes" };
const START = { sampler: "random", epoch: 0, batch: 0, anchor: null, numbers: false };
const CONTENTS = ["anchors", "characters", "alone", "confusable", "triplets", "active", "hard", "sst", "ratio"];
const WHOLE = ["batches", "dropped", "confusable", "alone", "active", "hard", "sst"];
const TARGETS = 5, COLUMNS = 25, SIDE = 42; // nearest positives of an anchor; drawings in a row of the sheet, their pixels
const LATER = 10; // the epoch that the question asks about

const TAKEAWAY = "A random batch holds few confusable pairs, and hardly any once the network has learned the easy ones; " +
  "a neighbourhood goes on finding them. The price, beside P×K: at the start a scattered character leaves anchors without a " +
  "positive, and later many neighbourhoods hold a single character, which makes no triplet, and are dropped.";

const percent = (share, digits = 0) => `${text(100 * share, digits)} %`;
const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** Base64 of little-endian numbers, as sent by the kernel or the page. */
const decode = (Kind, packed) => new Kind(Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)).buffer);

class BatchExplorer extends Explorable {
  static figure = { name: "batch_explorer", label: "batch explorer", start: START, takeaway: TAKEAWAY, pace: 900 };

  begin() {
    const data = this.data = this.model.get("recorded"), size = data.batchSize;
    this.arrays = Object.fromEntries(Object.entries({
      rows: Int16Array, targets: Int8Array, active: Uint16Array, contents: Float32Array, confusable: Uint8Array,
      points: Uint16Array, labels: Uint8Array,
    }).map(([name, Kind]) => [name, decode(Kind, data[name])]));
    this.shownPerEpoch = this.arrays.rows.length / (data.epochs.length * data.samplers.length * size);
  }

  // - what was recorded for the state

  get place() { return [this.state.epoch, this.data.samplers.indexOf(this.state.sampler)]; }
  get shown() { const [e, s] = this.place; return this.data.shown[e][s]; }
  get number() { return Math.min(this.state.batch, this.shown - 1); }
  get later() { return Math.max(this.data.epochs.indexOf(LATER), 0); }

  whole(sampler = this.state.sampler) {
    const values = this.data.whole[this.state.epoch][this.data.samplers.indexOf(sampler)];
    return Object.fromEntries(WHOLE.map((name, i) => [name, values[i]]));
  }

  contents(e, s, b) {
    const at = ((e * this.data.samplers.length + s) * this.shownPerEpoch + b) * CONTENTS.length;
    return Object.fromEntries(CONTENTS.map((name, i) => [name, this.arrays.contents[at + i]]));
  }

  /** The batch shown: its drawings, and for each the places of its targets and of those it is confusable with. */
  look() {
    const { batchSize: size, samplers } = this.data, { rows, targets, active, confusable } = this.arrays;
    const [e, s] = this.place, b = this.number, at = ((e * samplers.length + s) * this.shownPerEpoch + b) * size;
    const contents = this.contents(e, s, b);
    const isSet = (bit) => (confusable[bit >> 3] >> (7 - (bit & 7))) & 1;
    const others = Array.from({ length: contents.anchors }, (_, j) => j);
    return { contents, members: others.map((i) => ({
      i, row: rows[at + i], label: this.arrays.labels[rows[at + i]], active: active[at + i],
      targets: [...targets.subarray((at + i) * TARGETS, (at + i + 1) * TARGETS)].filter((j) => j >= 0),
      confusable: others.filter((j) => isSet((at + i) * size + j)),
    })) };
  }

  /** What a drawing is to the chosen anchor: "a", "p", "n", or nothing. */
  roleOf(j, members) {
    const anchor = members[this.state.anchor];
    if (!anchor) return "";
    return j === this.state.anchor ? "a" : anchor.targets.includes(j) ? "p" : anchor.confusable.includes(j) ? "n" : "";
  }

  go(part) {
    this.stop();
    this.change({ anchor: null, ...part });
  }

  advance() {
    if (this.state.epoch >= this.data.epochs.length - 1) return false;
    this.change({ anchor: null, epoch: this.state.epoch + 1 });
    return true;
  }

  // - the controls

  toolbar() {
    this.kinds = Object.fromEntries(Object.entries(SAMPLERS).map(([sampler, label]) =>
      [sampler, button(label, () => this.go({ sampler }), { "data-sampler": sampler })]));
    const show = (label, part) => button(label, () => this.go({ batch: 0, ...part }));
    const later = `epoch ${this.data.epochs[this.later]}`;
    const group = (label, ...nodes) =>
      h("span", { class: "dml-group", role: "group", "aria-label": label }, `${label}: `, ...nodes);
    return [group("sampler", ...Object.values(this.kinds)),
      group("show me", show("random, untrained", { sampler: "random", epoch: 0 }),
        show("neighbourhood, untrained", { sampler: "local", epoch: 0 }),
        show(`random, ${later}`, { sampler: "random", epoch: this.later }),
        show(`neighbourhood, ${later}`, { sampler: "local", epoch: this.later }),
        show("most left alone", this.mostAlone()))];
  }

  /** The neighbourhood of the untrained network that leaves most anchors without a positive. */
  mostAlone() {
    const s = this.data.samplers.indexOf("local"), batches = Array.from({ length: this.data.shown[0][s] }, (_, b) => b);
    const share = (b) => { const { alone, anchors } = this.contents(0, s, b); return alone / anchors; };
    return { sampler: "local", epoch: 0, batch: batches.reduce((best, b) => (share(b) > share(best) ? b : best), 0) };
  }

  question() {
    const { sampler, epoch } = this.state, later = this.data.epochs[this.later];
    if (epoch) return "Predict first: at this epoch, which sampler still finds confusable pairs, and which leaves anchors alone? Then choose each.";
    if (sampler === "random") return "It opens with a random batch before training. Predict first: how many confusable pairs does a " +
      `neighbourhood (local) of ${this.data.batchSize} drawings hold? And how many will each of the two hold after ${later} epochs?`;
    return `Predict first: after ${later} epochs, will such a batch hold more confusable pairs, or fewer? And will more of its anchors ` +
      "be alone, or fewer? Then move the epoch.";
  }

  controls() {
    this.slider = h("input", { type: "range", min: 0, max: this.data.epochs.length - 1, step: 1, "aria-label": "epoch",
      oninput: (event) => this.go({ epoch: Number(event.target.value) }) });
    this.epochText = h("output", { class: "dml-of" });
    this.batchText = h("span", { class: "dml-of" });
    this.playButton = button("Play", () => this.play(), { title: "step through the epochs" });
    const turn = (by) => this.go({ batch: (this.number + by + this.shown) % this.shown });
    return [h("span", { class: "dml-group" }, h("label", {}, "epoch ", this.slider), this.epochText, this.playButton),
      h("span", { class: "dml-group", role: "group", "aria-label": "batch" },
        button("Previous", () => turn(-1), { "aria-label": "Previous batch" }), this.batchText,
        button("Next", () => turn(1), { "aria-label": "Next batch" })),
      button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { sampler, epoch } = this.state, spoken = `epoch ${this.data.epochs[epoch]}${epoch ? "" : ", untrained"}`;
    for (const [name, node] of Object.entries(this.kinds)) node.setAttribute("aria-pressed", name === sampler);
    this.slider.value = epoch;
    this.slider.setAttribute("aria-valuetext", spoken);
    this.epochText.textContent = this.data.epochs[epoch];
    this.batchText.textContent = `batch ${this.number + 1} of ${this.shown}`;
  }

  /** Arrow keys walk through the drawings; Enter or the space bar chooses, as on any button. */
  onKey(event) {
    const here = event.target.closest?.("[data-drawing]"), all = [...this.stage.querySelectorAll("[data-drawing]")];
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1, Home: -all.length, End: all.length }[event.key];
    if (!here || !step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const next = all[clamp(all.indexOf(here) + step, 0, all.length - 1)];
    next.focus();
  }

  // - the drawing

  shape() { return [this.state.sampler, this.state.epoch, this.number].join(); }

  given() { return [this.current.members]; }

  build() {
    this.current = this.look();
    const wide = this.width >= 700, gap = 20, side = Math.min(wide ? this.width * 0.38 : this.width, 400);
    return [h("div", { class: "dml-panels", style: `gap:${gap}px` }, this.buildMap(side),
      h("div", { style: `width:${wide ? this.width - side - gap : this.width}px` }, this.buildDrawings(wide))),
    this.buildCounts()];
  }

  choose(i) {
    this.stop();
    this.change({ anchor: this.state.anchor === i ? null : i });
  }

  buildMap(side) {
    const { members } = this.current, pad = 10, points = this.arrays.points, drawings = this.arrays.labels.length;
    const start = 2 * this.state.epoch * drawings;
    const at = (row) => [0, 1].map((k) => pad + (side - 2 * pad) * points[start + 2 * row + k] / 65535);
    const dust = Array.from({ length: drawings }, (_, row) => `M${at(row).map((v) => v.toFixed(1)).join(" ")}h0`).join("");
    const apart = s("path", { class: "dml-confusable" }), together = s("path", { class: "dml-positives" });
    const svg = s("svg", { width: side, height: side, role: "img" }, s("path", { d: dust, class: "dml-dust" }),
      s("rect", { x: 0.5, y: 0.5, width: side - 1, height: side - 1, class: "dml-outline" }), together);
    const marks = members.map((member, i) => {
      const shape = s("path", {}), letter = s("text", { y: -9, "text-anchor": "middle", class: "dml-letter" });
      const mark = s("g", { transform: `translate(${at(member.row)})`, "data-member": i, onclick: () => this.choose(i) },
        s("title", {}, this.nameOf(i)), s("circle", { class: "dml-hit" }), shape, letter);
      svg.append(mark);
      return { mark, shape, letter };
    });
    const line = (one, other) => `M${at(one.row)}L${at(other.row)}`;
    this.drawings.push(() => {
      const chosen = members[this.state.anchor], anchors = chosen ? [chosen] : members;
      // of all anchors only the nearest positive, lest the map drown in lines
      const targets = (a) => a.targets.slice(0, chosen ? TARGETS : 1);
      const confusable = (a) => a.confusable.filter((j) => chosen || a.i < j);
      const lines = (pick) => anchors.flatMap((a) => pick(a).map((j) => line(a, members[j]))).join("");
      set(together, { d: lines(targets) });
      set(apart, { d: lines(confusable) });
      marks.forEach(({ mark, shape, letter }, j) => {
        const role = this.roleOf(j, members), alone = !members[j].targets.length;
        set(mark, { "data-role": role });
        set(shape, { d: SHAPES[role || (alone ? "alone" : "member")], class: `dml-member${alone ? " dml-alone" : ""}` });
        set(mark, { "data-ringed": !chosen && members[j].confusable.length > 0 });
        letter.textContent = role;
        if (role) svg.append(mark); // above the others
      });
      svg.append(apart); // above all: confusable drawings lie close together, and their lines are short
      set(svg, { "aria-label": `map of the ${drawings} recorded drawings, with the batch: ${this.told()}` });
    });
    return svg;
  }

  nameOf(i) {
    const { members } = this.current, { label, targets } = members[i];
    return `drawing ${i + 1}, character ${label + 1}${targets.length ? "" : ", without a positive"}`;
  }

  /** The drawings of the batch, those of one character in one frame. */
  buildDrawings(beside) {
    const { members } = this.current, groups = [];
    members.forEach(({ label }, i) => {
      if (groups.at(-1)?.label !== label) groups.push({ label, places: [] });
      groups.at(-1).places.push(i);
    });
    const bar = h("div", { class: `dml-drawings${beside ? " dml-beside" : ""}`, role: "group", style: `--sheet:url(${this.data.sheet})`,
      "aria-label": "drawings of the batch, by character; arrow keys walk through them" });
    for (const { label, places } of groups) {
      const caption = places.length === 1 ? "alone" : count(places.length, "drawing");
      bar.append(h("div", {
        class: "dml-character", role: "group", "aria-label": `character ${label + 1}, ${caption}`,
        "data-alone": String(places.length === 1),
      }, h("div", {}, ...places.map((i) => this.drawing(i))),
      h("span", { class: "dml-caption", "aria-hidden": "true" }, caption)));
    }
    return bar;
  }

  drawing(i) {
    const { members } = this.current, { row } = members[i], [x, y] = [row % COLUMNS, Math.floor(row / COLUMNS)];
    const letter = h("span", { class: "dml-role", "aria-hidden": "true" });
    const node = h("button", { type: "button", class: "dml-drawing", "data-drawing": i, "data-row": row,
      "data-key": `drawing${i}`, tabindex: i === 0 ? 0 : -1, onclick: () => this.choose(i), onfocus: () => {
        for (const other of this.stage.querySelectorAll("[data-drawing]")) set(other, { tabindex: other === node ? 0 : -1 });
      } },
    h("span", { class: "dml-ink", style: `background-position:${-SIDE * x}px ${-SIDE * y}px` }), letter);
    const ROLES = { a: ", chosen as anchor", p: ", positive of the anchor", n: ", confusable with the anchor" };
    this.drawings.push(() => {
      const role = this.roleOf(i, members);
      set(node, { "aria-pressed": role === "a", "data-role": role, "aria-label": this.nameOf(i) + (ROLES[role] ?? "") });
      letter.textContent = role;
    });
    return node;
  }

  buildCounts() {
    const held = this.current.contents, perAnchor = text(2 * held.confusable / held.anchors);
    const item = (key, value, words) =>
      h("li", { "data-count": key, "data-value": held[key] }, h("strong", {}, value), ` ${words}`);
    return h("ul", { class: "dml-counts" },
      item("confusable", held.confusable,
        `confusable ${held.confusable === 1 ? "pair" : "pairs"}: ${perAnchor} drawings per anchor`),
      item("alone", held.alone, `of ${held.anchors} anchors without a positive`),
      item("active", percent(held.active, 1), `of ${count(held.triplets, "triplet")} active (triplet loss)`),
      item("hard", percent(held.hard, 1), "with the negative nearer than the positive"),
      item("sst", percent(held.sst, 1), "active in SST"));
  }

  reading() {
    const characters = new Set(this.arrays.labels).size;
    return [h("p", {},
      `Drawings of ${characters} characters that the network was not trained on; batches and numbers by dmlteach's own ` +
      "samplers and losses. Two drawings of different characters are confusable if one is among the other's ten nearest in " +
      "the whole recording. Map: the two of the 128 directions in which the trained embedding is widest, so what is near here may be far in the " +
      "others; ● drawings of the batch, ◇ those alone; solid line: an anchor and its nearest positive; dashed line and ring: confusable. " +
      "Choose a drawing to see the lines of that anchor alone (a anchor, p its nearest positives, n confusable negatives); " +
      "choose it again for all. A triplet is active in the triplet loss inside the margin, 0.2, and in SST where its " +
      "weight exceeds 0.01. Of an epoch's batches the first eight can be looked at; the means are over all of them.")];
  }

  buildTable() {
    const held = this.current.contents, ratio = Number.isNaN(held.ratio) ? "–" : text(held.ratio);
    const confusable = 2 * held.confusable / held.anchors, alone = held.alone / held.anchors;
    const here = { ...held, batches: 1, dropped: "", confusable, alone };
    const columns = { batches: "batches", dropped: "dropped", confusable: "confusable per anchor", alone: "anchors alone",
      active: "active, triplet", hard: "negative nearer", sst: "active, SST" };
    const show = { batches: String, dropped: String, confusable: (v) => text(v), alone: (v) => percent(v) };
    const row = (name, label, values) => h("tr", { "data-row-of": name }, h("th", { scope: "row" }, label),
      ...Object.keys(columns).map((key) => h("td", { "data-of": key, "data-value": values[key] },
        (show[key] ?? ((v) => percent(v, 1)))(values[key]))));
    return [h("table", {},
      h("caption", {}, `Epoch ${this.data.epochs[this.state.epoch]}: this batch, and the means over all anchors of the ` +
        "epoch's batches. Dropped: neighbourhoods without a triplet."),
      h("thead", {}, h("tr", {}, h("td"), ...Object.values(columns).map((label) => h("th", { scope: "col" }, label)))),
      h("tbody", {}, row("batch", "this batch", here),
        ...this.data.samplers.map((name) => row(name, SAMPLERS[name], this.whole(name))))),
    h("p", { class: "dml-legend" }, "In this batch the nearest negative is, in the median over the anchors that have both, at ",
      h("span", { "data-count": "ratio", "data-value": held.ratio }, ratio),
      " times the distance of the nearest positive; below 1, the nearest neighbour is a wrong one.")];
  }

  told() {
    const { anchors, characters, alone, confusable } = this.current.contents;
    return `${count(anchors, "drawing")} of ${count(characters, "character")}, ${alone} without a positive, ` +
      count(confusable, "confusable pair");
  }

  /** What the state shows, in words. */
  sentence() {
    const { sampler, epoch, anchor } = this.state, { contents, members } = this.current, whole = this.whole();
    const dropped = whole.dropped ? `; ${count(whole.dropped, "neighbourhood")} without a triplet dropped` : "";
    const said = [
      `Epoch ${this.data.epochs[epoch]}, ${SAMPLERS[sampler]}, batch ${this.number + 1} of ${this.shown}: ${this.told()}; ` +
      `${percent(contents.active, 1)} of ${count(contents.triplets, "triplet")} active.`,
      `Mean of the epoch: ${text(whole.confusable)} confusable drawings per anchor, ` +
      `${percent(whole.alone)} of anchors without a positive${dropped}.`,
    ];
    if (members[anchor]) {
      const { targets, confusable, active } = members[anchor];
      said.unshift(`Anchor: ${this.nameOf(anchor)}: ${count(targets.length, "target")} (nearest positives), ` +
        `${count(confusable.length, "confusable drawing")}, ${count(active, "active triplet")}.`);
    }
    return said.join(" ");
  }
}

// Each role keeps its shape: anchor a circle, positive a square, negative a triangle.
const SHAPES = {
  member: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z", alone: "M0 -6.5L6.5 0L0 6.5L-6.5 0Z",
  a: "M-7 0a7 7 0 1 0 14 0a7 7 0 1 0 -14 0Z", p: "M-6 -6h12v12h-12Z", n: "M0 -8L7.5 6H-7.5Z",
};

const { render, mountAll } = hosts(BatchExplorer);
export { mountAll };
export default { render };
