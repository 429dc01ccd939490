// The player: the frames of one video in one pane or two, masks over them as layers, and a plot of each frame's numbers.
// It knows nothing of lists, methods or scores: what it shows is a subject, made elsewhere.
//
//   {
//     video: { folder, frames, absent }, width, height,
//     panes: [{ name, color, note, frames }]  one or two, side by side; `name` stands above where there is one, and `frames`
//                                      are its own, where they are not the video's: null for a mask that has none
//     layers: [{
//       name, key,                       the key that switches it
//       on,                              whether it shows
//       colors: [[value, color, label]]  what is drawn where the bits of its masks add up to `value`
//       about,                           a word more, or nothing
//       masks: (frame, pane) => [[counts, bit]]
//       excludes: [name]                 layers that go off when it goes on
//     }]
//     series: [{ name, title, color, values, unit, dashed }], top, label       of the plot
//     empty: [frame]                     where there is nothing to find
//     jumps: [{ label, key, frame }]     buttons that lead to a frame
//   }
"use strict";

/** A picture of a frame with masks over it. */
class Pane {
  static COARSER = 1.15;  // than the window shows masks: that is not seen, and saves three pixels of four where it is enough

  constructor(number) {
    this.number = number;
    const suffix = number ? `-${number}` : "";
    this.frame = make("div", { id: `frame${suffix}`, "aria-hidden": "true" });
    this.maskCanvas = make("canvas", { id: `masks${suffix}`, role: "img", "aria-label": "Masks" });
    this.noFrame = make("p", { id: `no-frame${suffix}`, class: "no-frame", hidden: true }, "This frame is not on disk");
    this.hint = make("div", { class: "hint", hidden: true, "aria-hidden": "true" });
    this.screen = make("div", { class: "screen" }, this.frame, this.maskCanvas, this.noFrame, this.hint);
    this.caption = make("figcaption", {});
    this.element = make("figure", { class: "pane" }, this.caption, make("div", { class: "stage" }, this.screen));
  }

  /** Makes room for masks of width x height, as fine as the window shows them; asks for the layout of the page. */
  fit(width, height) {
    this.screen.style.setProperty("--ratio", width / height);
    this.shown = this.screen.clientWidth;
    const step = Math.max(1, Math.floor((Pane.COARSER * width) / Math.max(1, this.shown * devicePixelRatio)));
    const of = `${width}x${height}/${step}`;
    if (this.painting?.of !== of) this.painting = Object.assign(new Masks.Painting(width, height, step), { of });
    const { painting, maskCanvas } = this;
    if (maskCanvas.width !== painting.width || maskCanvas.height !== painting.height) Object.assign(maskCanvas, { width: painting.width, height: painting.height });
  }

  /** Takes the pictures away; what the masks are painted in stays for the next video, which mostly has the same size. */
  clear() {
    this.frame.replaceChildren();
    Object.assign(this.maskCanvas, { width: 0, height: 0 });
  }

  title({ name, color, note }) {
    this.caption.hidden = !name && !note;
    this.caption.replaceChildren(...[
      name ? make("b", {}, color ? make("i", { class: "dot", style: { "--color": Colors.css(color) } }) : "", make("bdi", {}, name)) : null,
      note ? make("span", { class: "problem-note" }, note) : null,
    ].filter(Boolean));
  }

  /** Shows a frame, which is decoded no larger than it is shown, and with the masks at once; `name` is null for none. */
  drawFrame(image, name) {
    this.frame.replaceChildren(...(image ? [image.isConnected ? image.cloneNode() : image] : []));
    this.noFrame.hidden = image !== null;
    this.noFrame.textContent = name === null ? "No frame is left for this mask" : "This frame is not on disk";
  }

  /** Draws the layers that are on; returns, for each of them, how many pixels each of its colours has. */
  paint(layers, frame, { fill, opacity }) {
    const line = Math.max(1, Math.round((1.75 * this.maskCanvas.width) / this.shown));
    const counts = new Map();
    this.painting.begin(fill, opacity, line);
    for (const layer of layers) if (layer.on) counts.set(layer, this.painting.add(layer.masks(frame, this.number), layer.colors));
    const box = this.painting.end();
    if (box) this.maskCanvas.getContext("2d").putImageData(this.painting.image, 0, 0, box.left, box.top, box.right - box.left, box.bottom - box.top);
    return counts;
  }

