// Puts the parts together: filters, the address, the keyboard, the theme.
"use strict";

const NARROW = matchMedia("(max-width: 899px)");

class App {
  static CHOICES = ["types", "sources", "unpredicted", "leading"];  // the filters that are sets of values

  constructor(index) {
    this.index = index;
    const { methods, paired } = index;
    const sets = Object.fromEntries(App.CHOICES.map((name) => [name, new Set()]));
    this.filter = { words: "", ...sets, slice: null, of: paired ? "difference" : 0, measure: 0, lowest: null, highest: null, byVideo: false };
    this.filter.measure = Math.max(0, index.measures.indexOf("binary_J&F"));
    this.filter.sort = !index.measures.length ? "file" : paired ? "apart" : "worst";
    this.list = new List(byId("list"), (row) => this.open(row.expression));
    this.player = new Player({ onFrame: (frame, playing) => playing || this.note(), onLook: () => this.noteLook() });
    this.summary = new Summary(byId("summary"), {
      onRange: (lowest, highest, slice) => this.narrow({ lowest, highest, slice }),
      onType: (type) => this.narrow({ types: new Set([type]) }),
      onSource: (source) => this.narrow({ sources: new Set([source]) }),
      onUnpredicted: (method) => this.narrow({ unpredicted: new Set([method]) }),
    });
    this.video = null;
    this.view = paired ? "side" : "a";  // how two methods are looked at
    this.on = null;  // the layers that the user has chosen; null for the usual ones
    this.name = [methods.join(" and "), index.title, index.split].filter(Boolean).join(" ");

    document.title = this.name;
    byId("dataset").textContent = index.title;
    byId("split").textContent = [index.split, index.data === index.title ? null : index.data, index.hidden ? "masks kept back" : null].filter(Boolean).join(" · ");
    byId("methods").replaceChildren(...methods.map((name, method) => make("span", { class: "method", title: name }, paired ? methodBadge(method) : "", make("b", {}, make("bdi", {}, name)),
      make("span", { class: "faint" }, index.unpredicted[method] ? ` ${whole(index.rows.length - index.unpredicted[method])} of ${whole(index.rows.length)} predicted` : ""))));
    byId("views").hidden = !paired;
    byId("keys-of-one").hidden = paired;
    for (const row of document.querySelectorAll(".keys-of-two")) row.hidden = !paired;
    if (paired) this.buildViews();
    this.share = new Share(this);
    this.buildFilters();
    this.summary.show(index, this.filter);  // before the list, which asks for the layout of the whole page
    this.refresh();
    this.follow();
    addEventListener("popstate", () => this.follow());
    addEventListener("keydown", (event) => this.onKey(event));
    byId("to-summary").addEventListener("click", () => this.toSummary());
    for (const id of ["to-list", "back"]) byId(id).addEventListener("click", () => this.toList());
    byId("to-help").addEventListener("click", () => byId("help").showModal());
  }

  buildViews() {
    const names = { a: "A", b: "B", side: "Side by side", both: "In one" };
    byId("views").replaceChildren(...Object.entries(names).map(([view, name]) =>
      make("button", { type: "button", "data-view": view, title: this.index.methods[{ a: 0, b: 1 }[view]], onclick: () => this.setMethods(view) }, name)));
  }

  // --- filters

