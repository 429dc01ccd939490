// Masks: COCO's run-length encoding, decoded and painted. Everything here works on plain arrays and knows no page.
"use strict";

const Masks = (() => {
  /** Run lengths of a compressed string: background and object by turns, column by column. */
  function runs(counts) {
    const lengths = [];
    for (let at = 0; at < counts.length;) {
      let value = 0, shift = 0, digit;
      do {
        digit = counts.charCodeAt(at++) - 48;
        value |= (digit & 31) << shift;
        shift += 5;
      } while (digit & 32);
      if (digit & 16) value |= -1 << shift;  // the last digit's fifth bit is the sign
      if (lengths.length > 2) value += lengths[lengths.length - 2];
      lengths.push(value);
    }
    return lengths;
  }

  /** Object pixels of a mask; null, where nothing is annotated, has none. */
  function area(counts) {
    if (counts === null) return 0;
    const lengths = runs(counts);
    let sum = 0;
    for (let i = 1; i < lengths.length; i += 2) sum += lengths[i];
    return sum;
  }

  /** Adds `bit` to every pixel of `into` (row by row, width x height) that the mask covers. */
  function mark(counts, into, width, height, bit) {
    if (counts === null) return;
    const lengths = runs(counts);
    let position = 0;
    for (let i = 0; i < lengths.length; i++) {
      const end = position + lengths[i];
      if (i & 1) {
        let x = Math.floor(position / height), y = position - x * height;
        for (let p = position; p < end; p++) {
          into[y * width + x] |= bit;
          if (++y === height) { y = 0; x++; }
        }
      }
      position = end;
    }
  }

  /** A picture of masks: colours blended over one another on a clear ground. */
  class Painting {
    constructor(width, height) {
      this.width = width;
      this.height = height;
      this.image = new ImageData(width, height);
    }

    clear() {
      this.image.data.fill(0);
    }

    /**
     * Tints the pixels of `marks` whose bits under `mask` equal `value`, and draws their inner edge solid.
     * `line` is the edge's width in pixels, 0 for none.
     */
    paint(marks, mask, value, [red, green, blue], opacity, line) {
      const { width, height } = this;
      const data = this.image.data;
      for (let y = 0, p = 0; y < height; y++) {
        for (let x = 0; x < width; x++, p++) {
          if ((marks[p] & mask) !== value) continue;
          const edge = line > 0 && (
            x < line || y < line || x >= width - line || y >= height - line ||
            (marks[p - line] & mask) !== value || (marks[p + line] & mask) !== value ||
            (marks[p - line * width] & mask) !== value || (marks[p + line * width] & mask) !== value
          );
          const q = p * 4;
          const over = edge ? 1 : opacity, under = (data[q + 3] / 255) * (1 - over), alpha = over + under;
          if (alpha === 0) continue;
          data[q] = (red * over + data[q] * under) / alpha;
          data[q + 1] = (green * over + data[q + 1] * under) / alpha;
          data[q + 2] = (blue * over + data[q + 2] * under) / alpha;
          data[q + 3] = alpha * 255;
        }
      }
    }
  }

  return { runs, area, mark, Painting };
})();
