// The review: what the audit found about each video, and what a person decides. Decisions stay in the browser.
"use strict";

const CHOICES = {
  accept: { key: "a", label: "Accept the mapping", said: "accepted" },
  keep: { key: "r", label: "Keep as filed", said: "kept as filed" },
  exclude: { key: "x", label: "Exclude the video", said: "excluded" },
};

class Review {
  constructor(index) {
    this.index = index;
    this.items = index.videos;
    this.player = new Player({ onFrame: (frame) => this.nameFrames(frame) });
    this.decisions = this.stored();
    this.past = [];
    byId("data").textContent = `${index.data} · ${index.report}`;
    byId("undo").addEventListener("click", () => this.undo());
    byId("save-accepted").addEventListener("click", () => download("accepted.json", this.accepted()));
    byId("save-excluded").addEventListener("click", () => download("excluded.json", `${JSON.stringify(this.with("exclude").map((item) => item.id), null, 2)}\n`));
    addEventListener("keydown", (event) => this.onKey(event));
    addEventListener("storage", (event) => {  // another tab with the same page
      if (event.key !== index.key) return;
      this.decisions = this.stored();
      this.refresh();
    });
    byId("player").hidden = false;
    this.open(this.items.find((item) => !this.decisions[item.id]) ?? this.items[0]);
  }

  // --- decisions

  stored() {
    let kept;
    try {
      kept = JSON.parse(localStorage.getItem(this.index.key)) ?? {};
    } catch {
      kept = {};
    }
    const sound = this.items.filter((item) => Object.hasOwn(kept, item.id) && this.choicesOf(item).includes(kept[item.id]));
    return Object.assign(Object.create(null), Object.fromEntries(sound.map((item) => [item.id, kept[item.id]])));
  }

  store() {
    try {
      localStorage.setItem(this.index.key, JSON.stringify(this.decisions));
    } catch {
      this.say("This browser keeps nothing for a page from disk: download what you decided before you close it.");
    }
  }

  /** What can be decided: only what can be remapped can be accepted. */
  choicesOf(item) {
    return [item.mapping === null ? null : "accept", "keep", "exclude"].filter(Boolean);
  }

  with(choice) {
    return this.items.filter((item) => this.decisions[item.id] === choice);
  }

  /** The mapping file of what is accepted; each mapping is the text that was written into the page. */
  accepted() {
    return `{\n${this.with("accept").map((item) => `  ${JSON.stringify(item.id)}: ${item.mapping}`).join(",\n")}\n}\n`;
  }

  decide(choice) {
    const { item } = this;
    if (!this.choicesOf(item).includes(choice)) {
      this.say("There is no mapping to accept here: keep the video as filed, or exclude it.");
      return;
    }
    this.past.push([item, this.decisions[item.id]]);
    this.decisions[item.id] = choice;
    this.store();
    const at = this.items.indexOf(item), open = (one) => !this.decisions[one.id];
    const next = this.items.slice(at + 1).find(open) ?? this.items.find(open);
    if (next) this.open(next);
    else this.refresh();
  }

  undo() {
    const last = this.past.pop();
    if (!last) return;
    const [item, before] = last;
    if (before) this.decisions[item.id] = before;
    else delete this.decisions[item.id];
    this.store();
    this.open(item);
  }

  // --- what is shown

  async open(item) {
    this.item = item;
    this.say(null);
    this.refresh();
    this.describe(item);
    this.player.close();
    byId("watch").hidden = document.querySelector(".layers").hidden = item.problem !== null;
    if (item.problem !== null) return;
    try {
      const video = await Files.readVideo(item.id);
      if (this.item === item) await this.player.open(this.subject(item, video), 0);
    } catch (error) {
      this.say(error.message);
    }
  }

