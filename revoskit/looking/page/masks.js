// Masks: COCO's run-length encoding, decoded and painted. Everything here works on plain arrays and knows no page.
"use strict";

const Masks = (() => {
  let lengths = new Int32Array(4096);  // of the mask that is being read: new ones for every frame would be much to clear away

  /**
   * Run lengths of a compressed string: background and object by turns, column by column. They are to be read before the
   * next mask is.
   */
  function runs(counts) {
    if (lengths.length < counts.length) lengths = new Int32Array(2 * counts.length);
    let count = 0;
    for (let at = 0; at < counts.length;) {
      let value = 0, shift = 0, digit;
      do {
        digit = counts.charCodeAt(at++) - 48;
        value |= (digit & 31) << shift;
        shift += 5;
      } while (digit & 32);
      if (digit & 16) value |= -1 << shift;  // the last digit's fifth bit is the sign
      if (count > 2) value += lengths[count - 2];
      lengths[count++] = value;
    }
    return lengths.subarray(0, count);
  }

  /** Object pixels of a mask; null, where nothing is annotated, has none. */
  function area(counts) {
    if (counts === null) return 0;
    const lengths = runs(counts);
    let sum = 0;
    for (let i = 1; i < lengths.length; i += 2) sum += lengths[i];
    return sum;
  }

  /** Whether a mask covers a pixel of a frame that is `height` high. */
  function covers(counts, x, y, height) {
    if (counts === null) return false;
    const lengths = runs(counts), wanted = x * height + y;
    for (let i = 0, position = 0; i < lengths.length; i++) {
      position += lengths[i];
      if (position > wanted) return i % 2 === 1;
    }
    return false;
  }

  /**
   * Adds `bit` to every place of `into` that the mask covers; `grid` is { width, height, step }: row by row, and of the
   * mask's pixels one in `step` either way, the one in the middle. `tall` is the height of the mask. Returns the box
   * around them, { left, top, right, bottom } with the right and lower edge outside; null for a mask of nothing.
   */
  function mark(counts, into, { width, height, step }, tall, bit) {
    if (counts === null) return null;
    const lengths = runs(counts), middle = step >> 1;
    let position = 0, left = width, right = 0, top = height, bottom = 0;
    for (let i = 0; i < lengths.length; i++) {
      const end = position + lengths[i];
      if (i & 1) {
        for (let p = position; p < end;) {  // a column at a time
          const x = Math.floor(p / tall), from = p - x * tall, to = Math.min(tall, from + end - p);
          p += to - from;
          const at = (x - middle) / step;
          if (at < 0 || at >= width || at !== Math.floor(at)) continue;
          const first = Math.max(0, Math.ceil((from - middle) / step)), last = Math.min(height, Math.ceil((to - middle) / step));
          if (first >= last) continue;
          for (let y = first, place = first * width + at; y < last; y++, place += width) into[place] |= bit;
          if (at < left) left = at;
          if (at >= right) right = at + 1;
          if (first < top) top = first;
          if (last > bottom) bottom = last;
        }
      }
      position = end;
    }
    return bottom ? { left, top, right, bottom } : null;
  }

  /** The box around two, either of which may be null. */
  function around(a, b) {
    if (!a || !b) return a ?? b;
    return {
      left: Math.min(a.left, b.left), top: Math.min(a.top, b.top),
      right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom),
    };
  }

  /** A colour as a canvas holds it, in the byte order of every machine that browsers run on. */
  const packed = ([red, green, blue], alpha) => ((Math.round(alpha * 255) << 24) | (blue << 16) | (green << 8) | red) >>> 0;

  /**
   * A picture of masks. All fills lie below all outlines, so that each outline is in its full colour.
   *
   * `begin`, then for each layer `add`, then `end`.
   */
  class Painting {
    /** Of a frame's `width` x `height` pixels one in `step` either way: where it is shown smaller, more would be lost. */
    constructor(width, height, step = 1) {
      this.tall = height;
      width = Math.max(1, Math.floor(width / step));
      height = Math.max(1, Math.floor(height / step));
      Object.assign(this, { width, height, step });
      this.image = new ImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.marks = new Uint8Array(width * height);
      this.edges = new Uint32Array(8192);  // places of outlines, each followed by its colour
      this.edged = 0;
      this.box = null;
    }

    /**
     * `fill` says what becomes of the pixels inside masks, or outside: "tint" blends the colour over them, "darken" and
     * "lighten" leave them as they are and cover all others with black or white, "none" draws outlines alone.
     * `line` is an outline's width in pixels, 0 for none.
     */
    begin(fill, opacity, line) {
      Object.assign(this, { fill, opacity, line });
      const outside = { darken: [0, 0, 0], lighten: [255, 255, 255] }[fill];
      this.stale = this.box;  // what the last picture has that this one may not
      this.box = null;
      this.pixels.fill(outside ? packed(outside, opacity) : 0);
      if (outside || this.covered) this.stale = { left: 0, top: 0, right: this.width, bottom: this.height };
      this.covered = Boolean(outside);
      this.edged = 0;
    }

    /**
     * Draws a layer: `masks` are counts, each with the bit that it sets, and `colors` says how to draw which sum of bits.
     * Returns how many pixels each of the colours has.
     */
    add(masks, colors) {
      const { width, marks } = this;
      let box = null;
      for (const [counts, bit] of masks) box = around(box, mark(counts, marks, this, this.tall, bit));
      if (!box) return colors.map(() => 0);
      const counts = this.regions(box, colors);
      for (let y = box.top; y < box.bottom; y++) marks.fill(0, y * width + box.left, y * width + box.right);
      this.box = around(this.box, box);
      return counts;
    }

    /** Fills what is marked within the box by the colour of its value; returns how many pixels each colour has. */
    regions(box, colors) {
      const { width, height, marks, pixels, line } = this;
      const numbers = new Int8Array(256).fill(-1);  // of the colours, by the value that they are of
      colors.forEach(([value], number) => { numbers[value] = number; });
      const tints = colors.map(([, color]) => (this.fill === "tint" ? packed(color, this.opacity) : 0));
      const inks = colors.map(([, color]) => packed(color, 1));
      const counts = colors.map(() => 0);
      const leave = this.fill === "none";
      const down = line * width, right = width - line, bottom = height - line;
      for (let y = box.top; y < box.bottom; y++) {
        const ends = y * width + box.right;
        for (let x = box.left, p = y * width + x; p < ends; x++, p++) {
          const value = marks[p], number = numbers[value];
          if (number < 0) continue;
          counts[number]++;
          if (line > 0 && (x < line || y < line || x >= right || y >= bottom
            || marks[p - line] !== value || marks[p + line] !== value || marks[p - down] !== value || marks[p + down] !== value)) this.edge(p, inks[number]);
          if (leave) continue;
          pixels[p] = tints[number] && pixels[p] ? over(colors[number][1], this.opacity, pixels[p]) : tints[number];
        }
      }
      return counts;
    }

    edge(place, ink) {
      if (this.edged === this.edges.length) {
        const larger = new Uint32Array(2 * this.edged);
        larger.set(this.edges);
        this.edges = larger;
      }
      this.edges[this.edged++] = place;
      this.edges[this.edged++] = ink;
    }

    /** Finishes the picture; returns the box outside of which it is as the last one was. */
    end() {
      const { pixels, edges } = this;
      for (let i = 0; i < this.edged; i += 2) pixels[edges[i]] = edges[i + 1];
      return around(this.box, this.stale);
    }
  }

  /** A colour blended over a pixel that has one. */
  function over([red, green, blue], opacity, pixel) {
    const under = ((pixel >>> 24) / 255) * (1 - opacity), alpha = opacity + under;
    if (alpha === 0) return 0;
    const r = (red * opacity + (pixel & 255) * under) / alpha;
    const g = (green * opacity + ((pixel >>> 8) & 255) * under) / alpha;
    const b = (blue * opacity + ((pixel >>> 16) & 255) * under) / alpha;
    return ((Math.round(alpha * 255) << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
  }

  return { runs, area, covers, mark, around, Painting };
})();
