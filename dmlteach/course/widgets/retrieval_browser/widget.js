// Retrieval browser: pick a query or draw a character, and see its neighbours under several networks.
//
// Neighbours of the listed queries and of the examples travel with the page; in a notebook the kernel looks
// up what is drawn.

const START = { view: "pick", query: 0, shown: [], strokes: [], copying: false, numbers: false };
const GAP = 6, TILE = 64, LISTED = 44; // pixels
const GRID = 7; // the arrow keys move the pen by so many pixels of the drawing
const TAKEAWAY = "What is right for classes that a network has never seen carries over from those it was trained on. " +
  "A mistake that every network makes is about the image; a mistake that one network makes is about that network.";

const BADGES = {
  kernel: "● answered by the kernel", waiting: "… waiting for the kernel", recorded: "○ recorded",
  empty: "○ nothing drawn yet", nobody: "○ no kernel here",
};

const same = (x, y) => JSON.stringify(x) === JSON.stringify(y);
/** A neighbour as Python gives it. */
const neighbour = ([tile, label, distance, row, name]) => ({ tile, label, distance, row, name });

const judged = ({ right }) => (right == null ? "" : right ? "right" : "wrong");
const comma = (word) => word && `, ${word}`;

const sheets = new Map(); // address of a sheet → its picture and the thumbnails cut out of it
/** A thumbnail as the address of a picture, or null while the sheet is being read; `ready` is called then. */
function thumbnail({ picture, side, columns }, tile, ready) {
  let sheet = sheets.get(picture);
  if (!sheet) {
    if (sheets.size > 8) sheets.delete([...sheets.keys()].pop()); // the last answer, never the first lists
    sheet = { image: new Image(), tiles: [], waiting: new Set() };
    sheets.set(picture, sheet);
    sheet.image.onload = () => { sheet.loaded = true; for (const call of sheet.waiting) call(); };
    sheet.image.src = picture;
  }
  if (!sheet.loaded) {
    sheet.waiting.add(ready);
    return null;
  }
  return sheet.tiles[tile] ??= cut(sheet.image, tile, side, columns);
}
function cut(image, tile, side, columns) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  const [x, y] = [tile % columns, Math.floor(tile / columns)].map((v) => -v * side);
  canvas.getContext("2d").drawImage(image, x, y);
  return canvas.toDataURL();
}

class RetrievalBrowser extends Pad {
  static figure = {
    name: "retrieval_browser", label: "retrieval browser", start: START, watched: ["answer"], takeaway: TAKEAWAY,
  };

  begin() {
    this.data = this.model.get("data");
    this.pen = { x: 52, y: 52, down: false, joined: false }; // joined: the next point goes on with the last stroke
    this.read = () => this.gone || this.refresh(); // one function: a sheet calls it once
    this.stroke = null; // the one under the pointer, not yet lifted
  }

  remove() {
    this.gone = true;
    super.remove();
  }

  get drawing() { return this.state.view === "draw"; }
  get query() { return this.data.queries[this.state.query]; }
  queryName(i) { return `query ${i + 1}, ${this.data.queries[i].name}`; }
  get networks() { return this.data.networks.filter(({ name }) => this.state.shown.includes(name)); }

  /** What was found for the present state: `found` by network, the sheet of its thumbnails, who answered. */
  result() {
    const { strokes, copying } = this.state;
    if (!this.drawing) return { ...this.query, sheet: this.data, source: "recorded" };
    const label = copying ? this.query.label : null;
    const answer = this.model.get("answer");
    if (answer?.found && same(answer.strokes, strokes)) {
      return { ...answer, label, sheet: answer, source: this.model.get("kernel") ? "kernel" : "recorded" };
    }
    const example = this.data.examples.find((one) => same(one.strokes, strokes));
    if (example) return { ...example, label, sheet: this.data, source: "recorded" };
    return { found: {}, label, source: strokes.length === 0 ? "empty" : this.model.get("kernel") ? "waiting" : "nobody" };
  }

  given() { return [this.result()]; }

  /** Of one network: its neighbours, each right, wrong or (where nobody can tell) neither. */
  items(result, name) {
    return (result.found[name] ?? []).map(neighbour).map((item) => ({
      ...item, right: result.label == null ? null : item.label === result.label,
    }));
  }

  /** In words: how many are right, or which character most of them are. */
  verdict(items) {
    if (!items.length) return "";
    if (items[0].right != null) return `${items.filter(({ right }) => right).length} of ${items.length} right`;
    const most = this.most(items), count = items.filter(({ label }) => label === most).length;
    if (count === 1 && items.length > 1) return `${items.length} different characters`;
    return `${count} of ${items.length} are ${items.find(({ label }) => label === most).name}`;
  }

