// The summary: how the scores are distributed, and what they are by type and by source.
"use strict";

class Summary {
  static BINS = 20;

  constructor(element, { onRange, onType, onSource, onUnpredicted }) {
    Object.assign(this, { element, onRange, onType, onSource, onUnpredicted });
  }

  show(index, measure) {
    const { rows, videos } = index;
    const frames = videos.reduce((sum, video) => sum + video.frames, 0);
    const parts = [
      make("h2", {}, "Summary"),
      make("dl", { class: "figures" },
        figure("videos", videos.length.toLocaleString("en")),
        figure("expressions", rows.length.toLocaleString("en")),
        figure("frames", frames.toLocaleString("en")),
        index.unpredicted ? figure("predicted", `${(rows.length - index.unpredicted).toLocaleString("en")} of ${rows.length.toLocaleString("en")}`) : null,
        ...(index.measures.length ? overall(index, measure) : [])),
      index.unpredicted ? this.unpredicted(index, measure) : null,
    ];
    if (index.measures.length) parts.push(this.distribution(index, measure));
    else if (!index.hidden) parts.push(this.counts("Objects that an expression means", index, (row) => row.objects));
    if (!index.measures.length) parts.push(this.frameCounts(videos));
    if (index.typed) parts.push(this.table("By type", index, rows, (row) => row.type, [0, 1, 2], (type) => TYPES[type], this.onType));
    if (index.sources.length) parts.push(this.table("By source", index, rows, (row) => row.video.source, index.sources, (source) => source, this.onSource));
    this.element.replaceChildren(...parts.filter(Boolean));
  }

  /** What those that have no usable prediction do to the means, which count them as 0. */
  unpredicted(index, measure) {
    const there = Data.mean(index.rows.filter((row) => !row.problem).map((row) => row.scores[measure]));
    const words = `${counted(index.unpredicted, "expression")} without a usable prediction count as 0 in every mean, as the protocol has it. `
      + `The mean ${index.names[measure]} of those that are there: ${percent(there)}. `;
    return make("p", { class: "notice" }, words, make("button", { type: "button", class: "link", onclick: this.onUnpredicted }, "Show them"));
  }

  /** A histogram of one measure, each bar made of the three types; a bar filters the list by its range. */
  distribution(index, measure) {
    const bins = Array.from({ length: Summary.BINS }, () => [0, 0, 0]);
    for (const row of index.rows) {
      const score = row.problem ? null : row.scores[measure];
      if (typeof score === "number") bins[Math.min(Summary.BINS - 1, Math.max(0, Math.floor((score / 100) * Summary.BINS)))][row.type ?? 0]++;
    }
    const step = 100 / Summary.BINS;
    const bars = bins.map((counts, i) => {
      const [from, to] = [i * step, (i + 1) * step];
      return { counts, label: `${from} to ${to}`, onClick: () => this.onRange(from, to) };
    });
    return make("section", {},
      make("h3", {}, `How ${index.names[measure]} is distributed`),
      histogram(bars, ["0", "25", "50", "75", "100"], `${index.names[measure]} in percent`),
      index.typed ? typeLegend() : null);
  }

  counts(title, { rows, typed }, of) {
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

  /** A row per group: how many, and the mean of every measure. */
  table(title, index, rows, keyOf, keys, nameOf, onPick) {
    const groups = new Map(keys.map((key) => [key, []]));
    for (const row of rows) groups.get(keyOf(row))?.push(row);
    const head = make("tr", {}, make("th", { scope: "col" }, title.replace("By ", "")), make("th", { scope: "col" }, "expressions"),
      make("th", { scope: "col" }, "videos"), ...index.names.map((name) => make("th", { scope: "col" }, name)));
    const body = [...groups].filter(([, members]) => members.length).map(([key, members]) => make("tr", {},
      make("th", { scope: "row" }, make("button", { type: "button", class: "link", onclick: () => onPick(key), title: "Show only these" }, nameOf(key))),
      number(members.length, members.length / rows.length),
      number(new Set(members.map((row) => row.video)).size),
      ...index.measures.map((_, i) => {
        const mean = Data.mean(members.map((row) => row.scores[i]));
        return number(percent(mean), mean === null ? 0 : mean / 100, mean === null ? null : scoreColor(mean));
      })));
    return make("section", {}, make("h3", {}, title),
      make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))));
  }
}

/** ReVOS's overall is the mean of what referring and reasoning expressions reach, each for itself. */
function overall(index, measure) {
  const name = index.names[measure];
  if (!index.typed) return [figure(`mean ${name}`, percent(Data.mean(index.rows.map((row) => row.scores[measure]))))];
  const of = (type) => Data.mean(index.rows.filter((row) => row.type === type).map((row) => row.scores[measure]));
  const [referring, reasoning] = [of(0), of(1)];
  return [
    figure(`referring ${name}`, percent(referring)),
    figure(`reasoning ${name}`, percent(reasoning)),
    referring === null || reasoning === null ? null : figure(`overall ${name}`, percent((referring + reasoning) / 2)),
  ];
}

function figure(name, value) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, value));
}

function number(value, share = 0, color = null) {
  const style = { "--share": `${100 * share}%` };
  if (color) style["--color"] = color;
  return make("td", { style }, typeof value === "number" ? value.toLocaleString("en") : value);
}

/**
 * Bars of stacked counts, one colour a type; a bar with `onClick` is a button. `under` stand below, evenly spaced, and
 * `unit` below them; beside the bars stands how many the highest has.
 */
function histogram(bars, under, unit, centred = false) {
  const most = Math.max(1, ...bars.map(({ counts }) => counts.reduce((a, b) => a + b, 0)));
  const columns = bars.map(({ counts, label, onClick }) => {
    const sum = counts.reduce((a, b) => a + b, 0);
    const said = `${label}: ${sum.toLocaleString("en")}`;
    const stack = counts.map((count, type) => make("i", { "data-type": counts.length > 1 ? type : null, style: { height: `${(100 * count) / most}%` } }));
    return onClick
      ? make("button", { type: "button", class: "column", title: said, "aria-label": `${said}; show only these`, onclick: onClick, disabled: sum === 0 }, ...stack)
      : make("span", { class: "column", title: said, role: "img", "aria-label": said }, ...stack);
  });
  const counts = make("div", { class: "counts", "aria-hidden": "true" }, ...[most, 0].map((count) => make("span", {}, count.toLocaleString("en"))));
  return make("div", { class: "histogram" }, counts, make("div", { class: "bars" }, ...columns),
    make("div", { class: centred ? "under centred" : "under", "aria-hidden": "true" }, ...under.map((text) => make("span", {}, text))),
    make("div", { class: "unit", "aria-hidden": "true" }, unit));
}

function typeLegend() {
  return make("p", { class: "legend" }, ...TYPES.map((name, type) => make("span", { class: "type", "data-type": type }, name)));
}
