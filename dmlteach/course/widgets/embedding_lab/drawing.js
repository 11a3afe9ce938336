// What the embedding lab draws: the points on their plane, the curves, a drawing and its neighbors. Each part adds to
// `lab.drawings` the function that brings it up to date.

// One colour per character, beside its shape; mid-tones that stand out on light and on dark.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#3d8fc6", "#7f7f7f", "#a0714a", "#8a63c9", "#c2485b"];
const markOf = (c) => MARKS[(c + Math.floor(c / COLOURS.length)) % MARKS.length];
const colourOf = (c) => COLOURS[c % COLOURS.length];

/** Points of one path per character. */
function cloud(lab, size) {
  const head = 22, count = lab.state.shown === "seen" ? lab.characters.seen : lab.characters.count / lab.characters.drawings - lab.characters.seen;
  const paths = Array.from({ length: count }, (_, c) => s("path", { fill: colourOf(c), class: "dml-points" }));
  const ring = s("circle", { r: 9, class: "dml-focus" }), title = s("text", { x: 0, y: 14, class: "dml-title" });
  const [held, wide] = [14, head + size + 14].map((y) => s("text", { x: size, y, "text-anchor": "end", class: "dml-small" }));
  const svg = s("svg", { width: size, height: size + head + 18, role: "img", "data-cloud": "" },
    s("rect", { x: 0.5, y: head, width: size - 1, height: size - 1, class: "dml-outline" }), title, held, wide, ...paths, ring);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect(), [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const far = lab.placed.map(([u, v]) => Math.hypot(u - x, v - y));
    lab.change({ focus: far.indexOf(Math.min(...far)) });
  });
  lab.drawings.push(() => {
    const { points, share } = lab.before, each = lab.characters.drawings;
    const reach = 1.06 * points.reduce((most, [x, y]) => Math.max(most, Math.abs(x), Math.abs(y)), 1e-9);
    const unit = size / 2 / reach, round = (v) => Math.round(v * 10) / 10;
    lab.placed = points.map(([x, y]) => [round(size / 2 + unit * x), round(head + size / 2 - unit * y)]);
    paths.forEach((path, c) => set(path, { d: lab.placed.slice(c * each, (c + 1) * each).map(([x, y]) => markOf(c)(x, y)).join("") }));
    const [cx, cy] = lab.placed[lab.focus];
    set(ring, { cx, cy });
    title.textContent = `step ${lab.reports[0].step}`;
    held.textContent = `${percent(share)} of the variance`;
    wide.textContent = `principal plane, ${brief(2 * reach)} wide`;
    set(svg, { "aria-label": `${points.length} drawings of ${count} characters on the principal plane of the embedding, ` +
      `which holds ${percent(share)} of their variance; step ${lab.reports[0].step}` });
  });
  return svg;
}

