// The colours of what is drawn over frames. Any two that can be on at once are told apart without red, green or blue
// cones as well: tests/test_gallery.py simulates that.
"use strict";

const Colors = {
  RIGHT: [0, 158, 115],
  MISSED: [86, 180, 233],
  SPURIOUS: [213, 94, 0],
  TRUTH: [240, 228, 66],
  METHODS: [[173, 22, 106], [127, 102, 245]],
  TRACKS: [[230, 159, 0], [146, 13, 191], [38, 233, 144], [183, 127, 163], [189, 255, 233], [14, 104, 62], [145, 97, 143]],

  css: (color) => `rgb(${color.join(" ")})`,
};