  /** The label that occurs most often; of several, that of the nearest. */
  most(items) {
    const count = (label) => items.filter((item) => item.label === label).length;
    return items.reduce((best, { label }) => (count(label) > count(best) ? label : best), items[0].label);
  }

  // - the controls

  toolbar() {
    this.viewButtons = { pick: button("Pick a character", () => this.change({ view: "pick" })) };
    if (this.data.draws) this.viewButtons.draw = button("Draw a character", () => this.change({ view: "draw" }));
    else this.viewButtons.pick.hidden = true; // photographs: there is one view only
    this.boxes = this.data.networks.map(({ name, label }) => [name, h("input", {
      type: "checkbox", onchange: (event) => this.show(name, event.target.checked),
    }), label]);
    this.presets = h("span", { class: "dml-group", role: "group", "aria-label": "show me" });
    return [h("span", { class: "dml-group", role: "group", "aria-label": "view" }, ...Object.values(this.viewButtons)),
      h("span", { class: "dml-group dml-networks", role: "group", "aria-label": "networks" }, "networks:",
        ...this.boxes.map(([, box, label]) => h("label", {}, box, label))),
      this.presets];
  }

  show(name, shown) {
    const names = this.data.networks.map((network) => network.name);
    this.change({ shown: names.filter((one) => (one === name ? shown : this.state.shown.includes(one))) });
  }

  question() {
    if (!this.drawing) return this.data.question;
    return "Predict first: what will each network take your character for? No network was trained on the gallery's characters.";
  }

  controls() {
    this.badge = h("span", { class: "dml-badge" });
    return [button("Reset", () => { this.lift(); this.reset(); }), this.badge];
  }

  refreshControls() {
    const { view, shown } = this.state, { source } = this.result();
    for (const [name, node] of Object.entries(this.viewButtons)) node.setAttribute("aria-pressed", name === view);
    for (const [name, box] of this.boxes) box.checked = shown.includes(name);
    this.badge.textContent = BADGES[source];
    this.badge.title = source === "recorded" ? "computed by dmlteach when this figure was made" : "";
  }

  buildPresets() {
    const all = this.data.networks.map(({ name }) => name);
    const cases = this.drawing
      ? this.data.examples.map(({ name, strokes }) => [name, () => ({ strokes: structuredClone(strokes), copying: false })])
      : this.data.cases.map(({ name, query }) => [name, () => ({ query, shown: all })]);
    const what = this.drawing ? "show me: " : "show me a nearest neighbour that is ";
    this.presets.replaceChildren(...(cases.length ? [what] : []),
      ...cases.map(([name, part]) => button(name, () => { this.lift(); this.change(part()); })));
  }

  // - the drawing

  shape() { return this.state.view; }

  build() {
    this.buildPresets();
    this.root.style.setProperty("--tile", `${Math.min(TILE, Math.floor(this.width / this.columns) - GAP)}px`);
    return [this.drawing ? this.buildPad() : this.buildList(), this.buildResults()];
  }

  get columns() { return Object.values(this.data.queries[0].found)[0].length; }

  picture(alt, more) {
    const image = h("img", { alt, draggable: "false", ...more });
    return [image, (sheet, tile) => {
      const source = sheet && thumbnail(sheet, tile, this.read);
      if (source) image.src = source;
      else image.removeAttribute("src");
    }];
  }

  /** The queries as radio buttons: arrow keys go from one to the next. */
  buildList() {
    const options = this.data.queries.map(({ tile }, i) => {
      const [image, paint] = this.picture("");
      const radio = h("input", { type: "radio", name: `${this.id}query`, "data-key": `query${i}`,
        "aria-label": this.queryName(i), onchange: () => this.change({ query: i }) });
      this.drawings.push(() => {
        radio.checked = this.state.query === i;
        paint(this.data, tile);
      });
      return h("label", { class: "dml-option" }, radio, image);
    });
    return h("div", { class: "dml-list", role: "radiogroup", "aria-label": "queries" }, ...options);
  }

