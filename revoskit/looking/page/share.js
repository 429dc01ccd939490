// What is taken out of the page: a link to what is in sight, that as a picture, and a figure of chosen frames for a paper.
//
// A page that was opened from disk may show pictures but not read them, so that whoever wants one with its frame has to
// hand over the folder of the video's frames. From a server the page reads them itself.
"use strict";

class Share {
  static GAP = 12;
  static INK = "#1c1d1f";
  static FAINT = "#62656c";

  constructor(app) {
    this.app = app;
    this.given = new Map();  // files that the user handed over, by the address of their folder and their name
    byId("copy-link").addEventListener("click", () => this.copyLink());
    byId("save-png").addEventListener("click", () => this.save("png"));
    byId("save-svg").addEventListener("click", () => this.save("svg"));
    byId("strip-add").addEventListener("click", () => this.add());
    byId("frames-folder").addEventListener("change", (event) => this.take(event.target.files));
    byId("frames-linked").addEventListener("click", () => { byId("frames-needed").close(); this.run(() => this.saveFigure(true)); });
  }

  get subject() {
    return this.app.player.subject;
  }

  say(words) {
    byId("share-said").textContent = words;
  }

  async copyLink() {
    const { app } = this;
    history.replaceState(null, "", app.address(app.entry, app.player.frame));
    try {
      await navigator.clipboard.writeText(location.href);
      this.say("Copied.");
    } catch {
      this.say("This browser lets no page copy: take the address from its bar.");
    }
  }

  /** Adds the frame in sight to the figure. */
  add() {
    const name = this.subject.video.frames[this.app.player.frame];
    const names = this.names;
    if (!names.includes(name)) byId("strip-frames").value = [...names, name].join(" ");
    this.say("");
  }

  get names() {
    return byId("strip-frames").value.split(/[\s,]+/).filter(Boolean);
  }

  /** The frames that a figure is to have, by number; that in sight, where none is named. */
  chosen() {
    const { frames } = this.subject.video;
    const found = this.names.map((name) => [name, frames.indexOf(name)]);
    const unknown = found.find(([, number]) => number < 0);
    if (unknown) throw new Error(`This video has no frame ${unknown[0]}. They are called ${frames[0]} to ${frames.at(-1)}.`);
    return found.length ? found.map(([, number]) => number) : [this.app.player.frame];
  }

  save(kind) {
    this.kind = kind;
    return this.run(() => (kind === "png" ? this.savePicture() : this.saveFigure()));
  }

  async run(work) {
    try {
      this.say("");
      await work();
    } catch (error) {
      this.say(error.message);
    }
  }

  // --- frames

  /** The bytes of a frame; null where there are none. Undefined where the page may not read them. */
  async bytes(frame) {
    const { video } = this.subject;
    if (video.absent.includes(frame)) return null;
    const given = this.given.get(`${video.folder}/${video.frames[frame]}.jpg`);
    if (given) return given;
    if (!/^https?:/.test(location.protocol)) return undefined;
    const answer = await fetch(this.app.player.address(frame));
    return answer.ok ? answer.blob() : null;
  }

  /** The bytes of several frames; asks for their folder and returns null where the page may not read them. */
  async read(frames) {
    const found = await Promise.all(frames.map((frame) => this.bytes(frame)));
    if (!found.includes(undefined)) return found;
    const { folder } = this.subject.video;
    byId("frames-where").textContent = decodeURIComponent(new URL(`${folder}/`, location.href).pathname);
    byId("frames-linked").hidden = this.kind !== "svg";
    byId("frames-said").textContent = "";
    byId("frames-folder").value = "";
    byId("frames-needed").showModal();
    return null;
  }

  take(files) {
    const { folder, frames } = this.subject.video;
    for (const file of files) this.given.set(`${folder}/${file.name}`, file);
    const lacking = frames.filter((name, i) => !this.subject.video.absent.includes(i) && !this.given.has(`${folder}/${name}.jpg`));
    if (lacking.length) {
      byId("frames-said").textContent = `There is no ${lacking[0]}.jpg in that folder.`;
      return;
    }
    byId("frames-needed").close();
    this.save(this.kind);
  }

  // --- words that stand on either

  /** The expression, where it is from, and what the colours mean. */
  get caption() {
    const { entry, index } = this.app;
    const { layers, panes } = this.subject;
    const legend = layers.filter((layer) => layer.on).flatMap((layer) => layer.colors.map(([, color, label]) => [color, label]));
    const method = panes.length === 1 && index.methods.length === 1 ? ` · ${index.methods[0]}` : "";
    return { text: entry.text, place: `${entry.video.id} · expression ${entry.id}${method}`, legend };
  }

  fileName(ending) {
    const { entry, player } = this.app;
    const parts = [entry.video.id, entry.id, ...(ending === "png" ? [player.subject.video.frames[player.frame]] : [])];
    return `${parts.join("_").replace(/[^\p{L}\p{N}.-]+/gu, "_")}.${ending}`;
  }