  /** The layers under the pointer, each with the colour and the label of what it has there; those on top first. */
  under({ layers, width, height }, frame, { clientX, clientY }) {
    const box = this.maskCanvas.getBoundingClientRect();
    const x = Math.floor(((clientX - box.left) / box.width) * width), y = Math.floor(((clientY - box.top) / box.height) * height);
    if (x < 0 || y < 0 || x >= width || y >= height) return [];
    const found = [];
    for (const layer of layers) {
      if (!layer.on) continue;
      let value = 0;
      for (const [counts, bit] of layer.masks(frame, this.number)) if (Masks.covers(counts, x, y, height)) value |= bit;
      const here = layer.colors.find(([wanted]) => wanted === value);
      if (here) found.unshift(here.slice(1));
    }
    return found;
  }

  /** Says beside the pointer what lies under it. */
  tell(found, { clientX, clientY }) {
    this.hint.hidden = found.length === 0;
    this.hint.replaceChildren(...found.map(([color, label]) => swatch(color, label)));
    const box = this.screen.getBoundingClientRect();
    const x = clientX - box.left, y = clientY - box.top;
    this.hint.style.translate = `${x > box.width / 2 ? "calc(-100% - 12px)" : "14px"} ${y > box.height / 2 ? "calc(-100% - 8px)" : "14px"}`;
    Object.assign(this.hint.style, { left: `${x}px`, top: `${y}px` });
  }
}

class Player {
  static AHEAD = { playing: 8, still: 2 };  // frames read before they are shown
  static KEPT = 16;  // frames kept at hand

  /** `onFrame(frame, playing)` is called with every frame that is shown, `onLook()` when layers or their drawing change. */
  constructor({ onFrame = () => {}, onLook = () => {} } = {}) {
    Object.assign(this, { onFrame, onLook });
    this.subject = null;
    this.frame = 0;
    this.playing = false;
    this.images = new Map();
    this.panes = [];
    this.slider = byId("slider");
    this.plot = new Plot(byId("plot"), (frame) => this.pauseAt(frame));

    this.slider.addEventListener("input", () => this.pauseAt(this.slider.valueAsNumber));
    byId("play").addEventListener("click", () => this.toggle());
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    for (const id of ["opacity", "fill"]) byId(id).addEventListener("input", () => { this.paint(); this.onLook(); });
    new ResizeObserver(() => this.resize()).observe(byId("panes"));
  }

  get count() {
    return this.subject ? this.subject.video.frames.length : 0;
  }

  /** How masks are drawn: the fill, and its opacity from 0 to 1. */
  get look() {
    return { fill: byId("fill").value, opacity: byId("opacity").valueAsNumber / 100 };
  }

  /** Shows a subject; at the frame where the player stands if it is of the same video. */
  open(subject, frame) {
    if (this.subject?.video !== subject.video) {
      this.pause();
      this.images.clear();
      this.frame = 0;
    }
    this.subject = subject;
    this.setPanes(subject);
    this.slider.max = this.count - 1;
    byId("jumps").replaceChildren(...subject.jumps.map(({ label, frame: to }) =>
      make("button", { type: "button", class: "small", onclick: () => this.pauseAt(to) }, label)));
    this.buildLayers();
    this.marked = [
      { name: "nothing to find", kind: "empty", frames: new Set(subject.empty) },
      { name: "frame not on disk", kind: "absent", frames: new Set(subject.video.absent) },
    ].filter((mark) => mark.frames.size);
    const { empty, series, top, label, video } = subject;
    this.plot.show(series, { names: video.frames, empty, absent: video.absent }, top, label);
    return this.show(Math.min(frame ?? this.frame, this.count - 1));
  }

