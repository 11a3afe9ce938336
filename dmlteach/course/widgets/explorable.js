// What every explorable figure shares: its frame, changes drawn and sent at most once a frame, the sentence, and
// two hosts: a notebook, a page without a kernel (`standIn`).

export const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
/** A number as text, with a true minus sign and no "−0.00". */
export const text = (v, digits = 2) => {
  const shown = Math.abs(v).toFixed(digits);
  return (v < 0 && Number(shown) !== 0 ? "−" : "") + shown;
};

const FOCUSABLE = new Set(["button", "input", "select", "summary"]);
function element(space, tag, attributes, children) {
  const node = document.createElementNS(space, tag);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(key, value === true ? "" : value);
  }
  // Jupyter looks for this mark on the focused element first and only then on those around it.
  if (attributes?.tabindex != null || FOCUSABLE.has(tag)) node.setAttribute("data-lm-suppress-shortcuts", "true");
  node.append(...children);
  return node;
}
/** Elements of HTML and of SVG: h("p", { class: "dml-legend", onclick }, child, …). */
export const h = (tag, attributes, ...children) => element("http://www.w3.org/1999/xhtml", tag, attributes, children);
export const s = (tag, attributes, ...children) => element("http://www.w3.org/2000/svg", tag, attributes, children);
export const set = (node, attributes) => Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
export const button = (label, onclick, more) => h("button", { type: "button", onclick, ...more }, label);

let counter = 0;

/** A figure. A subclass says, as `static figure`, its name, label, start (the state it shares with the model),
 *  watched (further keys of the model) and takeaway; and it has the methods
 *  question() → text; toolbar() and controls() → nodes above and below the drawing, made once;
 *  reading() → nodes of "How to read it", made once;
 *  shape() → text: when it changes, the drawing is built anew; build() → its nodes, for `this.width`;
 *  buildTable() → nodes of "Show numbers"; sentence() → what the state shows, in words;
 *  refreshControls(); advance(calm) → false once Play has nothing more to show; onKey(event).
 *  `this.drawings`, filled by build(), are functions called with what given() returns whenever the state changes. */
export class Explorable {
  constructor(model, el) {
    const { start, watched = [] } = this.constructor.figure;
    this.model = model;
    this.id = `dml${counter++}`;
    this.state = Object.fromEntries(Object.keys(start).map((key) => [key, model.get(key) ?? start[key]]));
    this.first = structuredClone(this.state);
    this.begin?.();
    this.root = this.frame();
    el.append(this.root);
    this.keys = [...Object.keys(start), ...watched];
    this.onModel = () => this.fromModel();
    for (const key of this.keys) model.on(`change:${key}`, this.onModel);
    this.watcher = new ResizeObserver(() => {
      if (Math.abs(this.stage.clientWidth - (this.width ?? 0)) > 1) this.refresh();
    });
    this.watcher.observe(this.stage);
    this.refresh();
  }

  remove() {
    this.stop();
    this.watcher.disconnect();
    cancelAnimationFrame(this.pending);
    clearTimeout(this.resting);
    for (const key of this.keys) this.model.off(`change:${key}`, this.onModel);
  }

  // - changes: at most one drawing and one message a frame, with the newest state

  change(part) {
    Object.assign(this.state, part);
    this.changed = { ...this.changed, ...part };
    this.pending ??= requestAnimationFrame(() => this.flush());
  }

  flush() {
    this.pending = null;
    for (const [key, value] of Object.entries(this.changed ?? {})) this.model.set(key, value);
    if (this.changed) this.model.save_changes();
    this.changed = null;
    this.refresh();
  }

  fromModel() {
    for (const key of Object.keys(this.state)) if (!(key in (this.changed ?? {}))) this.state[key] = this.model.get(key);
    this.pending ??= requestAnimationFrame(() => this.flush());
  }

  reset() {
    this.stop();
    this.change(structuredClone(this.first));
  }

  // - Play: small steps, or whole ones slowly where the reader wants less motion

