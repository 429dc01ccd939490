// Outlines of masks as paths of SVG, exactly along the edges of their pixels.
"use strict";

const Trace = (() => {
  /**
   * The path around all pixels for which `inside(place)` holds, clockwise around the outside and the other way around
   * holes. Looks within `box`, or everywhere.
   */
  function path(inside, width, height, box = { left: 0, top: 0, right: width, bottom: height }) {
    const across = width + 1;
    const next = new Map();  // from the corner where an edge begins to those where edges from there end
    const edge = (from, to) => {
      const ends = next.get(from);
      if (ends) ends.push(to);
      else next.set(from, [to]);
    };
    const has = (x, y) => x >= 0 && y >= 0 && x < width && y < height && inside(y * width + x);
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        if (!has(x, y)) continue;
        const corner = y * across + x;
        if (!has(x, y - 1)) edge(corner, corner + 1);
        if (!has(x + 1, y)) edge(corner + 1, corner + 1 + across);
        if (!has(x, y + 1)) edge(corner + 1 + across, corner + across);
        if (!has(x - 1, y)) edge(corner + across, corner);
      }
    }
    const parts = [];
    for (const start of next.keys()) while (next.get(start).length) parts.push(loop(next, start, across));
    return parts.join("");
  }

  /** Follows edges from a corner until they come back to it; those in one direction become one. */
  function loop(next, start, across) {
    let text = `M${start % across} ${Math.floor(start / across)}`;
    let at = start, step = 0, length = 0;
    const put = () => {
      if (length) text += Math.abs(step) === 1 ? `h${Math.sign(step) * length}` : `v${Math.sign(step) * length}`;
    };
    do {
      const to = next.get(at).pop();
      if (to - at !== step) {
        put();
        step = to - at;
        length = 0;
      }
      length++;
      at = to;
    } while (at !== start);
    put();
    return `${text}z`;
  }

  return { path };
})();
