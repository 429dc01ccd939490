// The player: the frames of one video, its masks as layers, and the plot of its scores.
"use strict";

class Player {
  static TRACKS = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0], [204, 121, 167], [0, 114, 178], [240, 228, 66]];
  static TRUTH = [240, 228, 66];
  static PREDICTION = [220, 38, 127];
  static RIGHT = [0, 158, 115];
  static MISSED = [86, 180, 233];
  static SPURIOUS = [213, 94, 0];
  static AHEAD = 8;  // frames read before they are shown
  static KEPT = 32;  // frames kept at hand

  // Bits of `marks`
  static IN_TRUTH = 1;
  static IN_PREDICTION = 2;

  constructor(onFrame) {
    this.onFrame = onFrame;
    this.frame = 0;
    this.playing = false;
    this.images = new Map();
    this.comparing = { errors: true, truth: false, prediction: false };  // the user's choice, kept between expressions
    this.screen = byId("screen");
    this.frameCanvas = byId("frame");
    this.maskCanvas = byId("masks");
    this.slider = byId("slider");
    this.plot = new Plot(byId("plot"), (frame) => this.pauseAt(frame));

    this.slider.addEventListener("input", () => this.pauseAt(this.slider.valueAsNumber));
    byId("play").addEventListener("click", () => this.toggle());
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("next").addEventListener("click", () => this.step(1));
    byId("worst").addEventListener("click", () => this.toWorst());
    byId("opacity").addEventListener("input", () => this.paint());
    new ResizeObserver(() => this.paint()).observe(this.screen);
  }

  get count() {
    return this.video ? this.video.frames.length : 0;
  }

  /** Shows an expression of a video whose masks are `video`; `entry` is its row of the index. */
  open(video, entry, frame) {
    if (this.video !== video) {
      this.pause();
      this.video = video;
      this.images.clear();
      this.resize(entry.video.width, entry.video.height);
      this.frame = 0;
    }
    this.entry = entry;
    this.data = video.expressions.find((expression) => expression.id === entry.id);
    this.tracks = video.tracks.map((track, i) => ({
      ...track,
      color: Player.TRACKS[i % Player.TRACKS.length],
      named: this.data.tracks.includes(i),
    }));
    const compared = this.data.prediction !== null;
    this.visible = {
      ...(compared ? this.comparing : { errors: false, truth: false, prediction: false }),
      tracks: new Set(compared ? [] : this.tracks.filter((track) => track.named)),
    };
    this.slider.max = this.count - 1;
    byId("worst").hidden = !this.data.J;
    this.buildLayers();
    this.buildPlot();
    this.show(Math.min(frame ?? this.frame, this.count - 1));
  }

  /** Lets go of the video, so that its masks can be freed. */
  close() {
    this.pause();
    this.video = this.data = null;
    this.tracks = [];
    this.images.clear();
  }

  resize(width, height) {
    for (const canvas of [this.frameCanvas, this.maskCanvas]) Object.assign(canvas, { width, height });
    this.screen.style.setProperty("--ratio", width / height);
    this.painting = new Masks.Painting(width, height);
    this.marks = new Uint8Array(width * height);
    this.single = new Uint8Array(width * height);
  }

  // --- frames

  /** The image of a frame, once it is read; null where there is none. */
  image(frame) {
    if (!this.images.has(frame)) {
      const image = new Image();
      image.src = `${this.video.folder}/${Data.address(`${this.video.frames[frame]}.jpg`)}`;
      this.images.set(frame, image.decode().then(() => image, () => null));
      for (const kept of this.images.keys()) {
        if (this.images.size <= Player.KEPT) break;
        this.images.delete(kept);
      }
    }
    return this.images.get(frame);
  }

  async show(frame) {
    const { video } = this;
    this.frame = frame;
    this.slider.value = frame;
    const image = await this.image(frame);
    if (this.video !== video || this.frame !== frame) return;
    const context = this.frameCanvas.getContext("2d");
    context.clearRect(0, 0, this.frameCanvas.width, this.frameCanvas.height);
    if (image) context.drawImage(image, 0, 0, this.frameCanvas.width, this.frameCanvas.height);
    byId("no-frame").hidden = image !== null;
    this.paint();
    this.plot.seek(frame);
    this.describe();
    this.onFrame(frame, this.playing);
    for (let i = 1; i <= Math.min(Player.AHEAD, this.count - 1); i++) this.image((frame + i) % this.count);
  }

  pauseAt(frame) {
    this.pause();
    return this.show(frame);
  }

  step(by) {
    if (this.count) this.pauseAt((this.frame + by + this.count) % this.count);
  }

  toWorst() {
    if (!this.data?.J) return;
    const scores = this.data.J.map((j, i) => j + this.data.F[i]);
    this.pauseAt(scores.indexOf(Math.min(...scores)));
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  async play() {
    if (!this.count) return;
    this.setPlaying(true);
    const { video } = this;
    const run = (this.run = {});
    while (this.run === run && this.video === video) {
      const next = (this.frame + 1) % this.count;
      const pause = new Promise((resolve) => setTimeout(resolve, 1000 / Number(byId("fps").value)));
      await Promise.all([this.image(next), pause]);
      if (this.run === run && this.video === video) await this.show(next);
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

  // --- masks

  /** Draws the layers that are switched on, tracks below, errors on top. */
  paint() {
    if (!this.video || !this.screen.clientWidth) return;
    const { width, height } = this.maskCanvas;
    const opacity = byId("opacity").valueAsNumber / 100;
    const line = Math.max(1, Math.round((1.75 * width) / this.screen.clientWidth));
    this.painting.clear();
    for (const track of this.visible.tracks) {
      this.single.fill(0);
      Masks.mark(track.masks[this.frame], this.single, width, height, 1);
      this.painting.paint(this.single, 1, 1, track.color, opacity, line);
    }
    const { truth, prediction, errors } = this.visible;
    if (truth || prediction || errors) {
      const both = Player.IN_TRUTH | Player.IN_PREDICTION;
      this.markBoth(width, height);
      if (truth) this.painting.paint(this.marks, Player.IN_TRUTH, Player.IN_TRUTH, Player.TRUTH, opacity, line);
      if (prediction) this.painting.paint(this.marks, Player.IN_PREDICTION, Player.IN_PREDICTION, Player.PREDICTION, opacity, line);
      if (errors) {
        this.painting.paint(this.marks, both, both, Player.RIGHT, opacity, line);
        this.painting.paint(this.marks, both, Player.IN_TRUTH, Player.MISSED, opacity, line);
        this.painting.paint(this.marks, both, Player.IN_PREDICTION, Player.SPURIOUS, opacity, line);
      }
    }
    this.maskCanvas.getContext("2d").putImageData(this.painting.image, 0, 0);
    this.countErrors(errors);
  }

  markBoth(width, height) {
    this.marks.fill(0);
    for (const track of this.tracks) {
      if (track.named) Masks.mark(track.masks[this.frame], this.marks, width, height, Player.IN_TRUTH);
    }
    if (this.data.prediction) Masks.mark(this.data.prediction[this.frame], this.marks, width, height, Player.IN_PREDICTION);
  }

  /** Writes beside each kind of error what share of the object's and the prediction's pixels it has. */
  countErrors(shown) {
    const places = document.querySelectorAll("[data-share]");
    if (!shown) {
      for (const place of places) place.textContent = "";
      return;
    }
    const counts = [0, 0, 0, 0];
    for (const mark of this.marks) counts[mark]++;
    const all = counts[1] + counts[2] + counts[3];
    for (const place of places) place.textContent = all ? ` ${Math.round((100 * counts[place.dataset.share]) / all)}%` : "";
  }

  buildLayers() {
    const rows = [];
    if (this.data.prediction !== null) {
      rows.push(this.layer("errors", "E", [
        swatch(Player.RIGHT, "right", 3), swatch(Player.MISSED, "missed", 1), swatch(Player.SPURIOUS, "spurious", 2),
      ]));
      rows.push(this.layer("prediction", "P", [swatch(Player.PREDICTION, "Prediction")]));
    }
    rows.push(this.layer("truth", "G", [swatch(Player.TRUTH, "Ground truth")]));
    this.tracks.forEach((track, i) => rows.push(this.trackLayer(track, i)));
    byId("layers").replaceChildren(...rows);
  }

  layer(name, key, content) {
    const box = make("input", { type: "checkbox", id: `layer-${name}`, "data-key": key.toLowerCase() });
    box.checked = this.visible[name];
    box.addEventListener("change", () => {
      this.visible[name] = box.checked;
      if (this.data.prediction !== null) this.comparing[name] = box.checked;
      this.paint();
    });
    return make("label", { class: "layer" }, box, ...content, make("kbd", {}, key));
  }

  trackLayer(track, i) {
    const box = make("input", { type: "checkbox", "data-track": track.annotation, "data-key": i < 9 ? String(i + 1) : null });
    box.checked = this.visible.tracks.has(track);
    box.addEventListener("change", () => {
      if (box.checked) this.visible.tracks.add(track);
      else this.visible.tracks.delete(track);
      this.paint();
    });
    const name = `Track ${track.annotation}`;
    const about = track.named ? `object ${track.object}` : `object ${track.object}, not meant`;
    return make(
      "label", { class: track.named ? "layer" : "layer other" },
      box, swatch(track.color, name), make("span", { class: "faint" }, about), i < 9 ? make("kbd", {}, String(i + 1)) : null,
    );
  }

  /** Switches the layer that answers to a key. */
  press(key) {
    const box = [...byId("layers").querySelectorAll("input")].find((input) => input.dataset.key === key);
    box?.click();
    return Boolean(box);
  }

  // --- the plot and the words around it

  buildPlot() {
    const { J, F } = this.data;
    const { frames, absent } = this.video;
    const named = this.tracks.filter((track) => track.named);
    const empty = frames.map((_, i) => i).filter((i) => named.every((track) => Masks.area(track.masks[i]) === 0));
    this.marked = [
      { name: "nothing to find", kind: "empty", frames: new Set(empty) },
      { name: "frame not on disk", kind: "absent", frames: new Set(absent) },
    ].filter((mark) => mark.frames.size);
    const along = { names: frames, empty, absent };
    if (J) {
      this.series = [
        { name: "J", title: "region similarity", color: "var(--plot-j)", values: J.map((value) => value * 100), unit: "" },
        { name: "F", title: "boundary measure", color: "var(--plot-f)", values: F.map((value) => value * 100), unit: "" },
      ];
      const means = this.series.map(({ name, values }) => `mean ${name} ${percent(Data.mean(values))}`);
      this.plot.show(this.series, along, 100, `Region similarity J and boundary measure F by frame: ${means.join(", ")}`);
    } else {
      const pixels = this.maskCanvas.width * this.maskCanvas.height;
      this.series = named.map((track) => ({
        name: `Track ${track.annotation}`,
        title: "share of the frame that it covers",
        color: `rgb(${track.color.join(" ")})`,
        values: track.masks.map((mask) => (100 * Masks.area(mask)) / pixels),
        unit: "% of the frame",
      }));
      const top = Math.max(0, ...this.series.flatMap(({ values }) => values));
      this.plot.show(this.series, along, top, "Share of the frame that each object covers, by frame");
    }
  }

  describe() {
    const { frames } = this.video;
    const place = `${this.frame + 1} of ${frames.length}`;
    byId("where").replaceChildren(make("b", {}, frames[this.frame]), ` ${place}`);
    const numbers = this.series.map(({ name, values, unit }) => `${name} ${percent(values[this.frame])}${unit && ` ${unit}`}`);
    this.slider.setAttribute("aria-valuetext", [`frame ${frames[this.frame]}, ${place}`, ...numbers].join(", "));
    this.maskCanvas.setAttribute("aria-label", `Masks on frame ${frames[this.frame]}`);
    byId("legend").replaceChildren(
      ...this.series.map(({ name, title, color, values, unit }) =>
        make("span", { title }, make("i", { class: "line", style: { background: color } }), `${name} `, make("b", {}, percent(values[this.frame])), unit && ` ${unit}`)),
      ...this.marked.map(({ name, kind, frames: set }) =>
        make("span", { class: set.has(this.frame) ? "here" : null }, make("i", { class: `band ${kind}` }), name)),
    );
  }
}

/** A colour with its name; `share` says which marks' share to write behind it. */
function swatch(color, name, share) {
  return make(
    "span", { class: "swatch" },
    make("i", { style: { background: `rgb(${color.join(" ")})` } }), name,
    share ? make("span", { class: "share", "data-share": share }) : null,
  );
}
