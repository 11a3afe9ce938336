// Results explorer: a ranking of methods that changes with its filters, and what the difference of two tells.
//
// The numbers were measured by dmlteach, or published by others; means and intervals are taken here, of what is shown.

const VIEWS = { final: "our runs", tuning: "their tuning", published: "published" };
const START = { view: "final", filters: {}, a: "", b: "", numbers: false };
const SETTING = ["dataset", "backbone", "steps", "device"], ALL = "all", OWN = "own", BEST = "best", FIRST = 10;
const NAMES = { dataset: "data", steps: "budget", dim: "dimension" };
const WORDS = {
  sampler: { own: "each its own" }, rate: { best: "each its best" },
};
const TAKEAWAY = "A place in a ranking is worth what the interval of its difference is worth. With one seed, with one " +
  "learning rate for all, or with several networks in one table, methods change places for reasons that are not the method.";
const HEAD = 20, LINE = 22; // pixels

const points = (share, digits = 1) => text(100 * share, digits);
const signed = (share) => (share > 0 ? "+" : "") + points(share);
const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** Things by what `key` says of them, in their order. */
function grouped(things, key) {
  const found = new Map();
  for (const thing of things) found.set(key(thing), [...(found.get(key(thing)) ?? []), thing]);
  return found;
}

class ResultsExplorer extends Explorable {
  static figure = { name: "results_explorer", label: "results explorer", start: START, takeaway: TAKEAWAY };

  begin() {
    const { tables } = this.data = this.model.get("recorded");
    this.rows = Object.fromEntries(Object.entries(tables).map(([view, { words, rows, values, untrained }]) => {
      const facts = Object.keys(words);
      return [view, rows.map((places, i) => ({
        value: values[i], untrained: untrained[i],
        ...Object.fromEntries(facts.map((fact, k) => [fact, words[fact][places[k]]])),
      }))];
    }));
  }

  // - what passes the filters

  passes(row, filter, value) {
    if (filter === "sampler" && value === OWN) return row.variant === "";
    return value === ALL || value === BEST || row[filter] === value;
  }

  /** Values that a filter may have, the usual one first; those of the filters before it are given. */
  options(view, filter, given) {
    const names = this.data.filters[view], before = names.slice(0, names.indexOf(filter)), counted = new Map();
    for (const row of this.rows[view]) {
      if (!before.every((name) => this.passes(row, name, given[name]))) continue;
      counted.set(row[filter], (counted.get(row[filter]) ?? 0) + 1);
    }
    const byNumber = (x, y) => (Number.isNaN(Number(x)) - Number.isNaN(Number(y))) || Number(x) - Number(y) || (x < y ? -1 : 1);
    const byCount = (x, y) => counted.get(y) - counted.get(x) || (x < y ? -1 : 1);
    const known = [...counted.keys()].sort(SETTING.includes(filter) ? byCount : byNumber);
    if (view === "published" && filter === "dataset") {
      return [...known.filter((name) => name === this.data.papers), ...known.filter((name) => name !== this.data.papers)];
    }
    const several = view === "published" || !SETTING.includes(filter) || (filter === "device" && known.length > 1);
    return [...(!several ? [] : filter === "sampler" ? [OWN, ALL] : filter === "rate" ? [BEST] : [ALL]), ...known];
  }

  /** All filters of a view with a value that some number has. */
  settled(view, given) {
    const chosen = {};
    for (const name of this.data.filters[view]) {
      const known = this.options(view, name, chosen);
      chosen[name] = known.includes(given[name]) ? given[name] : known[0];
    }
    return chosen;
  }

  ranking(view, filters) {
    const left = this.rows[view].filter((row) =>
      Object.entries(filters).every(([name, value]) => name === "rate" || this.passes(row, name, value)));
    const entries = [];
    for (const [name, tried] of grouped(left, (row) => row.name)) {
      const chosen = view === "tuning" ? this.atRate(tried, filters.rate) : tried;
      if (chosen.length) entries.push(this.entry(name, chosen));
    }
    return entries.sort((x, y) => y.mean - x.mean);
  }

