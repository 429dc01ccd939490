// The plot under the slider: one line per series over the frames, in step with the slider's thumb.
"use strict";

class Plot {
  static HEIGHT = 96;
  static INSET = 8;  // half the slider's thumb, so that a frame stands under the thumb

  constructor(element, onSeek) {
    this.element = element;
    this.series = [];
    this.count = 0;
    this.frame = 0;
    new ResizeObserver(() => this.draw()).observe(element);
    const seek = (event) => {
      if (!this.count || (event.type === "pointermove" && !(event.buttons & 1))) return;
      const { left, width } = element.getBoundingClientRect();
      const share = (event.clientX - left - Plot.INSET) / Math.max(1, width - 2 * Plot.INSET);
      onSeek(Math.max(0, Math.min(this.count - 1, Math.round(share * (this.count - 1)))));
    };
    element.addEventListener("pointerdown", seek);
    element.addEventListener("pointermove", seek);
  }

  /** Draws `series`, each { color, values } with a value from 0 to `top` a frame; hides where there are none. */
  show(series, count, top, label) {
    Object.assign(this, { series, count, top: top || 1, label });
    this.element.hidden = series.length === 0;
    this.draw();
  }

  x(frame) {
    const room = this.element.clientWidth - 2 * Plot.INSET;
    return Plot.INSET + (this.count > 1 ? (frame / (this.count - 1)) * room : room / 2);
  }

  y(value) {
    return 6 + (1 - value / this.top) * (Plot.HEIGHT - 12);
  }

  draw() {
    const width = this.element.clientWidth;
    if (!width || !this.count) {
      this.element.replaceChildren();
      return;
    }
    const svg = shape("svg", { width, height: Plot.HEIGHT, role: "img", "aria-label": this.label });
    for (const share of [0, 0.5, 1]) {
      const y = this.y(share * this.top);
      svg.append(shape("line", { class: "rule", x1: 0, x2: width, y1: y, y2: y }));
      const mark = shape("text", { class: "mark", x: width - 2, y: share ? y + 12 : y - 4 });
      mark.textContent = Number((share * this.top).toPrecision(2));
      svg.append(mark);
    }
    for (const { values, color } of this.series) {
      const points = values.map((value, frame) => `${this.x(frame).toFixed(1)},${this.y(value).toFixed(1)}`);
      if (points.length === 1) svg.append(shape("circle", { cx: this.x(0), cy: this.y(values[0]), r: 3, style: `fill:${color}` }));
      svg.append(shape("polyline", { points: points.join(" "), style: `stroke:${color}` }));
    }
    this.cursor = shape("g", { class: "cursor" });
    svg.append(this.cursor);
    this.element.replaceChildren(svg);
    this.seek(this.frame);
  }

  seek(frame) {
    this.frame = frame;
    if (!this.cursor || frame >= this.count) return;
    const x = this.x(frame);
    this.cursor.replaceChildren(
      shape("line", { x1: x, x2: x, y1: 0, y2: Plot.HEIGHT }),
      ...this.series.map(({ values, color }) => shape("circle", { cx: x, cy: this.y(values[frame]), r: 4, style: `fill:${color}` })),
    );
  }
}

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
