// t-SNE grid: two recorded maps side by side, each under its own perplexity, seed and iterations.
//
// Positions and numbers come with the recording, computed by dmlteach; nothing is measured here.

const PANELS = ["a", "b"];
const START = {
  a: { network: "sst", perplexity: 10, seed: 0, iterations: 750 },
  b: { network: "sst", perplexity: 500, seed: 0, iterations: 750 },
  guess: "", numbers: false,
};
const setting = (perplexity, seed = 0, iterations = 750, network = "sst") => ({ network, perplexity, seed, iterations });
const PAIRS = {
  "1: islands or a cloud": [setting(10), setting(500)],
  "2: two starts": [setting(30), setting(30, 1)],
  "3: early and late": [setting(100, 0, 10), setting(100)],
  "4: and these two?": [setting(10), setting(500, 0, 750, "triplet")],
};
const QUESTION = "Predict first: which panel shows the better model, A or B? Answer below the maps, " +
  "then try other settings and pairs.";
const TAKEAWAY = "One embedding gives islands, a cloud or a smear, as perplexity, starting positions and iterations decide. " +
  "Which model is better cannot be told from maps; Recall@1 measured in the embedding tells it. " +
  "Under a map you show, write the share of neighbours it keeps.";
const GUESSES = { a: "A is better", b: "B is better", neither: "cannot be told" };
const NETWORKS = { sst: "SST", triplet: "triplet" };

const percent = (share) => `${Math.round(100 * share)}%`;
const same = (x, y) => Object.keys(x).every((key) => x[key] === y[key]);

// Each highlighted character keeps its shape: circle, square, triangle, diamond, triangle on its tip.
const SHAPES = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
  "M-3.6-3.6h7.2v7.2h-7.2Z",
  "M0-4.8L4.6 3.6H-4.6Z",
  "M0-5.2L5.2 0L0 5.2L-5.2 0Z",
  "M0 4.8L4.6-3.6H-4.6Z",
];

/** Whole numbers of ten bits, lowest bit first, from base64. */
export function unpack(text64) {
  const text8 = atob(text64), bytes = Uint8Array.from(text8 + "\0", (letter) => letter.charCodeAt(0));
  return Uint16Array.from({ length: Math.floor((8 * text8.length) / 10) }, (_, i) => {
    const bit = 10 * i, at = bit >> 3;
    return ((bytes[at] | (bytes[at + 1] << 8)) >> (bit & 7)) & 1023;
  });
}

class TSNEGrid extends Explorable {
  static figure = { name: "tsne_grid", label: "two t-SNE maps to compare", start: START, takeaway: TAKEAWAY };

  begin() {
    this.recording = this.model.get("recording");
    this.points = unpack(this.recording.points);
    this.marked = new Set(this.recording.highlights.flatMap(({ rows }) => rows));
    this.looks = SHAPES.map((d) => new Path2D(d));
  }

  /** Number of a setting in the recording. */
  row(wanted) {
    const keys = [wanted.network, wanted.perplexity, wanted.seed, wanted.iterations];
    return this.recording.settings.findIndex((recorded) => recorded.every((value, i) => value === keys[i]));
  }

  numbers(panel) {
    const row = this.row(this.state[panel]), { kept, recall, embedding } = this.recording;
    return { row, kept: kept[row], recall: recall[row], embedding: embedding[this.state[panel].network] };
  }

  given() { return [Object.fromEntries(PANELS.map((panel) => [panel, this.numbers(panel)]))]; }

  /** Another setting of a panel; the second network has one seed and one number of iterations. */
  choose(panel, part) {
    const chosen = { ...this.state[panel], ...part }, only = this.recording.settings.at(-1);
    if (chosen.network === only[0]) Object.assign(chosen, { seed: only[2], iterations: only[3] });
    this.change({ [panel]: chosen });
  }

  // - the controls

  toolbar() {
    this.pairs = Object.entries(PAIRS).map(([label, [a, b]]) =>
      button(`pair ${label}`, () => this.change({ a: { ...a }, b: { ...b }, guess: "" })));
    return [h("span", { class: "dml-group", role: "group", "aria-label": "show a pair of maps" }, ...this.pairs)];
  }

  question() { return QUESTION; }