  setPanes({ panes, width, height }) {
    if (this.panes.length !== panes.length) {
      this.panes = panes.map((_, number) => new Pane(number));
      byId("panes").replaceChildren(...this.panes.map((pane) => pane.element));
      byId("panes").dataset.count = panes.length;
      for (const pane of this.panes) this.listen(pane);
    }
    this.panes.forEach((pane, number) => {
      pane.title(panes[number]);
      pane.fit(width, height);
    });
  }

  listen(pane) {
    const over = (event) => {
      this.pointer = { pane, clientX: event.clientX, clientY: event.clientY };
      this.tell();
    };
    for (const type of ["pointermove", "pointerdown"]) pane.screen.addEventListener(type, over);
    pane.screen.addEventListener("pointerleave", () => {
      this.pointer = null;
      pane.hint.hidden = true;
    });
  }

  /** Names the layers under the pointer, where it is over a picture. */
  tell() {
    if (!this.pointer || !this.subject) return;
    const { pane } = this.pointer;
    pane.tell(pane.under(this.subject, this.frame, this.pointer), this.pointer);
  }

  /** Lets go of the video, so that its masks and pictures can be freed. */
  close() {
    this.pause();
    this.subject = null;
    this.images.clear();
    for (const pane of this.panes) pane.clear();
  }

  // --- frames

  /** The name of a frame in a pane; null where it has none. */
  nameOf(frame, pane = 0) {
    return (this.subject.panes[pane].frames ?? this.subject.video.frames)[frame];
  }

  address(frame, pane) {
    return `${this.subject.video.folder}/${Files.address(`${this.nameOf(frame, pane)}.jpg`)}`;
  }

  /** The image of a frame, once it is read; null where there is none. */
  image(frame, pane = 0) {
    if (this.nameOf(frame, pane) === null) return Promise.resolve(null);
    const address = this.address(frame, pane);
    if (!this.images.has(address)) {
      const image = make("img", { alt: "", decoding: "sync", draggable: "false" });
      this.images.set(address, new Promise((resolve) => {
        image.addEventListener("load", () => resolve(image));
        image.addEventListener("error", () => resolve(null));
        image.src = address;
      }));
      for (const kept of this.images.keys()) {
        if (this.images.size <= Player.KEPT * this.subject.panes.length) break;
        this.images.delete(kept);
      }
    }
    return this.images.get(address);
  }

  /** The images of a frame in all panes. */
  imagesOf(frame) {
    return Promise.all(this.panes.map((_, pane) => this.image(frame, pane)));
  }

  async show(frame) {
    const { video } = this.subject;
    this.frame = frame;
    this.slider.value = frame;
    const images = await this.imagesOf(frame);
    if (this.subject?.video !== video || this.frame !== frame) return;
    this.panes.forEach((pane, number) => pane.drawFrame(images[number], this.nameOf(frame, number)));
    this.paint();
    this.plot.seek(frame);
    this.describe();
    this.tell();
    this.onFrame(frame, this.playing);
    const ahead = this.playing ? Player.AHEAD.playing : Player.AHEAD.still;
    for (let i = 1; i <= Math.min(ahead, this.count - 1); i++) this.imagesOf((frame + i) % this.count);
  }

  pauseAt(frame) {
    this.pause();
    return this.show(frame);
  }