/** A curve over the steps; the second lab's is dashed. */
function chart(lab, width, { title, key, tall, lines = false, steps = false }) {
  const left = 40, top = 20, right = width - 6, share = key !== "loss";
  const heading = s("text", { x: 0, y: 14, class: "dml-title" }), axis = s("g", { class: "dml-ticks" });
  const curves = lab.reports.map((_, i) => s("path", { class: i ? "dml-curve dml-second" : "dml-curve" }));
  const marks = lines ? references(lab).map(({ dash, first }) => ({ path: s("path", { class: "dml-reference", "stroke-dasharray": dash }),
    words: s("text", { x: first ? left + 3 : right - 3, "text-anchor": first ? "start" : "end", class: "dml-small" }) })) : [];
  const svg = s("svg", { width, height: top + tall + (steps ? 18 : 6), role: "img", "data-curve": key },
    s("rect", { x: left, y: top, width: right - left, height: tall, class: "dml-outline" }), heading, axis,
    ...marks.flatMap(({ path, words }) => [path, words]), ...curves);
  lab.drawings.push(() => {
    const last = horizon(lab), values = lab.history.flatMap((reports) => reports.map((report) => report[key])).filter(Number.isFinite);
    const most = share ? 1 : Math.max(...values, 1e-6) * 1.05;
    const x = (step) => left + ((right - left) * step) / last, y = (v) => top + tall * (1 - v / most);
    const small = (u, v, anchor, label) => s("text", { x: u, y: v, "text-anchor": anchor, class: "dml-small" }, label);
    axis.replaceChildren(small(left - 4, top + 10, "end", share ? "100 %" : values.length ? brief(most) : ""), small(left - 4, top + tall, "end", "0"),
      ...(steps ? [0, last / 2, last] : []).map((step) => small(x(step), top + tall + 14, step === last ? "end" : "middle",
        step === last ? `${step} steps` : String(step))));
    marks.forEach(({ path, words }, i) => {
      const { value, label } = references(lab)[i];
      set(path, { d: `M${left} ${y(value)}H${right}` });
      set(words, { y: y(value) - 3 });
      words.textContent = `${label} ${percent(value)}`;
    });
    curves.forEach((curve, i) => {
      const known = lab.history.filter((reports) => Number.isFinite(reports[i][key]));
      set(curve, { d: known.length ? `M${known.map((reports) => `${x(reports[i].step)} ${y(Math.min(reports[i][key], most))}`).join("L")}` : "" });
    });
    const shown = share ? percent : brief, now = lab.reports.map((report) => shown(report[key]));
    heading.textContent = `${title} ${now.join(", dashed ")}`;
    set(svg, { "aria-label": `${title.replace(":", "")} over ${lab.reports[0].step} steps: now ${now.join(", the second lab ")}` });
  });
  return svg;
}

/** What stands in the plot at all times. Labels are where curves seldom are; two that lie close, at two ends. */
function references(lab) {
  const each = lab.characters.drawings, unseen = lab.character.length - lab.numSeen;
  return [{ label: "raw pixels", value: lab.raw.unseen, dash: "7 3", first: true },
    { label: "untrained", value: lab.history[0][0].unseen, dash: "2 3" },
    { label: "chance", value: (each - 1) / (unseen - 1), dash: "1 5", first: true }];
}

/** The last step on the axes. */
const horizon = (lab) => [200, 500, 1000, 2000, LAST].find((steps) => lab.reports[0].step <= steps) ?? LAST;

function thumbnail(lab) {
  const picture = h("span", { class: "dml-thumb", role: "img" }), words = h("span", {});
  const node = h("span", { class: "dml-thumb-box" }, picture, words);
  return { node, set: (i, told, name) => {
    const each = lab.characters.drawings;
    set(picture, { style: `background-image:url(${lab.sheet});background-position:${-36 * Math.floor(i / each)}px ${-36 * (i % each)}px;` +
      `background-size:${36 * lab.character.length / each}px auto`, "aria-label": name });
    words.textContent = told;
  } };
}

/** The drawing looked at and its nearest neighbors. */
function strip(lab) {
  const own = thumbnail(lab), found = Array.from({ length: NEIGHBORS }, () => thumbnail(lab));
  lab.drawings.push(() => {
    const [start] = lab.range, i = start + lab.focus;
    own.set(i, "this", lab.nameOf(i));
    nearest(lab, i).forEach((j, k) => {
      const same = lab.character[j] === lab.character[i];
      found[k].set(j, same ? "✓ same" : "✗ other", `${lab.nameOf(j)}: ${same ? "the same character" : "another character"}`);
    });
  });
  return h("div", { class: "dml-strip", role: "group", "aria-label": "a drawing and its five nearest neighbors" },
    own.node, ...found.map(({ node }) => node));
}

/** The nearest of those shown, ties by index. */
function nearest(lab, i) {
  const [start, end] = lab.range, { width } = lab.state, { z } = lab.reports[0], found = [];
  for (let j = start; j < end; j++) {
    let d2 = 0;
    for (let k = 0; k < width; k++) d2 += (z[i * width + k] - z[j * width + k]) ** 2;
    if (j !== i) found.push([d2, j]);
  }
  return found.sort(([a, i1], [b, i2]) => a - b || i1 - i2).slice(0, NEIGHBORS).map(([, j]) => j);
}
