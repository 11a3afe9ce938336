const PAGE_KEYS = { PageDown: "next", PageUp: "prev" };
const SCALES = [1.4, 1.3, 1.2, 1.15, 1.1, 1.05, 1, 0.95, 0.9, 0.85, 0.8]; // of letters

const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));

/** The largest scale at which all of a table or an explorable has its place on the slide. */
async function fit(place, figure, resize) {
  for (const scale of SCALES) {
    const letters = resize(scale);
    await drawn(); // an explorable draws itself anew for its width
    if (figure.scrollWidth * letters <= place.clientWidth && figure.offsetHeight * letters <= place.clientHeight) break;
  }
}

async function enlarge(place) {
  const table = place.firstElementChild;
  await fit(place, table, (scale) => {
    table.style.fontSize = `${scale}em`;
    return 1;
  });
}

/** An explorable in a frame of its own: there the mouse finds its place, however large the window is. */
async function explorable(place) {
  const frame = document.createElement("iframe"), { innerHTML } = place.querySelector("template");
  frame.title = "explorable";
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><body style="margin:0;background:#fff;color:#16181c">${innerHTML}`;
  const loaded = new Promise((done) => { frame.onload = done; });
  place.replaceChildren(frame);
  await loaded;
  await fit(place, frame.contentDocument.body.firstElementChild, (scale) => {
    Object.assign(frame, { width: place.clientWidth / scale, height: place.clientHeight / scale });
    frame.style.transform = `scale(${scale})`;
    return scale;
  });
  // All keys are the figure's, but for those of a presenter's remote control.
  frame.contentWindow.addEventListener("keydown", (event) => {
    if (event.key in PAGE_KEYS) Reveal[PAGE_KEYS[event.key]]();
  }, true);
}

const places = (kind) => [...document.querySelectorAll(`.${kind} .shown`)];
await Reveal.initialize({
  width: 1280, height: 720, margin: 0, maxScale: 4, center: false, display: "grid", viewDistance: 99,
  transition: "none", backgroundTransition: "none", controls: false, hash: true, slideNumber: "c/t",
});
await Promise.all([...places("table").map(enlarge), ...places("explorable").map(explorable)]);
document.body.dataset.ready = ""; // for tests: nothing changes its size any more
