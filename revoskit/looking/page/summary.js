// The summary: how the scores are distributed, and what they are by type, by source and by what kind of target it is.
"use strict";

const ATTRIBUTES = {
  source: "source", size: "size of the object", objects: "objects meant", presence: "presence", motion: "motion",
  length: "length of the video", tracks: "tracks in the video", alignment: "alignment",
};

class Summary {
  static BINS = 20;

  constructor(element, { onRange, onType, onSource, onUnpredicted }) {
    Object.assign(this, { element, onRange, onType, onSource, onUnpredicted });
    this.attribute = -1;  // the first but for sources, which have a table of their own
  }

  /** `scoring` is what is scored, as the list has it: { of, measure }. */
  show(index, scoring) {
    Object.assign(this, { index, scoring });
    const { rows, videos } = index;
    const frames = videos.reduce((sum, video) => sum + video.frames, 0);
    const scored = index.measures.length > 0;
    const parts = [
      make("h2", {}, "Summary"),
      make("dl", { class: "figures" },
        figure("videos", whole(videos.length)),
        figure("expressions", whole(rows.length)),
        figure("frames", whole(frames)),
        ...index.unpredicted.map((count, method) => (count ? figure(index.paired ? `predicted by ${Compared.LETTERS[method]}` : "predicted", `${whole(rows.length - count)} of ${whole(rows.length)}`) : null)),
        ...(scored && !index.paired ? overall(index, 0, scoring.measure).map(([name, value]) => figure(`${name} ${index.names[scoring.measure]}`, percent(value))) : [])),
      ...index.unpredicted.map((count, method) => (count ? this.unpredicted(method, count) : null)),
      index.paired && scored ? this.versus() : null,
    ];
    if (scored) parts.push(this.distribution());
    else if (!index.hidden) parts.push(this.counts("Objects that an expression means", (row) => row.objects));
    if (scored && index.attributes.some(({ values }) => values.length > 1)) parts.push(this.slices());
    if (!scored) parts.push(this.frameCounts(videos));
    if (index.typed) parts.push(this.table("By type", (row) => row.type, [0, 1, 2], (type) => TYPES[type], this.onType));
    if (index.sources.length) parts.push(this.table("By source", (row) => row.video.source, index.sources, (source) => source, this.onSource));
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  /** What those that have no usable prediction do to the means, which count them as 0. */
  unpredicted(method, count) {
    const { index, scoring: { measure } } = this;
    const there = Data.mean(index.rows.filter((row) => !row.problems[method]).map((row) => row.scores[method]?.[measure]));
    const [has, counts] = count === 1 ? ["has", "counts"] : ["have", "count"];
    const words = `${counted(count, "expression")} ${has} no usable prediction${index.paired ? ` by ${index.methods[method]}` : ""} and ${counts} as 0 in every mean, as the protocol has it. `
      + `The mean ${index.names[measure] ?? ""} of those that are there: ${percent(there)}. `;
    return make("p", { class: "notice" }, words, make("button", { type: "button", class: "link", onclick: () => this.onUnpredicted(method) }, "Show them"));
  }

  /** The means of two methods beside each other, and for how many expressions each is ahead. */
  versus() {
    const { index, scoring: { measure } } = this;
    const [a, b] = [0, 1].map((method) => overall(index, method, measure));
    const lines = a.map(([name, value], i) => make("tr", {}, make("th", { scope: "row" }, name), ...pairCells(value, b[i][1])));
    const found = Data.tally(index.rows, (row) => {
      const difference = Data.scoreOf(row, { of: "difference", measure });
      return difference === null ? "none" : Data.ahead(difference);
    });
    const counts = { 0: 0, 1: 0, level: 0, none: 0, ...Object.fromEntries(found) };
    const said = [`${index.methods[1]} is ahead for ${counted(counts[1], "expression")}, ${index.methods[0]} for ${whole(counts[0])}, ${counted(counts.level, "tie")}`,
      counts.none ? `${counted(counts.none, "expression")} without a usable prediction by one of them` : null].filter(Boolean).join("; ");
    return make("section", {}, make("h3", {}, `${index.names[measure]} of both methods`),
      scrolling("Both methods", make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ""), ...pairHeads(index))), make("tbody", {}, ...lines)),
      make("p", { class: "said" }, `${said}. Whether that is more than chance says `, make("code", {}, "revoskit compare"), "."));
  }

  /** What is scored, in words, and the values that it may have. */
  get scale() {
    const { index, scoring: { of, measure } } = this;
    if (of === "difference") return { low: -100, title: `${index.names[measure]}, B − A`, labels: ["−100", "−50", "0", "50", "100"] };
    return { low: 0, title: index.paired ? `${index.names[measure]} of ${Compared.LETTERS[of]}` : index.names[measure], labels: ["0", "25", "50", "75", "100"] };
  }

  /** Bars of a group of rows, each made of the three types; one filters the list by its range, and by `slice` if given. */
  bars(rows, slice = null) {
    const { low } = this.scale, step = (100 - low) / Summary.BINS;
    const bins = Array.from({ length: Summary.BINS }, () => [0, 0, 0]);
    for (const row of rows) {
      const score = Data.scoreOf(row, this.scoring);
      if (score !== null) bins[Math.min(Summary.BINS - 1, Math.max(0, Math.floor((score - low) / step)))][row.type ?? 0]++;
    }
    return bins.map((counts, i) => {
      const [from, to] = [low + i * step, low + (i + 1) * step];
      return { counts, label: `${from} to ${to}`, onClick: () => this.onRange(from, to, slice) };
    });
  }

  distribution() {
    const { title, labels } = this.scale;
    return make("section", {},
      make("h3", {}, `How ${title} is distributed`),
      histogram(this.bars(this.index.rows), labels, `${title} in ${this.scoring.of === "difference" ? "percentage points" : "percent"}`),
      this.index.typed ? typeLegend() : null);
  }

  /** The same for each value of an attribute, beside that of all. */
  slices() {
    const { index } = this;
    const { title, labels } = this.scale;
    if (!(index.attributes[this.attribute]?.values.length > 1)) this.attribute = index.attributes.findIndex(({ name, values }) => values.length > 1 && name !== "source");
    if (this.attribute < 0) this.attribute = index.attributes.findIndex(({ values }) => values.length > 1);
    const select = make("select", { "aria-label": "Divide by" }, ...index.attributes.flatMap(({ name, values }, i) =>
      (values.length > 1 ? [make("option", { value: i, selected: i === this.attribute }, ATTRIBUTES[name] ?? name)] : [])));
    select.addEventListener("change", () => {
      this.attribute = Number(select.value);
      const before = this.element.querySelector(".slices");
      before.replaceWith(this.slices());
      this.element.querySelector(".slices select").focus();
    });
    const { values } = index.attributes[this.attribute];
    const members = Data.groups(index.rows, (row) => row.slices[this.attribute]);
    const tile = (name, rows, slice) => {
      const mean = Data.mean(rows.map((row) => this.counting(row)));
      return make("div", { class: slice ? "tile" : "tile all" },
        make("h4", {}, make("bdi", {}, name), make("span", { class: "faint" }, ` ${whole(rows.length)} · mean ${this.scoring.of === "difference" ? signed(mean) : percent(mean)}`)),
        histogram(this.bars(rows, slice), [labels[0], labels[2], labels[4]], null));
    };
    return make("section", { class: "slices" },
      make("div", { class: "heading" }, make("h3", {}, `${title} by`), select),
      make("div", { class: "tiles" }, tile("all", index.rows, null),
        ...values.map((name, value) => tile(name, members.get(value) ?? [], { attribute: this.attribute, value }))));
  }

  /** What a row counts in a mean: what is missing counts 0 there. */
  counting(row) {
    const { of, measure } = this.scoring;
    if (of !== "difference") return row.scores[of]?.[measure] ?? null;
    const a = row.scores[0]?.[measure] ?? null, b = row.scores[1]?.[measure] ?? null;
    return a === null || b === null ? null : b - a;
  }

  counts(title, of) {
    const { rows, typed } = this.index;
    const most = Math.min(12, rows.reduce((most, row) => Math.max(most, of(row)), 0));
    const bins = Array.from({ length: most + 1 }, () => [0, 0, 0]);
    for (const row of rows) bins[Math.min(most, of(row))][row.type ?? 0]++;
    const labels = bins.map((_, i) => (i === 12 ? "12+" : String(i)));
    return make("section", {}, make("h3", {}, title), histogram(bins.map((counts, i) => ({ counts, label: labels[i] })), labels, "objects", true), typed ? typeLegend() : null);
  }

  frameCounts(videos) {
    const most = videos.reduce((most, video) => Math.max(most, video.frames), 0);
    const step = [1, 2, 5, 10, 20, 50, 100, 200, 500].find((step) => most / step <= 20) ?? Math.ceil(most / 20);
    const bins = Array.from({ length: Math.floor(most / step) + 1 }, () => [0]);
    for (const video of videos) bins[Math.floor(video.frames / step)][0]++;
    const bars = bins.map((counts, i) => ({ counts, label: step === 1 ? `${i} frames` : `${i * step} to ${(i + 1) * step - 1} frames` }));
    return make("section", {}, make("h3", {}, "Frames of a video"), histogram(bars, ["0", String((bins.length * step) / 2), String(bins.length * step)], "frames"));
  }

  /** A row per group: how many, and the mean of every measure; of two methods, that of one measure and the difference. */
  table(title, keyOf, keys, nameOf, onPick) {
    const { index, scoring: { measure } } = this;
    const { rows } = index;
    const groups = Data.groups(rows, keyOf);
    const heads = index.paired && index.measures.length ? pairHeads(index) : index.names.map((name) => make("th", { scope: "col" }, name));
    const head = make("tr", {}, make("th", { scope: "col" }, title.replace("By ", "")), make("th", { scope: "col" }, "expressions"),
      make("th", { scope: "col" }, "videos"), ...heads);
    const mean = (members, method, i) => Data.mean(members.map((row) => row.scores[method]?.[i]));
    const body = keys.filter((key) => groups.has(key)).map((key) => [key, groups.get(key)]).map(([key, members]) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "link", onclick: () => onPick(key), title: "Show only these" }, nameOf(key))),
      number(members.length, members.length / rows.length),
      number(new Set(members.map((row) => row.video)).size),
      ...(index.paired && index.measures.length ? pairCells(mean(members, 0, measure), mean(members, 1, measure)) : index.measures.map((_, i) => scoreCell(mean(members, 0, i))))));
    const name = index.paired && index.measures.length ? `${index.names[measure]} ${title.toLowerCase()}` : title;
    return make("section", {}, make("h3", {}, name), scrolling(name, make("thead", {}, head), make("tbody", {}, ...body)));
  }
}