  buildResults() {
    const asked = this.asked(), rows = this.data.networks.map((network) => this.buildRow(network));
    const none = h("p", {});
    this.drawings.push(({ source }) => {
      const alone = source === "nobody" || (source === "empty" && !this.model.get("kernel"));
      none.textContent = alone ? "This page has no kernel: a character drawn here is answered in the notebook, " +
        "where the networks are. Here, choose one of the drawn examples above, or pick a character from the list."
        : source === "empty" ? "Draw a character, or choose an example above."
        : this.state.shown.length === 0 ? "Choose a network above." : "";
      none.hidden = none.textContent === "";
    });
    return h("div", { class: "dml-results" }, asked, h("div", { class: "dml-found" }, ...rows, none));
  }

  /** The query itself, as the networks get it. */
  asked() {
    const [image, paint] = this.picture("");
    const caption = h("figcaption", {}), figure = h("figure", { class: "dml-asked" }, caption, image);
    this.drawings.push(({ sheet, tile }) => {
      image.alt = this.drawing ? "your drawing as the networks get it" : this.queryName(this.state.query);
      caption.textContent = this.drawing ? "your drawing" : `query ${this.state.query + 1}`;
      figure.hidden = !sheet;
      paint(sheet, tile);
    });
    return figure;
  }

  /** One network: its name, what it says, and its neighbours, nearest first. */
  buildRow({ name, label }) {
    const title = h("p", { class: "dml-title", id: `${this.id}${name}` });
    const cells = Array.from({ length: this.columns }, (_, rank) => this.buildNeighbour(rank));
    const row = h("div", { class: "dml-network", "data-network": name, role: "group", "aria-labelledby": title.id },
      title, h("ol", {}, ...cells.map(({ node }) => node)));
    this.drawings.push((result) => {
      const items = this.items(result, name), verdict = this.verdict(items);
      row.hidden = !this.state.shown.includes(name) || ["empty", "nobody"].includes(result.source);
      title.textContent = `${label}${verdict && ": "}${verdict}`;
      const most = items.length ? this.most(items) : null;
      cells.forEach(({ update }, rank) => update(items[rank], result.sheet, most));
    });
    return row;
  }

  buildNeighbour(rank) {
    const [image, paint] = this.picture(""), word = h("span", { class: "dml-word" }), name = h("span", { class: "dml-name" });
    const node = h("li", {}, image, word, name);
    return { node, update: (item, sheet, most) => {
      image.alt = item ? `neighbour ${rank + 1}` : "";
      node.dataset.row = item?.row ?? "";
      node.className = item ? `dml-${judged(item) || (item.label === most ? "most" : "other")}` : "";
      word.textContent = { right: "✓ right", wrong: "✗ wrong" }[item && judged(item)] ?? "";
      name.textContent = item?.name ?? " ";
      paint(item && sheet, item?.tile);
    } };
  }

  // - the pad

  buildPad() {
    const { pen } = this.data, size = Math.min(this.width - 2, 300);
    const ink = s("path", { class: "dml-ink", "stroke-width": pen });
    const cross = s("path", { class: "dml-pen" });
    const pad = this.buildPaper(size, ink, cross);
    this.drawings.push(() => {
      const strokes = this.stroke ? [...this.state.strokes, this.stroke] : this.state.strokes, { x, y, down } = this.pen;
      set(ink, { d: pathOf(strokes) });
      set(cross, { d: `M${x - 4} ${y}h8M${x} ${y - 4}v8`, "data-down": down });
      const count = `${strokes.length} ${strokes.length === 1 ? "stroke" : "strokes"}`;
      set(pad, { "aria-label": `pen ${down ? "down" : "up"} at ${x} from the left, ${y} from the top; ${count}; ` +
        "arrow keys move the pen, space puts it down or lifts it" });
    });
    return h("div", { class: "dml-draw" }, pad, this.buildTools());
  }

  buildTools() {
    const keep = (strokes) => { this.lift(); this.change({ strokes }); };
    const undo = button("Undo", () => keep(this.state.strokes.slice(0, -1)), { "data-key": "undo" });
    const clear = button("Clear", () => keep([]), { "data-key": "clear" });
    const down = button("Pen down", () => this.togglePen(), { "data-key": "pen" });
    const copy = h("input", {
      type: "checkbox", "data-key": "copy", onchange: (event) => this.change({ copying: event.target.checked }),
    });
    const which = h("select", {
      "aria-label": "the character I copy", "data-key": "which",
      onchange: (event) => this.change({ query: Number(event.target.value) }),
    }, ...this.data.queries.map((_, i) => h("option", { value: i }, this.queryName(i))));
    const [model, paint] = this.picture("", { class: "dml-model" });
    this.drawings.push(() => {
      const { strokes, copying, query } = this.state;
      undo.disabled = clear.disabled = strokes.length === 0;
      down.setAttribute("aria-pressed", this.pen.down);
      copy.checked = copying;
      which.value = query;
      which.hidden = model.hidden = !copying;
      model.alt = `the character to copy: ${this.queryName(query)}`;
      paint(this.data, this.query.tile);
    });
    return h("div", { class: "dml-tools" }, h("span", { class: "dml-group" }, undo, clear, down),
      h("label", {}, copy, "I copy a character of the gallery"), which, model,
      h("p", { class: "dml-legend" }, "Draw with mouse or finger. With the pen down, taps are joined by straight lines. " +
        "Keys: arrows move the pen (with Shift by one pixel), Space puts it down or lifts it."));
  }

