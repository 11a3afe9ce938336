const PAGE_KEYS = { PageDown: "next", PageUp: "prev" };
const LARGEST = 1.1; // an explorable's letters, beside those of the site

Reveal.initialize({
  width: 1280, height: 720, margin: 0, maxScale: 4, center: false, display: "grid", viewDistance: 99,
  transition: "none", backgroundTransition: "none", controls: false, hash: true, slideNumber: "c/t",
});

/** As large as its place on the slide allows. */
function fit(frame, place) {
  const size = (scale) => {
    Object.assign(frame, { width: place.clientWidth / scale, height: place.clientHeight / scale });
    frame.style.transform = `scale(${scale})`;
  };
  size(LARGEST);
  const needed = frame.contentDocument.body.firstElementChild.offsetHeight;
  if (needed * LARGEST > place.clientHeight) size(place.clientHeight / needed);
}

for (const template of document.querySelectorAll(".explorable template")) {
  const frame = document.createElement("iframe"), place = template.parentElement;
  frame.title = "explorable";
  frame.srcdoc = `<!doctype html><meta charset="utf-8"><body style="margin:0;background:#fff;color:#16181c">${template.innerHTML}`;
  frame.onload = () => {
    fit(frame, place);
    // All keys are the figure's, but for those of a presenter's remote control.
    frame.contentWindow.addEventListener("keydown", (event) => {
      if (event.key in PAGE_KEYS) Reveal[PAGE_KEYS[event.key]]();
    }, true);
  };
  place.replaceChildren(frame);
}
