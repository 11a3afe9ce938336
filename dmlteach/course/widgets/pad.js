// A pad to draw on with mouse, finger or pen. A figure says what its `paper` is: pixels a side, steps a pixel, the
// shortest way that is noted, and how many points a drawing may have; and, as `release`, what becomes of a stroke.
const pathOf = (strokes) => strokes.map((stroke) => `M${stroke.map((z) => z.join(" ")).join("L")}${stroke.length > 1 ? "" : "h0"}`).join("");

class Pad extends Explorable {
  buildPaper(size, ...children) {
    const { side } = this.paper;
    this.pad = s("svg", {
      width: size, height: size, viewBox: `-0.5 -0.5 ${side} ${side}`, class: "dml-pad", "data-key": "pad", tabindex: 0,
      role: "application", "aria-roledescription": "drawing pad",
      onpointerdown: (event) => this.press(event), onpointermove: (event) => this.move(event),
      onpointerup: (event) => this.stroke && event.isPrimary && this.release(),
      onpointercancel: () => { this.stroke = null; this.refresh(); },
    }, ...children);
    return this.pad;
  }

  position(event) {
    const box = this.pad.getBoundingClientRect(), { side, steps } = this.paper;
    return [event.clientX - box.left, event.clientY - box.top].map((v) =>
      Math.round(steps * clamp((v / box.width) * side - 0.5, 0, side - 1)) / steps);
  }

  /** How many more points the drawing may have. */
  get room() { return this.paper.most - this.state.strokes.flat().length - (this.stroke?.length ?? 0); }

  press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    event.preventDefault();
    if (this.room < 1) return;
    this.pad.focus({ preventScroll: true });
    this.pad.setPointerCapture(event.pointerId);
    this.stroke = [this.position(event)];
    this.refresh();
  }

  move(event) {
    if (!this.stroke || !event.isPrimary || this.room < 1) return;
    const [x, y] = this.position(event), [lastX, lastY] = this.stroke.at(-1);
    if (Math.hypot(x - lastX, y - lastY) < this.paper.shortest) return;
    this.stroke.push([x, y]);
    this.pending ??= requestAnimationFrame(() => this.flush());
  }
}