  play() {
    if (this.timer) return this.stop();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const { pace = 45, seconds = 12 } = this.constructor.figure, until = performance.now() + 1000 * seconds;
    this.timer = setInterval(() => {
      if (!this.root.isConnected || performance.now() > until || !this.advance(calm)) this.stop();
    }, calm ? 900 : pace);
    this.refresh();
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.playButton) this.playButton.textContent = "Play";
  }

  // - the frame: controls around the drawing, made once

  frame() {
    const { name, label, takeaway } = this.constructor.figure;
    this.questionLine = h("p", { class: "dml-question" });
    this.stage = h("div", { class: "dml-stage" });
    this.status = h("p", { class: "dml-status", "aria-hidden": "true" }); // seen at once
    this.spoken = h("p", { class: "dml-spoken", role: "status" }); // read aloud after a rest
    this.table = h("div", { class: "dml-table", tabindex: 0, role: "region", "aria-label": "numbers" }); // it may scroll
    this.details = h("details", { ontoggle: () => {
      if (this.details.open !== this.state.numbers) this.change({ numbers: this.details.open });
    } }, h("summary", {}, "Show numbers"), this.table);
    return h("div", {
      class: `dml-explorable dml-${name}`, role: "group", "aria-label": label, tabindex: "-1",
      onkeydown: (event) => this.key(event),
      onkeyup: (event) => event.stopPropagation(), onkeypress: (event) => event.stopPropagation(),
    },
    h("div", { class: "dml-row" }, ...this.toolbar()), this.questionLine, this.stage,
    h("div", { class: "dml-row dml-controls" }, ...this.controls()), this.status, this.spoken,
    ...(this.reading ? [h("details", {}, h("summary", {}, "How to read it"), ...this.reading())] : []), this.details,
    h("details", {}, h("summary", {}, "Takeaway"), h("p", {}, takeaway)));
  }

  key(event) {
    event.stopPropagation(); // JupyterLab must not take these keys for its own
    if (event.key === "Escape") this.root.focus();
    this.onKey?.(event);
  }

  // - drawing: `build` makes the elements for a shape and a width, `refresh` sets what changes

  refresh() {
    this.width = Math.max(this.stage.clientWidth, 280);
    const shape = [this.width, this.shape()].join();
    if (shape !== this.drawnShape) {
      const focused = this.root.contains(document.activeElement) && document.activeElement.dataset?.key;
      this.drawnShape = shape;
      this.drawings = [];
      this.stage.replaceChildren(...this.build());
      this.table.replaceChildren(...this.buildTable());
      if (focused) this.stage.querySelector(`[data-key="${focused}"]`)?.focus();
    }
    const given = this.given?.() ?? [];
    for (const draw of this.drawings) draw(...given);
    this.questionLine.textContent = this.question();
    this.details.open = this.state.numbers;
    if (this.playButton) this.playButton.textContent = this.timer ? "Pause" : "Play";
    this.refreshControls();
    const told = this.sentence(), say = (line) => { if (line.textContent !== told) line.textContent = told; };
    say(this.status);
    clearTimeout(this.resting);
    this.resting = setTimeout(say, 500, this.spoken);
  }
}

/** The model of a page without kernel: keeps the state, answers nothing. */
const standIn = (state) => ({
  get: (key) => state[key], set: (key, value) => { state[key] = value; }, save_changes() {}, on() {}, off() {},
});

/** What hosts call: `render` a notebook, `mountAll` a page, whose pictures hold the state. */
export function hosts(Figure) {
  const render = ({ model, el }) => {
    const figure = new Figure(model, el);
    return () => figure.remove();
  };
  const mountAll = () => {
    for (const place of document.querySelectorAll(`[data-dmlteach="${Figure.figure.name}"]:not([data-alive])`)) {
      place.setAttribute("data-alive", "");
      const el = document.createElement("div");
      render({ model: standIn(JSON.parse(place.dataset.state)), el });
      place.replaceChildren(el);
    }
  };
  return { render, mountAll };
}