  step(by) {
    if (this.count) this.pauseAt((this.frame + by + this.count) % this.count);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  async play() {
    if (!this.count) return;
    this.setPlaying(true);
    const { video } = this.subject;
    const run = (this.run = {});
    const goesOn = () => this.run === run && this.subject?.video === video;
    for (let due = performance.now(); goesOn();) {
      const next = (this.frame + 1) % this.count;
      due = Math.max(due + 1000 / Number(byId("fps").value), performance.now());
      const pause = new Promise((resolve) => setTimeout(resolve, due - performance.now()));
      await Promise.all([this.imagesOf(next), pause]);
      if (goesOn()) await this.show(next);
    }
  }

  pause() {
    this.run = null;
    this.setPlaying(false);
  }

  setPlaying(playing) {
    this.playing = playing;
    byId("play").setAttribute("aria-pressed", String(playing));
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  }

  // --- layers

  /** Follows the size of the window. */
  resize() {
    if (!this.subject) return;
    for (const pane of this.panes) pane.fit(this.subject.width, this.subject.height);
    this.paint();
  }

  /** Draws the layers that are on, and writes beside each of several colours what share of its layer's pixels it has. */
  paint() {
    if (!this.subject || !this.panes[0].shown) return;  // out of sight
    const { layers } = this.subject, { look } = this;
    byId("layers").style.setProperty("--opacity", look.fill === "tint" ? look.opacity : 0);
    const painted = this.panes.map((pane) => pane.paint(layers, this.frame, look));
    for (const place of document.querySelectorAll("[data-share]")) {
      const [layer, color] = [layers[place.dataset.layer], place.dataset.share];
      const shares = painted.map((counts) => counts.get(layer) ?? []).map((counts) => share(counts, color));
      place.textContent = shares.some((one) => one !== null) ? ` ${shares.map((one) => (one === null ? "–" : `${one}%`)).join(" | ")}` : "";
    }
  }

  buildLayers() {
    byId("layers").replaceChildren(...this.subject.layers.map((layer, number) => this.layerRow(layer, number)));
  }

  layerRow(layer, number) {
    const box = make("input", { type: "checkbox", id: `layer-${layer.name}`, "data-key": layer.key?.toLowerCase() });
    box.checked = layer.on;
    box.addEventListener("change", () => {
      layer.on = box.checked;
      for (const other of this.subject.layers) {
        if (layer.on && layer.excludes?.includes(other.name)) other.on = byId(`layer-${other.name}`).checked = false;
      }
      this.paint();
      this.tell();
      this.onLook();
    });
    const several = layer.colors.length > 1;
    return make("label", { class: layer.faint ? "layer other" : "layer" }, box,
      ...layer.colors.map(([, color, label], i) => swatch(color, label, several ? { "data-layer": number, "data-share": i } : null)),
      layer.about ? make("span", { class: "faint" }, layer.about) : null,
      layer.key ? make("kbd", {}, layer.key) : null);
  }

  /** Does what a key stands for: switches a layer, or leads to a frame. Returns whether it stands for anything. */
  press(key) {
    const jump = this.subject.jumps.find((one) => one.key === key);
    if (jump) this.pauseAt(jump.frame);
    const box = jump ? null : [...byId("layers").querySelectorAll("input")].find((input) => input.dataset.key === key);
    box?.click();
    return Boolean(jump || box);
  }

  // --- the words around the plot

  describe() {
    const { series, video: { frames } } = this.subject;
    const place = `${this.frame + 1} of ${frames.length}`;
    byId("where").replaceChildren(make("b", {}, frames[this.frame]), ` ${place}`);
    const numbers = series.map(({ name, values, unit }) => `${name} ${percent(values[this.frame])}${unit && ` ${unit}`}`);
    this.slider.setAttribute("aria-valuetext", [`frame ${frames[this.frame]}, ${place}`, ...numbers].join(", "));
    for (const pane of this.panes) pane.maskCanvas.setAttribute("aria-label", `Masks on frame ${frames[this.frame]}`);
    byId("legend").replaceChildren(
      ...series.map(({ name, title, color, values, unit, dashed }) =>
        make("span", { title }, make("i", { class: dashed ? "line dashed" : "line", style: { "--color": color } }), make("bdi", {}, name), " ",
          make("b", {}, percent(values[this.frame])), unit && ` ${unit}`)),
      ...this.marked.map(({ name, kind, frames: set }) =>
        make("span", { class: set.has(this.frame) ? "here" : null }, make("i", { class: `band ${kind}` }), name)),
    );
  }
}

/** What of the pixels that any colour of a layer has one of them has, in whole percent; null where there are none. */
function share(counts, number) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  return all ? Math.round((100 * counts[number]) / all) : null;
}

/** A colour with its name, drawn as a mask is: an outline in the full colour around the tint. */
function swatch(color, name, share) {
  return make("span", { class: "swatch" }, make("i", { style: { "--color": Colors.css(color) } }), make("span", {}, name),
    share ? make("span", { class: "share", ...share }) : null);
}
