// The playground as a page of its own: its state lives in the address, which can be passed on.

const START_STATE = Playground.figure.start;
const numbersOf = (part, size) => {
  const found = part.split(",").map((v) => (v === "" ? NaN : Number(v)));
  if (found.length !== size || !found.every(Number.isFinite)) throw new Error(part);
  return found;
};
const READ = {
  view: (part) => { if (!(part in LIMITS)) throw new Error(part); return part; },
  line: (part) => numbersOf(part, 3).map((v) => clamp(v, -LIMITS.line, LIMITS.line)),
  plane: (part) => {
    const v = numbersOf(part, 6).map((x) => clamp(x, -LIMITS.plane, LIMITS.plane));
    return [v.slice(0, 2), v.slice(2, 4), v.slice(4)];
  },
  margin: (part) => clamp(numbersOf(part, 1)[0], 0, 2),
  follow: (part) => { if (!(part in LOSSES)) throw new Error(part); return part; },
  contrastive: (part) => part === "true",
  numbers: (part) => part === "true",
};

/** A state as "view=line&line=-0.4,0.6,0.4&…", and back; what is left out is as at the start. */
export const toAddress = (state) => Object.keys(READ)
  .filter((key) => JSON.stringify(state[key]) !== JSON.stringify(START_STATE[key]))
  .map((key) => `${key}=${[state[key]].flat(2).join(",")}`).join("&");
export function fromAddress(hash) {
  const state = structuredClone(START_STATE), parts = new URLSearchParams(hash.replace(/^#/, ""));
  for (const [key, part] of parts) {
    if (!(key in READ)) throw new Error(key);
    state[key] = READ[key](part);
  }
  if (!state.contrastive && state.follow === "contrastive") state.contrastive = true;
  return state;
}

/** A model that keeps its state in the address of the page. */
class AddressModel {
  constructor(onUnreadable) {
    this.onUnreadable = onUnreadable;
    this.handlers = new Set();
    this.read();
    addEventListener("hashchange", () => {
      if (location.hash.slice(1) === toAddress(this.state)) return;
      this.read();
      for (const handler of this.handlers) handler();
    });
  }

  read() {
    try {
      this.state = fromAddress(location.hash);
      this.onUnreadable("");
    } catch (error) {
      this.state = structuredClone(START_STATE);
      this.onUnreadable(`The link's "${error.message}" cannot be read; this is the playground's first state.`);
    }
  }

  get(key) { return this.state[key]; }
  set(key, value) { this.state[key] = value; }
  save_changes() { history.replaceState(null, "", `#${toAddress(this.state)}`); }
  on(_, handler) { this.handlers.add(handler); }
  off(_, handler) { this.handlers.delete(handler); }
}

const DRAWN = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size", "font-weight",
  "font-family", "text-anchor"];
/** The drawing as one SVG document: its panels side by side or below each other, every style written out. */
export function picture(stage, title) {
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

export function start(el) {
  const message = h("span", { role: "status" }), note = (line) => { message.textContent = line; };
  const field = h("input", { type: "text", readonly: true, hidden: true, "aria-label": "link to this state" });
  const place = h("div");
  const model = new AddressModel(note);
  el.replaceChildren(place, h("p", { class: "dml-row dml-explorable dml-pass-on" },
    button("Copy link", () => copyLink(field, note)),
    button("Save picture", () => {
      save("triplet-playground.svg", "image/svg+xml", picture(place.querySelector(".dml-stage"), "Triplet playground"));
      note("Picture saved.");
    }), field, message));
  render({ model, el: place });
}