  download(blob, ending) {
    const link = make("a", { href: URL.createObjectURL(blob), download: this.fileName(ending) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    this.say(`Saved as ${link.download}.`);
  }

  // --- the picture

  async savePicture() {
    const { player } = this.app;
    const { frame, panes } = player;
    const { width, height, video } = this.subject;
    const bytes = await this.read([frame]);
    if (!bytes) return;
    const image = bytes[0] && (await createImageBitmap(bytes[0]));
    const { text, place, legend } = this.caption;
    const unit = Math.max(11, Math.round(width / 45)), pad = unit;
    const canvas = make("canvas", {}), context = canvas.getContext("2d");
    const wide = panes.length * width + (panes.length - 1) * Share.GAP;
    const font = (weight, size) => { context.font = `${weight} ${size}px system-ui, sans-serif`; };
    font(600, unit * 1.3);
    const lines = wrapped(context, text, wide - 2 * pad, 4);
    const named = this.subject.panes.some((pane) => pane.name);
    const head = pad + lines.length * unit * 1.7 + unit * 1.7 + (named ? unit * 1.8 : 0);
    font(400, unit);
    const places = legendPlaces(legend, (label) => context.measureText(label).width, unit, wide - 2 * pad);
    Object.assign(canvas, { width: wide, height: Math.ceil(head + height + pad + places.rows * unit * 1.8) });
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.textBaseline = "top";
    context.fillStyle = Share.INK;
    font(600, unit * 1.3);
    lines.forEach((line, i) => context.fillText(isolated(line), pad, pad + i * unit * 1.7));
    font(400, unit);
    context.fillStyle = Share.FAINT;
    context.fillText(isolated(`${place} · frame ${video.frames[frame]}`), pad, pad + lines.length * unit * 1.7);
    const painting = new Masks.Painting(width, height);  // finer than on the screen, where that is small
    const look = player.look, masks = make("canvas", { width, height });
    panes.forEach((pane, i) => {
      const left = i * (width + Share.GAP);
      font(600, unit);
      context.fillStyle = Share.INK;
      if (named) context.fillText(isolated(fitting(context, this.subject.panes[i].name ?? "", width - 2 * pad)), left + pad, head - unit * 1.6);
      context.fillStyle = "black";
      context.fillRect(left, head, width, height);
      if (image) context.drawImage(image, left, head, width, height);
      painting.begin(look.fill, look.opacity, Math.max(1, Math.round(width / 400)));
      for (const layer of this.subject.layers) if (layer.on) painting.add(layer.masks(frame, pane.number), layer.colors);
      painting.end();
      masks.getContext("2d").putImageData(painting.image, 0, 0);
      context.drawImage(masks, left, head);
    });
    font(400, unit);
    legend.forEach(([color, label], i) => {
      const [x, row] = places.at[i], top = head + height + pad + row * unit * 1.8;
      context.fillStyle = Colors.css(color);
      context.fillRect(pad + x, top, unit, unit);
      context.fillStyle = Share.INK;
      context.fillText(isolated(label), pad + x + unit * 1.5, top);
    });
    this.download(await new Promise((resolve) => canvas.toBlob(resolve, "image/png")), "png");
  }

  // --- the figure

  /** Chosen frames as SVG, a row for each pane, outlines as paths; frames within the file, or linked where they lie. */
  async saveFigure(linked = false) {
    const frames = this.chosen();
    const bytes = linked ? frames.map(() => null) : await this.read(frames);
    if (!bytes) return;
    const { player } = this.app;
    const sources = await Promise.all(frames.map((frame, i) => (linked ? new URL(player.address(frame), location.href).href : bytes[i] && dataAddress(bytes[i]))));
    const { width, height, panes } = this.subject;
    const unit = width / 24, gap = width / 60;
    const wide = frames.length * width + (frames.length - 1) * gap;
    const measuring = make("canvas", {}).getContext("2d");
    measuring.font = `600 ${unit * 1.2}px sans-serif`;
    const { text, place, legend } = this.caption;
    const lines = wrapped(measuring, text, wide, 3);
    measuring.font = `400 ${unit}px sans-serif`;
    const places = legendPlaces(legend, (label) => measuring.measureText(label).width, unit, wide);
    const figure = shape("svg", { xmlns: "http://www.w3.org/2000/svg", "font-family": "sans-serif", "font-size": unit, fill: Share.INK });
    let top = unit * 1.2;
    const say = (words, x, attributes = {}) => figure.append(written(clean(words), { x, y: top, ...attributes }));
    for (const line of lines) {
      say(line, 0, { "font-weight": 600, "font-size": unit * 1.2 });
      top += unit * 1.6;
    }
    say(place, 0, { fill: Share.FAINT });
    top += unit * 0.8;
    panes.forEach((pane, number) => {
      if (pane.name) {
        top += unit * 1.1;
        say(pane.name, 0, { "font-weight": 600 });
        top += unit * 0.5;
      }
      frames.forEach((frame, i) => figure.append(this.cell(number, frame, sources[i], i * (width + gap), top)));
      top += height;
    });
    top += unit * 1.2;
    frames.forEach((frame, i) => say(this.subject.video.frames[frame], i * (width + gap) + width / 2, { "text-anchor": "middle", fill: Share.FAINT }));
    legend.forEach(([color, label], i) => {
      const [x, row] = places.at[i], y = top + (row + 0.8) * unit * 1.6;
      figure.append(shape("rect", { x, y, width: unit, height: unit, fill: Colors.css(color) }), written(clean(label), { x: x + unit * 1.4, y: y + unit * 0.85 }));
    });
    top += (places.rows + 0.8) * unit * 1.6;
    for (const [name, value] of Object.entries({ viewBox: `0 0 ${wide.toFixed(1)} ${top.toFixed(1)}`, width: wide.toFixed(1), height: top.toFixed(1) })) figure.setAttribute(name, value);
    this.download(new Blob([new XMLSerializer().serializeToString(figure)], { type: "image/svg+xml" }), "svg");
  }

  /** One frame of one pane. */
  cell(pane, frame, source, x, y) {
    const { width, height, layers } = this.subject;
    const { fill, opacity } = this.app.player.look;
    const cell = shape("svg", { x: x.toFixed(1), y: y.toFixed(1), width, height, viewBox: `0 0 ${width} ${height}` });
    cell.append(shape("rect", { width, height, fill: "#0b0c0e" }));
    if (source) cell.append(shape("image", { href: source, width, height, preserveAspectRatio: "none" }));
    const shown = layers.filter((layer) => layer.on).map((layer) => [layer, layer.masks(frame, pane)]);
    const outside = { darken: "black", lighten: "white" }[fill];
    const all = new Uint8Array(width * height);
    const regions = [];
    for (const [layer, masks] of shown) {
      const marks = new Uint8Array(width * height);
      let box = null;
      for (const [counts, bit] of masks) box = Masks.around(box, Masks.mark(counts, marks, { width, height, step: 1 }, height, bit));
      if (!box) continue;
      for (const [value, color] of layer.colors) regions.push([Trace.path((p) => marks[p] === value, width, height, box), Colors.css(color)]);
      if (outside) marks.forEach((mark, p) => { all[p] |= mark; });
    }
    if (outside) cell.append(shape("path", { d: Trace.path((p) => all[p] === 0, width, height), fill: outside, "fill-opacity": opacity }));
    for (const [d, color] of regions.filter(([d]) => d)) {
      cell.append(shape("path", { d, fill: fill === "tint" ? color : "none", "fill-opacity": opacity, stroke: color, "stroke-width": (width / 300).toFixed(2), "stroke-linejoin": "round" }));
    }
    return cell;
  }
}

/** Words on as many lines as they need, at most `most`; the last then ends in an ellipsis. */
function wrapped(context, text, width, most) {
  const lines = [];
  let rest = clean(text).trim();
  while (rest && lines.length < most) {
    let line = rest;
    if (context.measureText(line).width > width) {
      let low = 1, high = rest.length;
      while (low < high) {
        const middle = Math.ceil((low + high) / 2);
        if (context.measureText(rest.slice(0, middle)).width <= width) low = middle;
        else high = middle - 1;
      }
      const space = rest.lastIndexOf(" ", low);
      line = rest.slice(0, space > low / 2 ? space : low);
    }
    rest = rest.slice(line.length).trim();
    lines.push(line);
  }
  if (rest) lines[lines.length - 1] = fitting(context, `${lines.at(-1)} ${rest}`, width);
  return lines;
}

/** As much of a text as fits. */
function fitting(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let end = Math.min(text.length, 2000);
  while (end > 0 && context.measureText(`${text.slice(0, end)}…`).width > width) end -= Math.max(1, Math.floor(end / 50));
  return `${text.slice(0, end)}…`;
}

/** Where each entry of a legend stands: its x, and its row; and how many rows there are. */
function legendPlaces(legend, widthOf, unit, room) {
  let x = 0, row = 0;
  const at = legend.map(([, label]) => {
    const width = widthOf(label) + unit * 3;
    if (x > 0 && x + width > room) [x, row] = [0, row + 1];
    const place = [x, row];
    x += width;
    return place;
  });
  return { at, rows: legend.length ? row + 1 : 0 };
}

/** Text without what XML may not hold, nor what would turn the words around it. */
const clean = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g, "").replace(/\s+/g, " ").replace(/\p{Surrogate}/gu, "\ufffd");
const isolated = (text) => `\u2068${clean(text)}\u2069`;

function dataAddress(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(new Error("A frame cannot be read.")));
    reader.readAsDataURL(blob);
  });
}
