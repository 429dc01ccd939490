// The list: a listbox that only holds the rows in sight, however many there are.
"use strict";

class List {
  static ROW = 74;
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
    new ResizeObserver(() => this.draw()).observe(element);
  }

  fill(rows, hasScores) {
    this.rows = rows;
    this.hasScores = hasScores;
    this.inner.style.height = `${rows.length * List.ROW}px`;
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
    if (this.rows.length) this.open(Math.max(0, Math.min(this.rows.length - 1, this.active < 0 ? 0 : this.active + by)));
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
    const top = index * List.ROW, { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + List.ROW > scrollTop + clientHeight) this.element.scrollTop = top + List.ROW - clientHeight;
    this.draw();
    this.shown.get(index)?.setAttribute("aria-selected", "true");
    this.element.setAttribute("aria-activedescendant", `row-${index}`);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / List.ROW) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.step(steps[event.key]);
    else if (event.key === "Enter" && this.active >= 0) this.open(this.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { scrollTop, clientHeight } = this.element;
    const first = Math.max(0, Math.floor(scrollTop / List.ROW) - List.SPARE);
    const end = Math.min(this.rows.length, Math.ceil((scrollTop + clientHeight) / List.ROW) + List.SPARE);
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
    const thumbnail = make("img", { class: "thumb", src: video.thumbnail, alt: "", decoding: "async", draggable: "false" });
    thumbnail.addEventListener("error", () => thumbnail.classList.add("absent"));
    const body = members
      ? [
        make("span", { class: "words" }, video.id),
        make("span", { class: "meta" }, `${counted(members.length, "expression")} · ${counted(video.frames, "frame")} · ${video.width}×${video.height}`),
      ]
      : [
        make("span", { class: "words" }, expression.text),
        make("span", { class: "meta" }, expression.type === null ? null : make("span", { class: "type", "data-type": expression.type }, TYPES[expression.type]), ` ${video.id} · ${expression.id}`),
      ];
    return make(
      "div",
      {
        role: "option", id: `row-${index}`, class: "item", "data-index": index, style: { top: `${index * List.ROW}px` },
        "aria-selected": String(index === this.active), "aria-posinset": index + 1, "aria-setsize": this.rows.length,
      },
      thumbnail,
      make("span", { class: "body" }, ...body),
      this.hasScores ? scoreBar(row.score) : null,
    );
  }
}

/** A score as a number over a bar. */
function scoreBar(score) {
  const fill = make("i", score === null ? {} : { style: { width: `${score}%`, background: scoreColor(score) } });
  return make("span", { class: "score" }, make("b", {}, percent(score)), make("span", { class: "bar" }, fill));
}
