// Puts the parts together: filters, the address, the keyboard, the theme.
"use strict";

const NARROW = matchMedia("(max-width: 899px)");
const THEMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };

class App {
  static CHOICES = ["types", "sources", "unpredicted"];  // the filters that are sets of values

  constructor(index) {
    this.index = index;
    this.filter = { words: "", types: new Set(), sources: new Set(), unpredicted: new Set(), measure: 0, lowest: null, highest: null, byVideo: false };
    this.filter.measure = Math.max(0, index.measures.indexOf("binary_J&F"));
    this.filter.sort = index.measures.length ? "worst" : "file";
    this.list = new List(byId("list"), (row) => this.open(row.expression));
    this.player = new Player((frame, playing) => playing || this.noteFrame(frame));
    this.summary = new Summary(byId("summary"), {
      onRange: (lowest, highest) => this.narrow({ lowest, highest }),
      onType: (type) => this.narrow({ types: new Set([type]) }),
      onSource: (source) => this.narrow({ sources: new Set([source]) }),
      onUnpredicted: () => this.narrow({ unpredicted: new Set([true]) }),
    });
    this.video = null;
    this.name = [index.method, index.title, index.split].filter(Boolean).join(" ");

    document.title = this.name;
    byId("dataset").textContent = index.title;
    byId("split").textContent = [index.split, index.data === index.title ? null : index.data, index.hidden ? "masks kept back" : null].filter(Boolean).join(" · ");
    byId("method").textContent = index.method ?? "";
    byId("predicted").textContent = index.unpredicted ? `${(index.rows.length - index.unpredicted).toLocaleString("en")} of ${index.rows.length.toLocaleString("en")} predicted` : "";
    this.buildFilters();
    this.refresh();
    this.summary.show(index, this.filter.measure);
    this.follow();
    addEventListener("popstate", () => this.follow());
    addEventListener("keydown", (event) => this.onKey(event));
    byId("to-summary").addEventListener("click", () => this.toSummary());
    for (const id of ["to-list", "back"]) byId(id).addEventListener("click", () => this.toList());
    byId("to-help").addEventListener("click", () => byId("help").showModal());
  }

  // --- filters

