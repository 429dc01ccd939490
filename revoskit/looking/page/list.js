// The list: a listbox that only holds the rows in sight, however many there are.
"use strict";

class List {
  static SPARE = 6;  // rows kept beyond either edge

  constructor(element, onOpen) {
    this.element = element;
    this.onOpen = onOpen;
    this.rows = [];
    this.shown = new Map();
    this.active = -1;
    this.inner = make("div", { class: "rows", role: "presentation" });
    element.append(this.inner);
    element.addEventListener("scroll", () => this.draw(), { passive: true });
    element.addEventListener("keydown", (event) => this.onKey(event));
    element.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.open(Number(option.dataset.index));
    });
    new ResizeObserver(() => (this.measure() ? this.lay() : this.draw())).observe(element);
  }

  /** Takes the height of a row from the style, where it follows that of the window; returns whether it changed. */
  measure() {
    const before = this.row;
    this.row = Number.parseFloat(getComputedStyle(this.element).getPropertyValue("--row"));
    return this.row !== before;
  }

  /** `scoreCell` makes what stands at the end of a row. */
  fill(rows, scoreCell) {
    this.rows = rows;
    this.scoreCell = scoreCell;
    this.measure();
    this.lay();
  }

  /** Draws all rows in sight anew, from the top. */
  lay() {
    this.inner.style.height = `${this.rows.length * this.row}px`;
    for (const option of this.shown.values()) option.remove();
    this.shown.clear();
    this.element.scrollTop = 0;
    this.draw();
  }

  /** Marks the row of an expression, without opening it. */
  mark(expression) {
    this.activate(this.rows.findIndex((row) => row.members ? row.members.includes(expression) : row.expression === expression));
  }

  /** Opens the row `by` places from the marked one. */
  step(by) {
    if (this.rows.length) this.open(Math.max(0, Math.min(this.rows.length - 1, this.active + by)));
  }

  open(index) {
    this.activate(index);
    this.onOpen(this.rows[index]);
  }

  activate(index) {
    this.shown.get(this.active)?.setAttribute("aria-selected", "false");
    this.active = index;
    if (index < 0) {
      this.element.removeAttribute("aria-activedescendant");
      return;
    }
    const top = index * this.row, { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + this.row > scrollTop + clientHeight) this.element.scrollTop = top + this.row - clientHeight;
    this.draw();
    this.shown.get(index)?.setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-activedescendant", `row-${index}`);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.row) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === "Enter" && this.active >= 0) this.open(this.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / this.row) - List.SPARE);
    const end = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / this.row) + List.SPARE);
    for (const [index, option] of this.shown) {
      if (index < first || index >= end) {
        option.remove();
        this.shown.delete(index);
      }
    }
    for (let index = first; index < end; index++) {
      if (this.shown.has(index)) continue;
      const option = this.option(this.rows[index], index);
      this.shown.set(index, option);
      this.inner.append(option);
    }
  }

  option(row, index) {
    const { video, expression, members } = row;
    const body = members
      ? [
        make("span", { class: "words" }, video.id),
        make("span", { class: "meta" }, `${predictedOf(row)} · ${counted(video.frames, "frame")} · ${video.width}×${video.height}`),
      ]
      : [
        make("span", { class: "words", title: expression.text }, expression.text),
        make("span", { class: "meta where-from" },
          expression.type === null ? null : make("span", { class: "type", "data-type": expression.type, title: TYPES[expression.type] }, make("span", { class: "sr" }, TYPES[expression.type])),
          make("span", { class: "video", title: video.id }, make("bdi", {}, video.id)), make("span", {}, `· ${expression.id}`)),
      ];
    return make(
      "div",
      {
        role: "option", id: `row-${index}`, class: "item", "data-index": index, style: { top: `${index * this.row}px` },
        "aria-selected": String(index === this.active), "aria-posinset": index + 1, "aria-setsize": this.rows.length,
      },
      thumbnail(video, expression),
      make("span", { class: "body" }, ...body),
      this.scoreCell(row),
    );
  }
}

/** A frame of an expression: of one method with its errors, of two with both; without any, with the object. */
function thumbnail(video, { thumbnail: { frame, height, width, truth, predictions } }) {
  const image = make("img", { src: Files.address("data/pictures", video.id, `${frame}.jpg`), alt: "", decoding: "async", draggable: "false" });
  const canvas = make("canvas", { width, height });
  const painting = new Masks.Painting(width, height);
  const { IN_TRUTH, IN_PREDICTION, ERRORS } = Compared;
  painting.begin("tint", 0.7, 0);
  if (predictions.length > 1) predictions.forEach((counts, method) => painting.add([[counts, IN_PREDICTION]], [[IN_PREDICTION, Colors.METHODS[method]]]));
  else if (predictions.length) painting.add([[truth, IN_TRUTH], [predictions[0], IN_PREDICTION]], ERRORS);
  else painting.add([[truth, IN_TRUTH]], [[IN_TRUTH, Colors.TRUTH]]);
  painting.end();
  canvas.getContext("2d").putImageData(painting.image, 0, 0);
  const thumb = make("span", { class: "thumb" }, canvas);
  image.addEventListener("load", () => thumb.prepend(image));
  return thumb;
}

/** What stands in place of a score where there is no usable prediction, and why in a word. */
function noScore(problem) {
  return make("span", { class: "score none", title: `No usable prediction (${problem}): scores 0` }, problem);
}

/** How many expressions a video has, and for how many of them there is a prediction. */
function predictedOf({ members, without }) {
  return without ? `${members.length - without} of ${counted(members.length, "expression")} predicted` : counted(members.length, "expression");
}

/** A score as a number over a bar. */
function scoreBar(score) {
  const fill = make("i", score === null ? {} : { style: { width: `${score}%`, background: scoreColor(score) } });
  return make("span", { class: "score" }, make("b", {}, percent(score)), make("span", { class: "bar" }, fill));
}

/** How much more the second method has than the first, which of them that speaks for, and where they are: `both`. */
function differenceCell(difference, both) {
  const leading = difference === null ? "level" : Data.ahead(difference);
  return make("span", { class: "score pair" },
    make("span", { class: "lead" }, leading === "level" ? null : methodBadge(leading), make("b", {}, signed(difference))),
    both ? make("span", { class: "both" }, both.map(percent).join(" → ")) : null);
}

function methodBadge(method) {
  return make("span", { class: "badge", style: { "--color": `var(--method-${method})` } }, Compared.LETTERS[method]);
}