  subject(item, video) {
    const { width, height } = item;
    const panes = [{ name: "as filed" }];
    if (video.proposed) panes.push({ name: "as proposed", frames: video.proposed });
    else if (video.moved) panes.push({ name: "moved by the shift" });
    const layers = video.tracks.map((track, i) => ({
      name: `track-${track.annotation}`,
      key: i < 9 ? String(i + 1) : null,
      on: true,
      colors: [[1, Colors.TRACKS[i % Colors.TRACKS.length], `track ${track.annotation}`]],
      masks: (frame, pane) => [[pane === 1 && video.moved ? video.moved[i][frame] : track.masks[frame], 1]],
    }));
    const areas = video.tracks.map((track) => track.masks.map((mask) => (100 * Masks.area(mask)) / (width * height)));
    const series = video.tracks.map((track, i) => ({
      name: `track ${track.annotation}`, title: "share of the frame that it covers", color: Colors.css(Colors.TRACKS[i % Colors.TRACKS.length]), values: areas[i], unit: "% of the frame",
    }));
    const empty = video.frames.map((_, i) => i).filter((i) => areas.every((of) => of[i] === 0));
    const top = areas.flat().reduce((most, value) => Math.max(most, value), 0);
    return { video, width, height, panes, layers, series, top, empty, jumps: [], label: "Share of the frame that each object covers, by mask" };
  }

  /** Says over each picture which frame it is: those of one mask have different ones. */
  nameFrames(frame) {
    const { player } = this;
    player.panes.forEach((pane, number) => {
      const name = player.nameOf(frame, number);
      pane.title({ name: [player.subject.panes[number].name, name].filter(Boolean).join(" · ") });
    });
  }

  describe(item) {
    document.title = `${item.id} – alignment review`;
    byId("verdict").textContent = item.verdict;
    byId("place").textContent = item.id;
    byId("text").textContent = item.headline;
    byId("words").textContent = [item.words, item.note].filter(Boolean).map((words) => `${words[0].toUpperCase()}${words.slice(1)}.`).join(" ");
    byId("advice").textContent = item.advice;
    byId("problem").textContent = item.problem ?? "";
    byId("problem").hidden = item.problem === null;
    byId("facts").replaceChildren(...item.facts.map((fact) => make("tr", {}, make("th", { scope: "row" }, fact.name),
      make("td", {}, fact.filed), make("td", {}, fact.proposed ?? ""), make("td", {}, fact.meaning))));
    byId("main").scrollTo(0, 0);
  }

  /** Makes the page say what is decided. */
  refresh() {
    const count = this.items.filter((item) => this.decisions[item.id]).length;
    byId("decided").textContent = `${count} of ${this.items.length} decided`;
    byId("undo").disabled = this.past.length === 0;
    for (const [choice, name] of [["accept", "accepted"], ["exclude", "excluded"]]) {
      const button = byId(`save-${name}`), many = this.with(choice).length;
      button.replaceChildren(make("span", { class: "verb" }, "Download "), `${name}.json (${many})`);
      button.disabled = many === 0;
    }
    byId("items").replaceChildren(...this.items.map((item) => make("li", {},
      make("button", { type: "button", "aria-current": item === this.item ? "true" : null, onclick: () => this.open(item) },
        make("b", {}, item.id),
        make("span", { class: "meta" }, item.verdict, make("span", { class: "choice" }, CHOICES[this.decisions[item.id]]?.said ?? ""))))));
    byId("items").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    byId("choices").replaceChildren(...this.choicesOf(this.item).map((choice) => make("button",
      { type: "button", id: choice, "aria-pressed": String(this.decisions[this.item.id] === choice), onclick: () => this.decide(choice) },
      `${CHOICES[choice].label} `, make("kbd", {}, CHOICES[choice].key.toUpperCase()))));
  }

  say(message) {
    byId("notice").textContent = message ?? "";
    byId("notice").hidden = !message;
  }

  step(by) {
    const at = this.items.indexOf(this.item) + by;
    if (this.items[at]) this.open(this.items[at]);
  }

  onKey(event) {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
    if (target.matches("input[type=range]") && /^(Arrow|Home|End|Page)/.test(key)) return;  // sliders know these
    if (key === " " && target.matches("button, input[type=checkbox]")) return;
    const { player } = this, name = key.length === 1 ? key.toLowerCase() : key;
    const choice = Object.keys(CHOICES).find((one) => CHOICES[one].key === name);
    const actions = { u: () => this.undo(), j: () => this.step(1), k: () => this.step(-1), t: () => nextTheme() };
    const watching = { " ": () => player.toggle(), ArrowLeft: () => player.step(-1), ArrowRight: () => player.step(1) };
    const action = choice ? () => this.decide(choice) : (actions[name] ?? (player.subject ? watching[name] : undefined));
    if (action) action();
    if (action || (player.subject && player.press(name))) event.preventDefault();
  }
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

Files.readIndex().then(
  (index) => { window.app = new Review(index); },
  (error) => {
    byId("notice").textContent = error.message;
    byId("notice").hidden = false;
  },
);