  buildFilters() {
    const { index, filter } = this;
    const scored = index.measures.length > 0;
    const orders = scored ? { worst: "Worst first", best: "Best first" } : {};
    Object.assign(orders, { file: "As in the file", text: "By text", frames: "Longest first" });
    byId("sort").append(...Object.entries(orders).map(([value, name]) => make("option", { value }, name)));
    byId("measure").append(...index.names.map((name, i) => make("option", { value: i }, name)));
    byId("score-filter").hidden = !scored;
    if (index.typed) byId("types").append(...TYPES.map((name, type) => this.chip(filter.types, type, name, (row) => row.type === type, type)));
    byId("sources").append(...index.sources.map((source) => this.chip(filter.sources, source, source, (row) => row.video.source === source)));
    if (index.unpredicted) byId("unpredicted").append(this.chip(filter.unpredicted, true, "no usable prediction", (row) => Boolean(row.problem)));
    byId("unpredicted").hidden = index.unpredicted === 0;
    byId("more-filters").hidden = !(scored || index.typed || index.sources.length);
    byId("more-filters").open = !NARROW.matches;

    const bind = (id, event, apply) => byId(id).addEventListener(event, (e) => { apply(e.target); this.refresh(); });
    const bound = (input) => (input.value === "" || Number.isNaN(input.valueAsNumber) ? null : input.valueAsNumber);
    bind("search", "input", (input) => (filter.words = input.value));
    bind("sort", "change", (select) => (filter.sort = select.value));
    bind("measure", "change", (select) => {
      filter.measure = Number(select.value);
      this.summary.show(index, filter.measure);
    });
    bind("lowest", "input", (input) => (filter.lowest = bound(input)));
    bind("highest", "input", (input) => (filter.highest = bound(input)));
    bind("by-expression", "click", () => (filter.byVideo = false));
    bind("by-video", "click", () => (filter.byVideo = true));
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", (event) => {
      event.preventDefault();
      Object.assign(filter, { words: "", lowest: null, highest: null });
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

  chip(chosen, value, name, matches, type) {
    const count = this.index.rows.filter(matches).length;
    const chip = make("button", { type: "button", class: type === undefined ? "chip" : "chip type", "data-type": type, disabled: count === 0 },
      name, make("span", { class: "faint" }, ` ${count.toLocaleString("en")}`));
    chip.pressed = () => chosen.has(value);
    chip.addEventListener("click", () => {
      if (!chosen.delete(value)) chosen.add(value);
      this.refresh();
    });
    return chip;
  }

  /** Shows only what a bar or row of the summary stands for. */
  narrow({ lowest = null, highest = null, ...chosen }) {
    const { filter } = this;
    Object.assign(filter, { words: "", lowest, highest });
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
    const value = { search: filter.words, sort: filter.sort, measure: filter.measure, lowest: filter.lowest ?? "", highest: filter.highest ?? "" };
    for (const [id, setting] of Object.entries(value)) {
      if (byId(id).value !== String(setting) && byId(id) !== document.activeElement) byId(id).value = setting;
    }
    for (const chip of document.querySelectorAll(".chip")) chip.setAttribute("aria-pressed", String(chip.pressed()));
    byId("by-expression").setAttribute("aria-pressed", String(!filter.byVideo));
    byId("by-video").setAttribute("aria-pressed", String(filter.byVideo));
    const active = filter.types.size + filter.sources.size + filter.unpredicted.size + (filter.lowest !== null || filter.highest !== null);
    byId("filter-count").textContent = active;
    byId("filter-count").hidden = active === 0;
    byId("reset").hidden = active === 0 && !filter.words;
    const all = expressions === index.rows.length;
    const said = all ? counted(expressions, "expression") : `${expressions.toLocaleString("en")} of ${counted(index.rows.length, "expression")}`;
    byId("count").textContent = filter.byVideo ? `${counted(rows.length, "video")} · ${said}` : said;
    byId("list").setAttribute("aria-label", filter.byVideo ? "Videos" : "Expressions");
    this.list.fill(rows, index.measures.length > 0);
    byId("nothing").hidden = rows.length > 0;
    byId("nothing").replaceChildren(...(rows.length ? [] : this.relaxations()));
    this.list.mark(this.entry);
  }

  /** What to let go of where nothing passes the filters: each that alone keeps something out, with what would show. */
  relaxations() {
    const { filter, index } = this;
    const free = { words: "", types: new Set(), sources: new Set(), unpredicted: new Set() };
    const offers = [
      [`the words “${filter.words}”`, filter.words && { words: "" }],
      ...App.CHOICES.map((name) => [{ types: "the type", sources: "the source", unpredicted: "“no usable prediction”" }[name], filter[name].size && { [name]: free[name] }]),
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
        this.video = await Data.readVideo(entry.video.id);
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
    this.player.open(this.video, entry, frame);
    const { problem } = this.player.data;
    byId("problem").hidden = !problem;
    byId("problem").textContent = problem ?? "";
    if (NARROW.matches) byId("text").focus({ preventScroll: true });
  }

  describe(entry) {
    const { index } = this;
    byId("type").hidden = entry.type === null;
    byId("type").textContent = TYPES[entry.type] ?? "";
    byId("type").dataset.type = entry.type;
    byId("place").textContent = `${entry.video.id} · expression ${entry.id}`;
    byId("text").textContent = entry.text;
    document.title = `${entry.text} – ${this.name}`;
    byId("scores").replaceChildren(...index.names.map((name, i) => make("div", { class: i === this.filter.measure ? "main" : null },
      make("dt", {}, name), make("dd", {}, percent(entry.scores[i])))));
    byId("siblings").replaceChildren(...entry.video.expressions.map((sibling) => make("li", {},
      make("button", { type: "button", "aria-current": sibling === entry ? "true" : null, onclick: () => this.open(sibling) },
        sibling.type === null ? null : make("span", { class: "type", "data-type": sibling.type, title: TYPES[sibling.type] }, make("span", { class: "sr" }, TYPES[sibling.type])),
        make("span", { class: "words" }, sibling.text),
        !index.measures.length ? null : sibling.problem ? noScore(sibling.problem) : scoreBar(sibling.scores[this.filter.measure] ?? null)))));
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

  // --- the address: #video=…&expression=…&frame=…

  address(entry, frame) {
    const parts = { video: entry.video.id, expression: entry.id, ...(frame ? { frame } : {}) };
    return `#${new URLSearchParams(parts)}`;
  }

  follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (!wanted.has("video")) {
      this.toSummary(false);
      if (NARROW.matches && location.hash !== "#view=summary") this.setView("list");
      return;
    }
    const entry = this.index.rows.find((row) => row.video.id === wanted.get("video") && row.id === (wanted.get("expression") ?? row.id));
    if (entry) this.open(entry, { frame: Math.max(0, Number.parseInt(wanted.get("frame"), 10) || 0), record: false });
    else {
      this.toSummary(false);
      this.say(`There is no video ${wanted.get("video")} with an expression ${wanted.get("expression")} here.`);
    }
  }

  noteFrame(frame) {
    clearTimeout(this.noting);
    const { entry } = this;
    this.noting = setTimeout(() => {
      if (entry && entry === this.entry) history.replaceState(null, "", this.address(entry, frame));
    }, 300);
  }

  // --- the keyboard

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
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
      w: () => player.toWorst(),
    };
    const name = key.length === 1 ? key.toLowerCase() : key;
    const action = anywhere[name] ?? (player.video ? watching[name] : undefined);
    if (action) action();
    return Boolean(action) || (player.video && player.press(name));
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").setAttribute("aria-label", THEMES[theme]);
  byId("theme").title = THEMES[theme];
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const theme = names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length];
  setTheme(theme);
  try {
    localStorage.setItem("revos-theme", theme);
  } catch {
    // A browser may refuse storage to a page from disk; the theme then lasts as long as the page.
  }
}

function storedTheme() {
  try {
    return localStorage.getItem("revos-theme");
  } catch {
    return null;
  }
}

setTheme(storedTheme() in THEMES ? storedTheme() : "auto");
byId("theme").addEventListener("click", nextTheme);
Data.readIndex().then(
  (index) => { window.app = new App(index); },
  (error) => {
    byId("notice").textContent = error.message;
    byId("notice").hidden = false;
  },
);