  entry(name, chosen) {
    const values = new Map();
    for (const { seed = "", value } of chosen) if (!values.has(seed)) values.set(seed, value); // the first in the file
    return { name, told: chosen[0].told, row: chosen[0], values, ...this.interval([...values.values()]) };
  }

  /** Mean, and half of its 95 % interval by Student's t. */
  interval(values) {
    const n = values.length, mean = values.reduce((sum, v) => sum + v, 0) / n;
    const variance = values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (n - 1);
    return { mean, half: n > 1 ? Math.sqrt(variance / n) * this.data.t[n - 2] : Infinity };
  }

  /** The best of what was tried; or with one rate for all, the run with its loss as it was with every rate. */
  atRate(tried, rate) {
    const settings = [...grouped(tried, (row) => `${row.rate}|${row.option}`).values()];
    if (rate === BEST) {
      const best = tried.reduce((most, row) => (row.value > most.value ||
        (row.value === most.value && Number(row.rate) < Number(most.rate)) ? row : most));
      return [best, ...settings.find(([row]) => row.rate === best.rate && row.option === best.option)];
    }
    const times = grouped(settings, ([row]) => row.option);
    const [usual] = [...times.entries()].reduce((most, one) => (one[1].length > most[1].length ? one : most));
    return settings.find(([row]) => row.rate === rate && row.option === usual) ?? [];
  }

  /** The ranking that places are compared with: all seeds, each its best rate. */
  reference() {
    const { seed, rate } = this.chosen, relaxed = { ...this.chosen };
    if ((seed ?? ALL) === ALL && (rate ?? BEST) === BEST) return null;
    if (seed) relaxed.seed = ALL;
    if (rate) relaxed.rate = BEST;
    return new Map(this.ranking(this.state.view, relaxed).map(({ name }, i) => [name, i + 1]));
  }

  look() {
    const { view, filters } = this.state;
    this.chosen = this.settled(view, filters);
    this.entries = this.ranking(view, this.chosen);
    this.before = this.reference();
  }

  // - the controls

  go(view, filters, chosen = {}) { this.change({ view, filters: this.settled(view, filters), a: "", b: "", ...chosen }); }

  toolbar() {
    this.views = Object.fromEntries(Object.entries(VIEWS).map(([view, label]) =>
      [view, button(label, () => this.go(view, {}), { "data-view": view })]));
    this.selects = {};
    const names = [...new Set(Object.values(this.data.filters).flat())];
    const filters = names.map((name) => {
      const select = h("select", { "data-filter": name, onchange: (event) => this.filter(name, event.target.value) });
      const only = h("span", { "data-only": name }), label = h("label", {}, `${NAMES[name] ?? name} `, select);
      const place = h("span", { class: "dml-filter" }, label, only);
      this.selects[name] = { select, only, label, place };
      return place;
    });
    const group = (label, ...nodes) =>
      h("span", { class: "dml-group", role: "group", "aria-label": label }, `${label}: `, ...nodes);
    return [group("ranked by", ...Object.values(this.views)),
      group("show me", button("one seed only", () => this.oneSeed()), button("the first two", () => this.firstTwo()),
        button("each its best rate", () => this.go("tuning", {})), button("one rate for all", () => this.oneRate()),
        button("published, all backbones", () => this.go("published", {})),
        button("published, one backbone", () => this.oneBackbone())),
      h("span", { class: "dml-row dml-filters", role: "group", "aria-label": "filters" }, ...filters)];
  }

  /** Another value of a filter; those after it stay where they can. */
  filter(name, value) { this.change({ filters: this.settled(this.state.view, { ...this.chosen, [name]: value }) }); }

  /** The first seed; pressed again, the next. */
  oneSeed() {
    const filters = this.settled("final", this.state.view === "final" ? this.chosen : {});
    const seeds = this.options("final", "seed", filters).slice(1), at = seeds.indexOf(filters.seed);
    this.go("final", { ...filters, seed: seeds[(at + 1) % seeds.length] });
  }