  buildFilters() {
    const { index, filter } = this;
    const scored = index.measures.length > 0;
    this.buildOrders();
    if (index.paired) byId("of").append(make("option", { value: "difference" }, "B − A"), ...index.methods.map((name, method) => make("option", { value: method }, `${Compared.LETTERS[method]} ${name}`)));
    byId("of").hidden = !index.paired;
    byId("measure").append(...index.names.map((name, i) => make("option", { value: i }, name)));
    byId("score-filter").hidden = !scored;
    if (index.typed) byId("types").append(...TYPES.map((name, type) => this.chip(filter.types, type, name, type)));
    byId("sources").append(...index.sources.map((source) => this.chip(filter.sources, source, source)));
    index.unpredicted.forEach((count, method) => {
      if (count) byId("unpredicted").append(this.chip(filter.unpredicted, method, index.paired ? `${Compared.LETTERS[method]} has none` : "no usable prediction"));
    });
    byId("unpredicted").hidden = index.unpredicted.every((count) => count === 0);
    if (index.paired && scored) {
      for (const [which, name] of [[1, "B ahead"], [0, "A ahead"], ["level", "tie"]]) byId("leading").append(this.chip(filter.leading, which, name));
    }
    byId("leading").hidden = !(index.paired && scored);
    this.countChips("types", Data.tally(index.rows, (row) => row.type));
    this.countChips("sources", Data.tally(index.rows, (row) => row.video.source));
    this.countChips("unpredicted", new Map(index.unpredicted.entries()));
    this.buildSlices();
    byId("more-filters").hidden = !(scored || index.typed || index.sources.length);
    byId("more-filters").open = !NARROW.matches;

    const bind = (id, event, apply) => byId(id).addEventListener(event, (e) => { apply(e.target); this.refresh(); });
    const bound = (input) => (input.value === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);
    bind("search", "input", (input) => (filter.words = input.value));
    bind("sort", "change", (select) => (filter.sort = select.value));
    bind("measure", "change", (select) => {
      filter.measure = Number(select.value);
      this.summary.show(index, filter);
    });
    bind("of", "change", (select) => {
      filter.of = select.value === "difference" ? "difference" : Number(select.value);
      filter.sort = filter.of === "difference" ? "apart" : "worst";
      Object.assign(filter, { lowest: null, highest: null });  // they were of another scale
      this.buildOrders();
      this.summary.show(index, filter);
    });
    bind("slice", "change", (select) => (filter.slice = select.value === "" ? null : sliceOf(select.value)));
    bind("lowest", "input", (input) => (filter.lowest = bound(input)));
    bind("highest", "input", (input) => (filter.highest = bound(input)));
    bind("by-expression", "click", () => (filter.byVideo = false));
    bind("by-video", "click", () => (filter.byVideo = true));
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", (event) => {
      event.preventDefault();
      Object.assign(filter, { words: "", lowest: null, highest: null, slice: null });
      for (const name of App.CHOICES) filter[name].clear();
      this.refresh();
      byId("search").focus();
    });
    byId("search").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.list.rows.length) this.list.open(0);
      else if (event.key === "ArrowDown" && this.list.rows.length) {
        byId("list").focus();
        this.list.open(0);
        event.preventDefault();
      } else if (event.key === "Escape" && filter.words) {
        event.target.value = filter.words = "";
        event.stopPropagation();  // once more leaves the field
        this.refresh();
      }
    });
  }

  /** The orders that make sense for what is scored. */
  buildOrders() {
    const scored = !this.index.measures.length ? {} : this.filter.of === "difference"
      ? { apart: "Furthest apart", best: "B ahead first", worst: "A ahead first" }
      : { worst: "Worst first", best: "Best first" };
    const orders = { ...scored, file: "As in the file", text: "By text", frames: "Longest first" };
    byId("sort").replaceChildren(...Object.entries(orders).map(([value, name]) => make("option", { value }, name)));
  }

  buildSlices() {
    const { attributes, rows } = this.index;
    const groups = attributes.map(({ name, values }, attribute) => {
      if (name === "source" || values.length < 2) return null;
      const counts = Data.tally(rows, (row) => row.slices[attribute]), title = ATTRIBUTES[name] ?? name;
      return make("optgroup", { label: title },
        ...values.map((value, i) => make("option", { value: `${attribute}:${i}` }, `${title}: ${value} (${whole(counts.get(i) ?? 0)})`)));
    });
    byId("slice").append(make("option", { value: "" }, "any size, motion …"), ...groups.filter(Boolean));
    byId("slice").hidden = !groups.some(Boolean);
  }

  chip(chosen, value, name, type) {
    const count = make("span", { class: "faint" });
    const chip = make("button", { type: "button", class: type === undefined ? "chip" : "chip type", "data-type": type }, name, " ", count);
    chip.pressed = () => chosen.has(value);
    chip.count = (counts) => {
      const found = counts.get(value) ?? 0;
      count.textContent = whole(found);
      chip.disabled = found === 0 && !chip.pressed();
    };
    chip.addEventListener("click", () => {
      if (!chosen.delete(value)) chosen.add(value);
      this.refresh();
    });
    return chip;
  }

  /** Says on each chip of a group how many expressions have its value. */
  countChips(group, counts) {
    for (const chip of byId(group).children) chip.count(counts);
  }

  /** For how many expressions either method is ahead, or neither, by the measure that is chosen. */
  countLeads() {
    this.countChips("leading", Data.tally(this.index.rows, (row) => {
      const difference = Data.scoreOf(row, { of: "difference", measure: this.filter.measure });
      return difference === null ? null : Data.ahead(difference);
    }));
  }

  /** Shows only what a bar or row of the summary stands for. */
  narrow({ lowest = null, highest = null, slice = null, ...chosen }) {
    const { filter } = this;
    Object.assign(filter, { words: "", lowest, highest, slice });
    for (const name of App.CHOICES) {
      filter[name].clear();
      for (const value of chosen[name] ?? []) filter[name].add(value);
    }
    this.refresh();
    this.toList();
  }

  /** Fills the list anew and makes the controls say what the filter is. */
  refresh() {
    const { filter, index } = this;
    const { expressions, rows } = Data.select(index, filter);
    const value = { search: filter.words, sort: filter.sort, measure: filter.measure, of: filter.of, lowest: filter.lowest ?? "", highest: filter.highest ?? "", slice: filter.slice ? `${filter.slice.attribute}:${filter.slice.value}` : "" };
    for (const [id, setting] of Object.entries(value)) {
      if (byId(id).value !== String(setting) && byId(id) !== document.activeElement) byId(id).value = setting;
    }
    if (byId("leading").childElementCount) this.countLeads();  // they follow the measure
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip.pressed()));
    for (const [id, end] of [["lowest", "0"], ["highest", "100"]]) {
      const low = filter.of === "difference" ? "-100" : "0";
      Object.assign(byId(id), { min: low, placeholder: end === "0" ? low.replace("-", "−") : end });
    }
    byId("by-expression").setAttribute("aria-pressed", String(!filter.byVideo));
    byId("by-video").setAttribute("aria-pressed", String(filter.byVideo));
    const active = filter.types.size + filter.sources.size + filter.unpredicted.size + filter.leading.size + (filter.slice !== null) + (filter.lowest !== null || filter.highest !== null);
    byId("filter-count").textContent = active;
    byId("filter-count").hidden = active === 0;
    byId("reset").hidden = active === 0 && !filter.words;
    const all = expressions === index.rows.length;
    const said = all ? counted(expressions, "expression") : `${whole(expressions)} of ${counted(index.rows.length, "expression")}`;
    byId("count").textContent = filter.byVideo ? `${counted(rows.length, "video")} · ${said}` : said;
    byId("list").setAttribute("aria-label", filter.byVideo ? "Videos" : "Expressions");
    this.list.fill(rows, (row) => this.scoreCell(row));
    byId("nothing").hidden = rows.length > 0;
    byId("nothing").replaceChildren(...(rows.length ? [] : this.relaxations()));
    this.list.mark(this.entry);
  }

  /** What stands at the end of a row of the list. */
  scoreCell({ score, problem, expression, members }) {
    const { index, filter: { of, measure } } = this;
    if (!index.measures.length) return null;
    if (score === null && problem) return noScore(problem);
    if (of !== "difference") return scoreBar(score);
    return differenceCell(score, members ? null : [0, 1].map((method) => expression.scores[method]?.[measure]));
  }

  /** What to let go of where nothing passes the filters: each that alone keeps something out, with what would show. */
  relaxations() {
    const { filter, index } = this;
    const free = { words: "", slice: null, ...Object.fromEntries(App.CHOICES.map((name) => [name, new Set()])) };
    const called = { types: "the type", sources: "the source", unpredicted: "“no usable prediction”", leading: "who is ahead" };
    const offers = [
      [`the words “${filter.words}”`, filter.words && { words: "" }],
      ...App.CHOICES.map((name) => [called[name], filter[name].size && { [name]: free[name] }]),
      ["the kind of target", filter.slice && { slice: null }],
      ["the range of scores", (filter.lowest !== null || filter.highest !== null) && { lowest: null, highest: null }],
    ].filter(([, change]) => change);
    const found = offers
      .map(([name, change]) => [name, change, Data.select(index, { ...filter, ...change }).expressions])
      .filter(([, , count]) => count > 0);
    const button = (text, change) => make("button", { type: "button", class: "link", onclick: () => { Object.assign(filter, change); this.refresh(); } }, text);
    return [
      make("p", {}, "Nothing is found."),
      ...found.map(([name, change, count]) => make("p", {}, button(`Without ${name}: ${counted(count, "expression")}`, change))),
      found.length ? null : make("p", {}, button("Clear all filters", { ...free, lowest: null, highest: null })),
    ].filter(Boolean);
  }

  // --- what is open

  /** Opens an expression, reading its video's masks where another video's are in memory. */
  async open(entry, { frame, record = true } = {}) {
    if (record && this.on && entry !== this.entry) {  // tracks are of one expression
      const kept = this.on.filter((name) => !name.startsWith("track-"));
      this.on = this.index.methods.length && (kept.length || !this.on.length) ? kept : null;
    }
    this.entry = entry;
    byId("summary").hidden = true;
    byId("player").hidden = false;
    this.setView("player");
    this.say(null);
    this.describe(entry);
    this.list.mark(entry);
    if (record && location.hash !== this.address(entry, frame)) history.pushState(null, "", this.address(entry, frame));
    if (this.video?.id !== entry.video.id) {
      this.player.close();
      this.video = null;  // let go of one video's masks before the next one's come
      byId("player").setAttribute("aria-busy", "true");
      try {
        this.video = await Files.readVideo(entry.video.id);
      } catch (error) {
        this.say(error.message);
        return;
      } finally {
        byId("player").removeAttribute("aria-busy");
      }
      entry = this.entry;  // the user may have gone on within the same video, or to the summary
      if (entry === null) {
        this.video = null;
        return;
      }
    }
    this.show(frame);
    if (NARROW.matches) byId("text").focus({ preventScroll: true });
  }

  /** Has the player show the expression that is open, as the user wants to look at it. */
  show(frame) {
    const { video, entry, view, on, index } = this;
    const data = video.expressions.find((expression) => expression.id === entry.id);
    const subject = Compared.subject({ names: index.methods, video, entry, data, view, on });
    byId("player").classList.toggle("side", subject.panes.length > 1);
    for (const button of byId("views").children) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    const problem = index.paired ? null : data.methods[0]?.problem;
    byId("problem").hidden = !problem;
    byId("problem").textContent = problem ?? "";
    return this.player.open(subject, frame);
  }

  /** Looks at one method, at the other, at both side by side or in one picture. */
  setMethods(view) {
    this.view = view;
    if (this.on && !this.on.some((name) => /^(errors|method)/.test(name))) this.on = null;
    if (view === "both" && this.on?.includes("errors")) this.on = null;  // errors are those of one method
    if (this.video) this.show();
    this.note();
  }

  /** Keeps the layers that were chosen for the expressions that come, but for tracks, which are of one video. */
  noteLook() {
    const { layers, usually } = this.player.subject;
    const now = layers.filter((layer) => layer.on).map((layer) => layer.name);
    this.on = now.join() === usually.join() ? null : now;
    this.note();
  }

  describe(entry) {
    const { index } = this;
    byId("type").hidden = entry.type === null;
    byId("type").textContent = TYPES[entry.type] ?? "";
    byId("type").dataset.type = entry.type;
    byId("place").textContent = `${entry.video.id} · expression ${entry.id}`;
    byId("text").textContent = entry.text;
    document.title = `${entry.text} – ${this.name}`;
    byId("scores").replaceChildren(...this.scoresOf(entry));
    byId("siblings").replaceChildren(...entry.video.expressions.map((sibling) => make("li", {},
      make("button", { type: "button", "aria-current": sibling === entry ? "true" : null, onclick: () => this.open(sibling) },
        sibling.type === null ? null : make("span", { class: "type", "data-type": sibling.type, title: TYPES[sibling.type] }, make("span", { class: "sr" }, TYPES[sibling.type])),
        make("span", { class: "words" }, sibling.text),
        this.siblingScore(sibling)))));
  }

  scoresOf(entry) {
    const { index, filter } = this;
    const one = (method, i) => percent(entry.problems[method] ? null : entry.scores[method]?.[i]);  // a 0 by rule was never drawn
    const shown = (i) => (index.paired ? `${one(0, i)} → ${one(1, i)}` : one(0, i));
    const names = index.paired ? index.names.map((name, i) => [name, i]).filter(([name, i]) => i === filter.measure || /(^|\s)[JF]$/.test(name)) : index.names.map((name, i) => [name, i]);
    return names.map(([name, i]) => make("div", { class: i === filter.measure ? "main" : null }, make("dt", {}, name), make("dd", {}, shown(i))));
  }

  siblingScore(sibling) {
    const problem = this.index.paired ? sibling.problems.map((one, method) => one && `${Compared.LETTERS[method]} ${one}`).filter(Boolean).join(", ") : sibling.problems[0];
    const row = { score: Data.scoreOf(sibling, this.filter), problem, expression: sibling };
    return this.scoreCell(row);
  }

  toSummary(record = true) {
    this.player.close();
    this.video = this.entry = null;
    this.list.mark(null);
    byId("player").hidden = true;
    byId("summary").hidden = false;
    this.setView("summary");
    this.say(null);
    document.title = this.name;
    if (record) history.pushState(null, "", "#view=summary");
  }

  toList() {
    this.player.pause();
    this.setView("list");
    byId("list").focus();
  }

  setView(view) {
    document.body.dataset.view = view;
    for (const name of ["list", "summary"]) byId(`to-${name}`).setAttribute("aria-current", view === name ? "page" : "false");
    if (view !== "list") scrollTo(0, 0);
    byId("main").scrollTo(0, 0);
  }

  say(message) {
    byId("notice").textContent = message ?? "";
    byId("notice").hidden = !message;
  }

  // --- the address: #video=…&expression=…&frame=…&method=…&layers=…&fill=…&opacity=…, but for what is as usual

  address(entry, frame) {
    const { fill, opacity } = this.player.look;
    const parts = { video: entry.video.id, expression: entry.id };
    if (frame) parts.frame = frame;
    if (this.index.paired && this.view !== "side") parts.method = this.view;
    if (this.on) parts.layers = this.on.join(",");
    if (fill !== "tint") parts.fill = fill;
    if (opacity !== 0.5) parts.opacity = Math.round(100 * opacity);
    return `#${new URLSearchParams(parts)}`;
  }

  /** Takes from the address how to look: what it does not say is as usual. */
  followLook(wanted) {
    if (this.index.paired) this.view = wanted.get("method") in Compared.VIEWS ? wanted.get("method") : "side";
    this.on = wanted.has("layers") ? wanted.get("layers").split(",").filter(Boolean) : null;
    byId("fill").value = [...byId("fill").options].some((one) => one.value === wanted.get("fill")) ? wanted.get("fill") : "tint";
    const opacity = Number.parseInt(wanted.get("opacity"), 10);
    byId("opacity").value = Number.isNaN(opacity) ? 50 : opacity;
  }

  follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("video")) {
      this.toSummary(false);
      if (NARROW.matches && location.hash !== "#view=summary") this.setView("list");
      return;
    }
    const entry = this.index.rows.find((row) => row.video.id === wanted.get("video") && row.id === (wanted.get("expression") ?? row.id));
    this.followLook(wanted);
    if (entry) this.open(entry, { frame: Math.max(0, Number.parseInt(wanted.get("frame"), 10) || 0), record: false });
    else {
      this.toSummary(false);
      this.say(`There is no video ${wanted.get("video")} with an expression ${wanted.get("expression")} here.`);
    }
  }

  /** Has the address say what is in sight. */
  note() {
    clearTimeout(this.noting);
    const { entry } = this;
    this.noting = setTimeout(() => {
      if (entry && entry === this.entry) history.replaceState(null, "", this.address(entry, this.player.frame));
    }, 300);
  }

  // --- the keyboard

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    const range = target.matches("input[type=range]");
    if (target.matches("input:not([type=checkbox], [type=range]), select, textarea")) {
      if (key === "Escape") byId("list").focus();
      return;
    }
    if (range && /^(Arrow|Home|End|Page)/.test(key)) return;  // sliders know these
    if (key === " " && target.matches("button, summary, input[type=checkbox]")) return;
    if (this.act(key)) event.preventDefault();
  }

  act(key) {
    const { player } = this;
    const anywhere = {
      "/": () => { if (NARROW.matches) this.setView("list"); byId("search").focus(); },
      "?": () => byId("help").showModal(),
      j: () => this.list.step(1),
      k: () => this.list.step(-1),
      l: () => this.toList(),
      s: () => this.toSummary(),
      t: () => nextTheme(),
    };
    const watching = {
      " ": () => player.toggle(),
      ArrowLeft: () => player.step(-1),
      ArrowRight: () => player.step(1),
      Home: () => player.pauseAt(0),
      End: () => player.pauseAt(player.count - 1),
      ...(this.index.paired ? { v: () => this.setMethods(nextOf(["a", "b", "side", "both"], this.view)) } : {}),
    };
    const name = key.length === 1 ? key.toLowerCase() : key;
    const action = anywhere[name] ?? (player.subject ? watching[name] : undefined);
    if (action) action();
    return Boolean(action) || (player.subject !== null && player.press(name));
  }
}

/** A value of the list of slices, "attribute:value", as numbers. */
function sliceOf(text) {
  const [attribute, value] = text.split(":").map(Number);
  return { attribute, value };
}

Data.readIndex().then(
  (index) => { window.app = new App(index); },
  (error) => {
    byId("notice").textContent = error.message;
    byId("notice").hidden = false;
  },
);
