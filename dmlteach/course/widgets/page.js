// A figure as a page of its own: its state lives in the address, which can be passed on.

/** So many numbers with commas between them, or an error that names what was written. */
const numbersOf = (part, size) => {
  const found = part.split(",").map((v) => (v === "" ? NaN : Number(v)));
  if (found.length !== size || !found.every(Number.isFinite)) throw new Error(part);
  return found;
};
const oneOf = (options) => (part) => { if (!(part in options)) throw new Error(part); return part; };
const truth = (part) => part === "true";

/** A state as "view=line&line=-0.4,0.6,0.4&…", and back; what is left out is as at the start.
 *  `read` has, of each key, the function that reads what was written. */
const toAddress = (state, start, read) => Object.keys(read)
  .filter((key) => JSON.stringify(state[key]) !== JSON.stringify(start[key]))
  .map((key) => `${key}=${[state[key]].flat(2).join(",")}`).join("&");
function fromAddress(hash, start, read) {
  const state = structuredClone(start), parts = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [key, part] of parts) {
    if (!(key in read)) throw new Error(key);
    state[key] = read[key](part);
  }
  return state;
}

/** A model that keeps its state in the address of the page. */
class AddressModel {
  constructor({ start, read, mend = (state) => state, given = {}, title }, onUnreadable) {
    Object.assign(this, { start, readers: read, mend, given, title, onUnreadable });
    this.handlers = new Set();
    this.read();
    addEventListener("hashchange", () => {
      if (location.hash.slice(1) === this.address) return;
      this.read();
      for (const handler of this.handlers) handler();
    });
  }

  get address() { return toAddress(this.state, this.start, this.readers); }

  read() {
    try {
      this.state = this.mend(fromAddress(location.hash, this.start, this.readers));
      this.onUnreadable("");
    } catch (error) {
      this.state = structuredClone(this.start);
      this.onUnreadable(`The link's "${error.message}" cannot be read; this is the ${this.title}'s first state.`);
    }
  }

  get(key) { return key in this.given ? this.given[key] : this.state[key]; }
  set(key, value) { this.state[key] = value; }
  save_changes() { history.replaceState(null, "", `#${this.address}`); }
  on(_, handler) { this.handlers.add(handler); }
  off(_, handler) { this.handlers.delete(handler); }
}

const DRAWN = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size", "font-weight",
  "font-family", "text-anchor"];
/** The drawing as one SVG document: its panels side by side or below each other, every style written out. */
function picture(stage, title) {
  const frame = stage.getBoundingClientRect(), space = 26;
  const panels = [...stage.querySelectorAll("svg")].map((svg) => {
    const copy = svg.cloneNode(true), box = svg.getBoundingClientRect();
    const originals = svg.querySelectorAll("*"), copies = copy.querySelectorAll("*");
    originals.forEach((node, i) => {
      const style = getComputedStyle(node);
      for (const name of DRAWN) copies[i].setAttribute(name, style.getPropertyValue(name));
      for (const name of ["class", "tabindex", "role"]) copies[i].removeAttribute(name);
    });
    set(copy, { x: box.left - frame.left, y: box.top - frame.top + space });
    return copy;
  });
  const { color, fontFamily } = getComputedStyle(stage), dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return new XMLSerializer().serializeToString(s("svg", { width: frame.width, height: frame.height + space },
    s("title", {}, title), s("rect", { width: "100%", height: "100%", fill: dark ? "#16181c" : "#ffffff" }),
    s("text", { x: 4, y: 17, fill: color, "font-family": fontFamily, "font-size": 14, "font-weight": 600 }, title), ...panels));
}

function save(name, kind, content) {
  const link = h("a", { download: name, href: URL.createObjectURL(new Blob([content], { type: kind })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Copy the address, or where the browser forbids that, show it chosen and ready to copy. */
async function copyLink(field, note) {
  field.value = location.href;
  try {
    await navigator.clipboard.writeText(location.href);
    note("Link copied.");
  } catch {
    field.hidden = false;
    field.select();
    note("Copy the chosen link with Ctrl+C (⌘C).");
  }
}

/** Show a figure as a page: `page` has its start, `read` (see above), `mend`, what else is `given`, its title and file name. */
export function openPage(el, page) {
  const message = h("span", { role: "status" }), note = (line) => { message.textContent = line; };
  const field = h("input", { type: "text", readonly: true, hidden: true, "aria-label": "link to this state" });
  const place = h("div");
  const model = new AddressModel(page, note);
  el.replaceChildren(place, h("p", { class: "dml-row dml-explorable dml-pass-on" },
    button("Copy link", () => copyLink(field, note)),
    button("Save picture", () => {
      save(`${page.file}.svg`, "image/svg+xml", picture(place.querySelector(".dml-stage"), page.heading));
      note("Picture saved.");
    }), field, message));
  render({ model, el: place });
}