  firstTwo() {
    const filters = this.settled("final", {}), [a, b] = this.ranking("final", filters);
    this.go("final", filters, { a: a?.name ?? "", b: b?.name ?? "" });
  }

  /** The rate that most methods were tried with; of several, the one in the middle. */
  oneRate() {
    const filters = this.settled("tuning", {}), rates = this.options("tuning", "rate", filters).slice(1);
    const number = new Map(rates.map((rate) => [rate, this.ranking("tuning", { ...filters, rate }).length]));
    const most = rates.filter((rate) => number.get(rate) === Math.max(...number.values()));
    this.go("tuning", { ...filters, rate: most[Math.floor((most.length - 1) / 2)] });
  }

  /** The network with which most is published: backbone and dimension. */
  oneBackbone() {
    const { dataset } = this.settled("published", {}), left = this.rows.published.filter((row) => row.dataset === dataset);
    const by = [...grouped(left, (row) => `${row.backbone}|${row.dim}`).values()];
    const [row] = by.reduce((most, of) => (of.length > most.length ? of : most));
    this.go("published", { dataset, backbone: row.backbone, dim: row.dim });
  }

  question() {
    return {
      final: `It opens with all seeds. Predict first: by one seed alone, how many of the first ${FIRST} would stand in ` +
        "another place? Then choose “one seed only”.",
      tuning: `Predict first: with one learning rate for all, how many of the first ${FIRST} would stand in another place ` +
        "than with the best rate of each? Then choose “one rate for all”.",
      published: "Predict first: do the highest published numbers come from one network, or from several? How far apart " +
        "are the methods within one? Then choose “published, one backbone”.",
    }[this.state.view];
  }

  controls() {
    return [button("Clear A and B", () => this.change({ a: "", b: "" })), button("Reset", () => this.reset())];
  }

  refreshControls() {
    const { view } = this.state;
    for (const [name, node] of Object.entries(this.views)) node.setAttribute("aria-pressed", name === view);
    for (const [name, { select, only, label, place }] of Object.entries(this.selects)) {
      place.hidden = !(name in this.chosen);
      if (place.hidden) continue;
      const values = this.options(view, name, this.chosen);
      const shown = (value) => WORDS[name]?.[value] ?? (name === "steps" ? `${value} steps` : value);
      if (select.dataset.values !== values.join("|")) {
        select.replaceChildren(...values.map((value) => h("option", { value }, shown(value))));
        select.dataset.values = values.join("|");
      }
      select.value = this.chosen[name];
      label.hidden = values.length < 2;
      only.hidden = !label.hidden;
      only.textContent = `${NAMES[name] ?? name}: ${shown(values[0])}`;
    }
  }