  get paper() { return { side: this.data.pixels, steps: 1, shortest: 1.5, most: this.data.most_points }; }

  release() {
    const stroke = this.stroke;
    this.stroke = null;
    [this.pen.x, this.pen.y] = stroke.at(-1);
    if (stroke.length === 1 && this.pen.down) return this.extend(stroke[0]);
    this.pen.joined = false;
    this.change({ strokes: [...this.state.strokes, stroke] });
  }

  /** With the pen down: go on with the last stroke, or begin one. */
  extend(point, from) {
    const { strokes } = this.state, begun = from ? [from, point] : [point];
    if (this.room < (this.pen.joined ? 1 : begun.length)) return this.refresh();
    const next = this.pen.joined ? [...strokes.slice(0, -1), [...strokes.at(-1), point]] : [...strokes, begun];
    this.pen.joined = true;
    this.change({ strokes: next });
  }

  lift() { Object.assign(this.pen, { down: false, joined: false }); }

  togglePen() {
    const down = !this.pen.down;
    this.lift();
    this.pen.down = down;
    this.refresh();
  }

  onKey(event) {
    if (event.target !== this.pad || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === " ") {
      event.preventDefault();
      return this.togglePen();
    }
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) return;
    event.preventDefault();
    const before = [this.pen.x, this.pen.y], step = event.shiftKey ? 1 : GRID, last = this.data.pixels - 1;
    const here = before.map((v, i) => clamp(v + step * way[i], 0, last));
    [this.pen.x, this.pen.y] = here;
    if (this.pen.down && !same(here, before)) this.extend(here, before);
    else this.refresh();
  }

  // - numbers and words

  buildTable() {
    const ranks = Array.from({ length: this.columns }, (_, i) => h("th", { scope: "col" }, `neighbour ${i + 1}`));
    const body = h("tbody");
    this.drawings.push((result) => {
      body.replaceChildren(...this.networks.map(({ name, label, recall }) => h("tr", {}, h("th", { scope: "row" }, label),
        h("td", {}, `${text(100 * recall, 1)} %`),
        ...this.items(result, name).map((item) => h("td", { "data-of": name, "data-row": item.row },
          `${item.name}${comma(judged(item))}, d ${text(item.distance)}`)))));
      this.table.dataset.source = result.source;
    });
    const [images, classes] = this.data.gallery;
    const legend = `Recall@1: share of all ${images} images of the gallery (${classes} classes) whose nearest other image is ` +
      "of their class. d: distance of the embeddings; it can be compared within a network, not between two.";
    const head = h("tr", {}, h("th", { scope: "col" }, "network"), h("th", { scope: "col" }, "Recall@1"), ...ranks);
    return [h("p", { class: "dml-legend" }, legend), h("table", {}, h("thead", {}, head), body)];
  }

  /** What the state shows, in words. */
  sentence() {
    const result = this.result();
    const silent = { empty: "Nothing is drawn.", waiting: "Waiting for the kernel.",
      nobody: "Drawn characters are answered in the notebook; this page has no kernel." }[result.source];
    if (silent) return `${silent} ${this.penWords()}`;
    const told = this.networks.map(({ name, label }) => {
      const items = this.items(result, name);
      const nearest = `the nearest is ${items[0].name}${comma(judged(items[0]))}`;
      return `${label[0].toUpperCase()}${label.slice(1)}: ${this.verdict(items)}, ${nearest}.`;
    });
    const subject = this.drawing ? "Your drawing." : `Q${this.queryName(this.state.query).slice(1)}.`;
    return [subject, ...told, this.penWords()].join(" ");
  }

  penWords() { return this.drawing && this.pen.down ? `The pen is down at ${this.pen.x}, ${this.pen.y}.` : ""; }
}

const { render, mountAll } = hosts(RetrievalBrowser);
export { mountAll };
export default { render };
