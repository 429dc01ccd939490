// The plot under the slider: one line per series over the frames, in step with the slider's thumb.
"use strict";

class Plot {
  static HEIGHT = 96;
  static UNDER = 18;  // pixels for the names of the first and the last frame
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

  /**
   * Draws `series`, each { color, values, dashed } with a value from 0 to `top` a frame; hides where there are none.
   * `names` are the frames'; `empty` and `absent` the numbers of those without any truth and those not on disk.
   */
  show(series, { names, empty, absent }, top, label) {
    Object.assign(this, { series, names, empty, absent, count: names.length, top: top || 1, label });
    this.element.hidden = series.length === 0;
    this.draw();
  }

  x(frame) {
    const room = this.width - 2 * Plot.INSET;
    return Plot.INSET + (this.count > 1 ? (frame / (this.count - 1)) * room : room / 2);
  }

  y(value) {
    return 6 + (1 - value / this.top) * (Plot.HEIGHT - 12);
  }

  draw() {
    const width = (this.width = this.element.clientWidth);
    if (!width || !this.count) {
      this.element.replaceChildren();
      this.line = null;
      return;
    }
    const svg = shape("svg", { width, height: Plot.HEIGHT + Plot.UNDER, role: "img", "aria-label": this.label });
    const half = this.count > 1 ? (this.x(1) - this.x(0)) / 2 : Plot.INSET;
    for (const [from, to] of stretches(this.empty)) {
      const x = this.x(from) - half;
      svg.append(shape("rect", { class: "empty", x, y: 0, width: this.x(to) + half - x, height: Plot.HEIGHT }));
    }
    for (const frame of this.absent) {
      svg.append(shape("rect", { class: "absent", x: this.x(frame) - half, y: Plot.HEIGHT - 4, width: 2 * half, height: 4 }));
    }
    for (const share of [0, 0.5, 1]) {
      const y = this.y(share * this.top);
      svg.append(shape("line", { class: "rule", x1: 0, x2: width, y1: y, y2: y }));
      svg.append(written(`${Number((share * this.top).toPrecision(2))}${share === 1 ? " %" : ""}`, { class: "mark end", x: -6, y: y + 4 }));
    }
    const under = Plot.HEIGHT + 13;
    svg.append(written(this.names[0], { class: "mark", x: 0, y: under }));
    if (this.count > 1) svg.append(written(this.names.at(-1), { class: "mark end", x: width, y: under }));
    for (const { values, color, dashed } of this.series) {
      const points = values.map((value, frame) => `${this.x(frame).toFixed(1)},${this.y(value).toFixed(1)}`);
      if (points.length === 1) svg.append(shape("circle", { cx: this.x(0), cy: this.y(values[0]), r: 3, style: `fill:${color}` }));
      svg.append(shape("polyline", { points: points.join(" "), style: `stroke:${color}`, ...(dashed ? { "stroke-dasharray": "5 3" } : {}) }));
    }
    this.line = shape("line", { y1: 0, y2: Plot.HEIGHT });
    this.points = this.series.map(({ color }) => shape("circle", { r: 4, style: `fill:${color}` }));
    const cursor = shape("g", { class: "cursor" });
    cursor.append(this.line, ...this.points);
    svg.append(cursor);
    this.element.replaceChildren(svg);
    this.seek(this.frame);
  }

  seek(frame) {
    this.frame = frame;
    if (!this.line || frame >= this.count) return;
    const x = this.x(frame);
    for (const name of ["x1", "x2"]) this.line.setAttribute(name, x);
    this.points.forEach((point, i) => {
      point.setAttribute("cx", x);
      point.setAttribute("cy", this.y(this.series[i].values[frame]));
    });
  }
}

/** Ascending numbers as stretches of neighbours, each its first and its last. */
function stretches(numbers) {
  const found = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found;
}

function written(text, attributes) {
  const element = shape("text", attributes);
  element.textContent = text;
  return element;
}

function shape(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}