/** A table that a narrow window may scroll. */
function scrolling(name, ...parts) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, make("table", {}, ...parts));
}

function pairHeads(index) {
  return [...index.methods.map((name, method) => make("th", { scope: "col" }, methodBadge(method), " ", make("bdi", { class: "method", title: name }, name))),
    make("th", { scope: "col" }, "B − A")];
}

function pairCells(a, b) {
  const difference = a === null || b === null ? null : b - a;
  return [scoreCell(a), scoreCell(b), make("td", { class: "difference" }, signed(difference))];
}

function scoreCell(mean) {
  return number(percent(mean), mean === null ? 0 : mean / 100, mean === null ? null : scoreColor(mean));
}

/** Means by name; ReVOS's overall is the mean of what referring and reasoning expressions reach, each for itself. */
function overall(index, method, measure) {
  const of = (rows) => Data.mean(rows.map((row) => row.scores[method]?.[measure]));
  if (!index.typed) return [["mean", of(index.rows)]];
  const byType = Data.groups(index.rows, (row) => row.type);
  const [referring, reasoning] = [0, 1].map((type) => of(byType.get(type) ?? []));
  return [["referring", referring], ["reasoning", reasoning],
    ...(referring === null || reasoning === null ? [] : [["overall", (referring + reasoning) / 2]])];
}