  controls() {
    this.answers = Object.entries(GUESSES).map(([guess, label]) => button(label, () => this.change({ guess })));
    return [h("span", { class: "dml-group", role: "group", "aria-label": "your answer: the better model" },
      "your answer: ", ...this.answers), button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { a, b, guess } = this.state;
    Object.values(PAIRS).forEach((pair, i) =>
      this.pairs[i].setAttribute("aria-pressed", same(a, pair[0]) && same(b, pair[1])));
    Object.keys(GUESSES).forEach((name, i) => this.answers[i].setAttribute("aria-pressed", name === guess));
  }

  // - the drawing

  shape() { return ""; }

  build() {
    const gap = 16, beside = this.width >= 560, key = this.width >= 700 ? 120 : 0; // the key beside the maps, or below
    const side = Math.floor(Math.min(beside ? (this.width - key - 2 * gap) / 2 - 6 : this.width - 10, 278 + 122 * !key));
    return [h("div", { class: "dml-panels dml-pair-of-maps", style: `gap:${gap}px` },
      ...PANELS.map((panel) => this.panel(panel, side)), this.legend(key))];
  }

  /** One map: its settings above, what was measured below. */
  panel(panel, side) {
    const name = panel.toUpperCase(), scale = Math.max(devicePixelRatio || 1, 1);
    const canvas = h("canvas", { class: "dml-map", role: "img", style: `width:${side}px;height:${side}px` });
    canvas.width = canvas.height = Math.round(side * scale);
    let drawn;
    this.drawings.push((numbers) => {
      const { row, kept, recall } = numbers[panel];
      if (drawn !== row) this.paint(canvas, row, side, scale);
      drawn = row;
      canvas.dataset.row = row;
      set(canvas, { "aria-label": `map ${name}, ${this.describe(panel)}: keeps ${percent(kept)} of the neighbours, ` +
        `Recall@1 on the map ${text(recall, 3)}` });
    });
    const label = h("span", { class: "dml-letter dml-name" }, name), style = `width:${side + 2}px`;
    return h("div", { class: "dml-tsne-panel", style, role: "group", "aria-label": `panel ${name}` },
      h("div", { class: "dml-row" }, label, ...this.settings(panel)), canvas, this.measured(panel));
  }

  /** The native controls of a panel. */
  settings(panel) {
    const named = (key) => ({ "aria-label": `${key}, panel ${panel.toUpperCase()}`, "data-key": `${panel} ${key}` });
    const slider = (key) => {
      const values = this.recording[key], shown = h("output", {});
      const input = h("input", {
        type: "range", min: 0, max: values.length - 1, step: 1, ...named(key),
        oninput: (event) => this.choose(panel, { [key]: values[Number(event.target.value)] }),
      });
      this.drawings.push(() => {
        const value = this.state[panel][key];
        input.value = values.indexOf(value);
        input.disabled = key === "iterations" && this.single(panel);
        set(input, { "aria-valuetext": value });
        shown.textContent = value;
      });
      return h("label", {}, key, input, shown);
    };
    const menu = (key, label) => {
      const values = this.recording[key];
      const select = h("select", {
        ...named(key), onchange: (event) => this.choose(panel, { [key]: values[event.target.selectedIndex] }),
      }, ...values.map((value) => h("option", { value }, label?.[value] ?? value)));
      const field = h("label", {}, key, select);
      this.drawings.push(() => {
        select.value = this.state[panel][key];
        select.disabled = key === "seed" && this.single(panel);
        field.hidden = key === "network" && !this.state.guess; // it would give the answer away
      });
      return field;
    };
    return [slider("perplexity"), slider("iterations"), menu("seed"), menu("network", NETWORKS)];
  }

  /** Whether the panel's network was recorded under one seed and number of iterations only. */
  single(panel) { return this.state[panel].network === this.recording.settings.at(-1)[0]; }

  /** What stands under a map. */
  measured(panel) {
    const [kept, recall, embedding] = ["kept", "recall", "embedding"].map((of) => h("strong", { "data-of": `${panel} ${of}` }));
    this.drawings.push((numbers) => {
      const measured = numbers[panel], network = NETWORKS[this.state[panel].network];
      kept.textContent = percent(measured.kept);
      recall.textContent = text(measured.recall, 3);
      embedding.textContent = this.state.guess ? `${text(measured.embedding, 3)} (${network})` : "answer first";
    });
    const line = (label, value) => h("p", {}, h("span", {}, `${label} `), value);
    return h("div", { class: "dml-measured" }, line("neighbours kept", kept),
      line("Recall@1 on the map", recall), line("Recall@1 in the embedding", embedding));
  }

  paint(canvas, row, side, scale) {
    const { count, levels, highlights } = this.recording, context = canvas.getContext("2d");
    const place = (i) => {
      const at = 2 * (row * count + i), inner = (side - 14) / (levels - 1);
      return [7 + this.points[at] * inner, side - 7 - this.points[at + 1] * inner]; // y points up on a map
    };
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, side, side);
    context.fillStyle = "rgba(135, 135, 135, .75)"; // readable on white and on black
    for (let i = 0; i < count; i++) {
      if (this.marked.has(i)) continue;
      const [x, y] = place(i);
      context.fillRect(x - 1.1, y - 1.1, 2.2, 2.2);
    }
    highlights.forEach(({ rows, colour }, k) => rows.forEach((i) => {
      const [x, y] = place(i);
      context.setTransform(scale, 0, 0, scale, x * scale, y * scale);
      context.fillStyle = colour;
      context.strokeStyle = "#fff";
      context.lineWidth = 0.8;
      context.fill(this.looks[k]);
      context.stroke(this.looks[k]);
    }));
  }