  /** Arrow keys walk through the ranking. */
  onKey(event) {
    const here = event.target.closest?.("[data-entry]"), all = [...this.stage.querySelectorAll("[data-entry]")];
    const step = { ArrowUp: -1, ArrowDown: 1, Home: -all.length, End: all.length }[event.key];
    if (!here || !step || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    all[clamp(all.indexOf(here) + step, 0, all.length - 1)].focus();
  }

  /** A name is chosen as A, then as B; a third takes the place of the older. */
  choose(name) {
    const { a, b } = this.state;
    const [first, second] = name === a ? [b, ""] : name === b ? [a, ""] : !a ? [name, ""] : !b ? [a, name] : [b, name];
    this.change({ a: first, b: second });
  }

  // - the drawing

  shape() {
    this.look();
    return JSON.stringify([this.state.view, this.chosen]);
  }

  given() { return [this.pair()]; }

  build() {
    const wide = this.width >= 700, side = 206, gap = 18, published = this.state.view === "published";
    const width = wide ? this.width - side - gap : this.width, small = width < 420, place = 24;
    const name = small ? (published ? 190 : 140) : published ? 250 : 150;
    const value = small ? (published ? 36 : 62) : published ? 40 : this.before ? 124 : 80;
    const strip = Math.max(width - name - value - place - 40, 60);
    const columns = `grid-template-columns:${place}px ${name}px ${strip}px ${value}px`;
    const list = h("ol", { class: "dml-ranking" }, ...this.entries.map((entry, i) => this.line(entry, i, columns, strip, small)));
    const verdict = h("div", { class: "dml-verdict", style: `width:${wide ? side : width}px` });
    this.drawings.push((pair) => verdict.replaceChildren(...this.verdict(pair)));
    return [h("div", { class: "dml-panels", style: `gap:${gap}px` },
      h("div", { style: `width:${width}px` }, h("div", { class: "dml-line dml-axis", style: columns, "aria-hidden": "true" },
        h("span"), h("span", {}, "Recall@1, %"), this.axis(strip), h("span")),
      h("div", { class: "dml-scroll", tabindex: 0, role: "group", "aria-label": "ranking" }, list)), verdict),
    this.legend()];
  }

  /** Left and right end of the axis, as shares. */
  get ends() {
    const all = this.entries.flatMap(({ mean, half, values }) =>
      [...values.values(), ...(half < 1 ? [mean - half, mean + half] : [])]);
    return [Math.max(Math.floor(20 * Math.min(...all)) / 20, 0), Math.min(Math.ceil(20 * Math.max(...all)) / 20, 1)];
  }

  along(strip) {
    const [low, high] = this.ends;
    return (share) => 5 + (strip - 10) * (clamp(share, low, high) - low) / Math.max(high - low, 1e-9);
  }

  axis(strip) {
    const [low, high] = this.ends, along = this.along(strip), middle = Math.round(10 * (low + high)) / 20;
    return s("svg", { width: strip, height: HEAD }, ...[low, ...(strip > 130 ? [middle] : []), high].map((at, i, all) =>
      s("text", { x: along(at), y: 14, class: "dml-small", "text-anchor": i === 0 ? "start" : i < all.length - 1 ? "middle" : "end" },
        points(at, 0))));
  }

  line(entry, i, columns, strip, small) {
    const { name, told, mean, half, values } = entry, along = this.along(strip), y = LINE / 2;
    const was = this.before?.get(name), moved = was && was !== i + 1 ? ` (was ${was})` : "";
    const known = half < 1 ? ` ± ${points(half)}` : "";
    const mark = s("g"), strokes = [s("path", { d: `M0 ${y}h${strip}`, class: "dml-rail" })];
    if (half < 1) strokes.push(s("path", { d: `M${along(mean - half)} ${y}H${along(mean + half)}`, class: "dml-interval" }));
    for (const v of values.values()) strokes.push(s("circle", { cx: along(v), cy: y, r: 2.6, class: "dml-seed" }));
    const badge = h("span", { class: "dml-badge-of", "aria-hidden": "true" });
    const title = this.state.view === "published" ? name.slice(0, name.length - told.length - 2) : name;
    const node = h("button", { type: "button", "data-entry": name, "data-key": `entry ${name}`, tabindex: i === 0 ? 0 : -1,
      "data-mean": mean, "data-half": half, onclick: () => this.choose(name), onfocus: () => {
        for (const other of this.stage.querySelectorAll("[data-entry]")) set(other, { tabindex: other === node ? 0 : -1 });
      } }, badge, h("span", {}, title), told ? h("span", { class: "dml-told" }, told) : "");
    this.drawings.push(() => {
      const letter = name === this.state.a ? "A" : name === this.state.b ? "B" : "";
      badge.textContent = letter;
      set(node, { "aria-pressed": letter !== "", "data-letter": letter,
        "aria-label": `${i + 1}. ${name}: ${points(mean)} %${known}${moved}${letter ? `, chosen as ${letter}` : ""}` });
      mark.replaceChildren(s("path", { d: SHAPES[letter], transform: `translate(${along(mean)} ${y})`,
        class: `dml-mean dml-is-${letter}` }));
    });
    const drawn = s("svg", { width: strip, height: LINE, "aria-hidden": "true" }, ...strokes, mark);
    return h("li", { class: "dml-line", style: columns }, h("span", { "aria-hidden": "true" }, i + 1), node, drawn,
      h("span", { class: "dml-value", "aria-hidden": "true" }, points(mean), small ? h("br") : "", known || "", moved ? h("em", {}, moved) : ""));
  }

  legend() {
    const { view } = this.state, { classes, untrained } = this.beside();
    const what = {
      final: `Our own runs, tuned alike and measured once, among ${classes} test classes; before training the network has ` +
        `${points(untrained ?? 0, 0)} %.`,
      tuning: `Runs by which rates were chosen, among ${classes} val classes, where the untrained network was not measured.`,
      published: "Numbers as others have published them, named as their source names them; there are no seeds, intervals or untrained " +
        "networks beside them.",
    }[view];
    return h("p", { class: "dml-legend" }, what, view === "published" ? " Filled mark: the number."
      : " Dots: seeds; filled mark: their mean; line: its 95 % interval by Student's t, where there are two seeds or more.",
    " Choose two names, A and B, to see their difference. Arrow keys walk through the list.");
  }

  beside() {
    const [first] = this.entries, setting = SETTING.filter((name) => name in this.chosen);
    const known = this.rows[this.state.view].filter((row) => setting.every((name) => this.passes(row, name, this.chosen[name])))
      .map((row) => row.untrained).filter((value) => value != null);
    return { classes: first?.row.classes, untrained: known.length ? known.reduce((a, b) => a + b) / known.length : null };
  }

  // - two of them

  pair() {
    const [a, b] = [this.state.a, this.state.b].map((name) => this.entries.find((entry) => entry.name === name));
    return a && b ? { a, b, ...this.minus(a, b) } : { a, b };
  }

  /** A minus B, seed by seed. */
  minus(a, b) {
    const seeds = [...a.values.keys()].filter((seed) => b.values.has(seed)).sort();
    const each = seeds.map((seed) => a.values.get(seed) - b.values.get(seed));
    return { seeds, each, ...this.interval(each) };
  }

  isTold({ seeds, mean, half }) { return seeds.length > 1 && Math.abs(mean) > half; }

  /** The difference of two in words. */
  judge(pair) {
    const { a, b, seeds, mean, half } = pair;
    if (!a || !b) return a ? "Choose a second one, B." : "Choose two names of the ranking: A, then B.";
    if (this.state.view === "published") return this.judgePublished(a, b, mean);
    if (!seeds.length) return "A and B have no seed in common.";
    if (seeds.length === 1) return `A minus B: ${signed(mean)} points with one seed. One run each: it cannot be told.`;
    const found = `A minus B: ${signed(mean)} points, 95 % interval ${signed(mean - half)} to ${signed(mean + half)}. `;
    if (!this.isTold(pair)) return `${found}It holds 0: from ${seeds.length} seeds it cannot be told which is better.`;
    return `${found}It excludes 0: ${mean > 0 ? "A" : "B"} is better here. If you chose this pair after looking, ask for more.`;
  }

  judgePublished(a, b, mean) {
    const labels = { backbone: "backbone", dim: "dimension", source: "source" };
    const other = Object.keys(labels).filter((key) => a.row[key] !== b.row[key]);
    const unknown = ["backbone", "dim"].some((key) => [a, b].some(({ row }) => row[key] === "not given"));
    const said = other.length ? `They differ in ${other.map((key) => labels[key]).join(" and ")}, so this is not the method's alone.`
      : "Network and source are the same.";
    return `A minus B: ${signed(mean)} points. ${said}${unknown ? " Not all is given." : ""} One number each: no interval.`;
  }

  verdict(pair) {
    const { a, b, seeds = [], each = [] } = pair, title = (letter, entry) =>
      h("p", { class: "dml-chosen" }, h("strong", {}, `${letter}: `), entry ? entry.name : "–");
    const table = seeds.length && this.state.view !== "published" ? [h("table", {}, h("thead", {}, h("tr", {},
      ...["seed", "A", "B", "A − B"].map((label) => h("th", { scope: "col" }, label)))),
    h("tbody", {}, ...seeds.map((seed, i) => h("tr", {}, h("th", { scope: "row" }, seed),
      ...[a.values.get(seed), b.values.get(seed)].map((v) => h("td", {}, points(v))), h("td", { "data-pair": seed }, signed(each[i]))))))] : [];
    return [title("A", a), title("B", b), ...table, h("p", { "data-verdict": "" }, this.judge(pair))];
  }

  // - numbers and words

  buildTable() {
    const seeds = [...new Set(this.entries.flatMap(({ values }) => [...values.keys()]))].sort();
    const label = (seed) => (seed === "" ? "value" : `seed ${seed}`);
    const head = ["", ...seeds.map(label), "mean", "± half of 95 %"];
    return [h("table", {}, h("caption", {}, "Recall@1 in percent, the best mean first."),
      h("thead", {}, h("tr", {}, ...head.map((name) => (name ? h("th", { scope: "col" }, name) : h("td"))))),
      h("tbody", {}, ...this.entries.map(({ name, values, mean, half }) => h("tr", {}, h("th", { scope: "row" }, name),
        ...seeds.map((seed) => h("td", {}, values.has(seed) ? points(values.get(seed)) : "–")),
        h("td", {}, points(mean)), h("td", {}, half < 1 ? points(half) : "–")))))];
  }

  /** How many of the first have another place in the reference. */
  moved() {
    const first = [...this.before].filter(([, place]) => place <= FIRST);
    return first.filter(([name, place]) => this.entries[place - 1]?.name !== name).length;
  }

  /** What the state shows, in words. */
  sentence() {
    const { view } = this.state, [first, ...rest] = this.entries, pair = this.pair();
    const said = pair.a && pair.b ? [this.judge(pair)] : [];
    const known = (entry) => `${points(entry.mean)} %${entry.half < 1 ? ` ± ${points(entry.half)}` : ""}`;
    if (!first) return "Nothing passes these filters.";
    if (this.before) {
      const now = this.chosen.seed ? `seed ${this.chosen.seed} alone` : `the rate ${this.chosen.rate} for all`;
      const then = this.chosen.seed ? "all seeds" : "each its best rate";
      said.push(`By ${now}, ${this.moved()} of the first ${Math.min(FIRST, this.before.size)} stand in another place than by ${then}. ` +
        `First: ${first.name}, ${known(first)}.`);
    } else if (view === "published") {
      const kinds = (fact) => new Set(this.entries.map(({ row }) => row[fact])).size;
      said.push(`${count(this.entries.length, "published number")} with ${count(kinds("backbone"), "backbone")} and ` +
        `${count(kinds("dim"), "dimension")}, from ${points(this.entries.at(-1).mean)} to ${points(first.mean)} %. None has an interval.`);
    } else {
      const told = rest.filter((entry) => this.isTold(this.minus(first, entry))).length;
      const paired = rest.some((entry) => this.minus(first, entry).seeds.length > 1);
      said.push(`First of ${this.entries.length}: ${first.name}, ${known(first)}. ` + (!paired ? "One run each: no place can be told."
        : `By the interval of the difference, seed by seed, ${told} of the ${rest.length} others can be told from it, ` +
          `${rest.length - told} cannot.`));
    }
    return said.join(" ");
  }
}

// A is a square, B a triangle, all others are circles.
const SHAPES = {
  "": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z", A: "M-5.5-5.5h11v11h-11Z", B: "M0-7L6.5 5.5H-6.5Z",
};

const { render, mountAll } = hosts(ResultsExplorer);
export { mountAll };
export default { render };