function figure(name, value) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value));
}

function number(value, share = 0, color = null) {
  const style = { "--share": `${100 * share}%` };
  if (color) style["--color"] = color;
  return make("td", { style }, typeof value === "number" ? whole(value) : value);
}

/**
 * Bars of stacked counts, one colour a type; a bar with `onClick` is a button. `under` stand below, evenly spaced, and
 * `unit` below them; beside the bars stands how many the highest has.
 */
function histogram(bars, under, unit, centred = false) {
  const most = Math.max(1, ...bars.map(({ counts }) => counts.reduce((a, b) => a + b, 0)));
  const columns = bars.map(({ counts, label, onClick }) => {
    const sum = counts.reduce((a, b) => a + b, 0);
    const said = `${label}: ${whole(sum)}`;
    const stack = counts.map((count, type) => make("i", { "data-type": counts.length > 1 ? type : null, style: { height: `${(100 * count) / most}%` } }));
    return onClick
      ? make("button", { type: "button", class: "column", title: said, "aria-label": `${said}; show only these`, onclick: onClick, disabled: sum === 0 }, ...stack)
      : make("span", { class: "column", title: said, role: "img", "aria-label": said }, ...stack);
  });
  const counts = make("div", { class: "counts", "aria-hidden": "true" }, ...[most, 0].map((count) => make("span", {}, whole(count))));
  return make("div", { class: "histogram" }, counts, make("div", { class: "bars" }, ...columns),
    make("div", { class: centred ? "under centred" : "under", "aria-hidden": "true" }, ...under.map((text) => make("span", {}, text))),
    unit ? make("div", { class: "unit", "aria-hidden": "true" }, unit) : null);
}

function typeLegend() {
  return make("p", { class: "legend" }, ...TYPES.map((name, type) => make("span", { class: "type", "data-type": type }, name)));
}