  legend(width) {
    const { highlights } = this.recording;
    const entries = highlights.map(({ name, colour, picture }, i) => h("span", { class: "dml-key" },
      s("svg", { width: 14, height: 14, viewBox: "-6 -6 12 12", "aria-hidden": "true" },
        s("path", { d: SHAPES[i], fill: colour })),
      h("img", { src: picture, width: 28, height: 28, alt: "" }), name));
    return h("div", { class: "dml-legend dml-row", style: width ? `width:${width}px;align-content:center` : "" }, ...entries);
  }

  reading() {
    const { count } = this.recording;
    return [h("p", {}, `Each dot is one of ${count.toLocaleString("en")} drawings, 20 of each of ${count / 20} characters; ` +
        "five characters stand out. " +
        "Kept: share of a drawing's ten nearest in the embedding that are among its ten nearest on the map. " +
        "Recall@1 is among these characters; in the embedding of the untrained network it is " +
        `${text(this.recording.embedding.untrained, 3)}. ` +
        "Iterations: after 250 in which attraction is exaggerated. The axes have no unit.")];
  }

  // - numbers and words

  describe(panel) {
    const { perplexity, seed, iterations } = this.state[panel];
    return `perplexity ${perplexity}, seed ${seed}, ${iterations} iterations`;
  }

  buildTable() {
    const { iterations, settings, kept, recall } = this.recording;
    const head = (attributes, label) => h("th", { scope: "col", ...attributes }, label);
    const groups = settings.filter(([network, p, seed], i) => i === 0 || // the iterations of a run follow each other
      [network, p, seed].some((value, k) => value !== settings[i - 1][k]));
    const cells = [];
    const cell = (row, measure) => {
      const value = row < 0 ? "–" : measure === kept ? percent(measure[row]) : text(measure[row], 3);
      const node = h("td", {}, value);
      if (row >= 0) {
        set(node, { "data-row": row, "data-value": measure[row] });
        cells.push({ node, row, value });
      }
      return node;
    };
    const body = groups.map(([network, perplexity, seed]) => h("tr", {},
      h("th", { scope: "row" }, `${NETWORKS[network]}, perplexity ${perplexity}, seed ${seed}`),
      ...[kept, recall].flatMap((measure) => iterations.map((n) =>
        cell(this.row({ network, perplexity, seed, iterations: n }), measure)))));
    this.drawings.push((numbers) => cells.forEach(({ node, row, value }) => {
      const shown = PANELS.filter((panel) => numbers[panel].row === row).map((panel) => panel.toUpperCase());
      node.textContent = value + (shown.length ? ` (${shown.join(", ")})` : "");
      node.className = shown.length ? "dml-shown" : "";
    }));
    const wide = { colspan: iterations.length, scope: "colgroup" };
    const table = h("table", {}, h("caption", {}, `All ${settings.length} recorded maps; (A) and (B) are shown above.`),
      h("thead", {}, h("tr", {}, h("td", {}), head(wide, "neighbours kept, after iterations"),
        head(wide, "Recall@1 on the map, after iterations")),
      h("tr", {}, head({}, "map"), ...[kept, recall].flatMap(() => iterations.map((n) => head({}, n))))),
      h("tbody", {}, ...body));
    return [h("div", { class: "dml-scroll", tabindex: 0, role: "group", "aria-label": "numbers of all maps" }, table)];
  }

  /** What the state shows, in words. */
  sentence() {
    const [{ a, b }] = this.given();
    const told = PANELS.map((panel) => {
      const { kept, recall } = panel === "a" ? a : b;
      return `${panel.toUpperCase()}, ${this.describe(panel)}: ${percent(kept)} of the neighbours kept, ` +
        `Recall@1 on the map ${text(recall, 3)}.`;
    });
    return [...told, this.state.guess ? this.verdict(a, b) : "Which model is better?"].join(" ");
  }

  verdict(a, b) {
    const [left, right] = PANELS.map((panel) => NETWORKS[this.state[panel].network]), { guess } = this.state;
    const reply = guess === "neither" ? "Right, it cannot be told from maps."
      : `You chose ${guess.toUpperCase()}, but it cannot be told from maps.`;
    if (left === right) {
      return `${reply} Both are the same embedding, that of the ${left} network: ` +
        `measured in the embedding, Recall@1 is ${text(a.embedding, 3)} in either panel.`;
    }
    const [better, worse] = a.embedding > b.embedding ? [a, b] : [b, a];
    const [name, other] = better === a ? ["A", "B"] : ["B", "A"];
    const against = worse.kept > better.kept && worse.recall > better.recall
      ? ` Both numbers on the maps favour ${other}, and the embedding of ${name} is the better one.` : "";
    return `${reply} These are two networks: measured in the embedding, Recall@1 is ${text(a.embedding, 3)} for A (${left}) ` +
      `and ${text(b.embedding, 3)} for B (${right}).${against}`;
  }
}

const { render, mountAll } = hosts(TSNEGrid);
export { mountAll };
export default { render };
