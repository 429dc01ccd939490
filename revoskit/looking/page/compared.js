// What the player is to show of an expression: its tracks, the ground truth, and what one method or two predict for it.
"use strict";

const Compared = (() => {
  const LETTERS = ["A", "B"];
  const IN_TRUTH = 1, IN_PREDICTION = 2, BOTH = 3;
  const ERRORS = [[BOTH, Colors.RIGHT, "right"], [IN_TRUTH, Colors.MISSED, "missed"], [IN_PREDICTION, Colors.SPURIOUS, "spurious"]];

  /** How two methods may be looked at: each alone, side by side, or both in one picture. The value is the panes' methods. */
  const VIEWS = { a: [0], b: [1], side: [0, 1], both: [null] };

  /** The layers that are on when nobody has chosen any. */
  function usual(view) {
    return view === "both" ? ["method-0", "method-1"] : ["errors"];
  }

  /**
   * `names` are the methods', `data` the expression of the video's file, `view` one of VIEWS, `on` the names of the layers
   * that show; null for the usual ones.
   */
  function subject({ names, video, entry, data, view, on }) {
    const { width, height } = entry.video;
    const shown = names.length > 1 ? VIEWS[view] : [0];
    const compared = data.methods.some((one) => one.masks !== null);
    const tracks = video.tracks.map((track, i) => ({ ...track, color: Colors.TRACKS[i % Colors.TRACKS.length], named: data.tracks.includes(i) }));
    const named = tracks.filter((track) => track.named);
    const truth = (frame) => named.map((track) => [track.masks[frame], IN_TRUTH]);
    const empty = video.frames.map((_, i) => i).filter((i) => named.every((track) => Masks.area(track.masks[i]) === 0));
    const panes = shown.map((method) => (names.length > 1 && method !== null
      ? { name: names[method], color: Colors.METHODS[method], note: data.methods[method].problem }
      : { name: null }));
    const layers = [
      ...(compared ? predictionLayers(names, data, shown, truth) : []),
      { name: "truth", key: "G", colors: [[IN_TRUTH, Colors.TRUTH, "ground truth"]], masks: truth },
      ...tracks.map((track, i) => ({
        name: `track-${track.annotation}`,
        key: i < 9 ? String(i + 1) : null,
        colors: [[IN_TRUTH, track.color, `track ${track.annotation}`]],
        about: [track.object === null ? null : `object ${track.object}`, track.named ? null : "not meant"].filter(Boolean).join(", "),
        faint: !track.named,
        masks: (frame) => [[track.masks[frame], IN_TRUTH]],
      })),
    ];
    const usually = compared ? usual(view) : named.map((track) => `track-${track.annotation}`);
    const chosen = new Set(on ?? usually);
    for (const layer of layers) layer.on = chosen.has(layer.name);
    return { video, width, height, panes, layers, usually, empty, jumps: jumps(names, data, shown), ...curves(names, data, named, width * height) };
  }

  function predictionLayers(names, data, shown, truth) {
    const layers = [];
    const errors = (frame, pane) => {
      const { masks } = data.methods[shown[pane]];
      return masks === null ? [] : [...truth(frame), [masks[frame], IN_PREDICTION]];
    };
    if (shown[0] !== null) layers.push({ name: "errors", key: "E", colors: ERRORS, masks: errors });
    names.forEach((name, method) => {
      const { masks } = data.methods[method];
      const here = shown[0] === null ? [0] : shown.flatMap((one, pane) => (one === method ? [pane] : []));
      if (masks === null || !here.length) return;
      layers.push({
        name: names.length > 1 ? `method-${method}` : "prediction",
        key: names.length > 1 ? LETTERS[method] : "P",
        colors: [[IN_PREDICTION, Colors.METHODS[method], names.length > 1 ? name : "prediction"]],
        masks: (frame, pane) => (here.includes(pane) ? [[masks[frame], IN_PREDICTION]] : []),
      });
    });
    return layers;
  }

  /** Where it is worth going: the worst frame of what is in sight, and where two methods differ most. */
  function jumps(names, data, shown) {
    const sums = data.methods.map(({ J, F }) => J && J.map((j, i) => j + F[i]));
    const inSight = (shown[0] === null ? [0, 1] : shown).map((method) => sums[method]).filter(Boolean);
    const found = [];
    if (inSight.length) {
      const worst = inSight[0].map((_, i) => inSight.reduce((sum, one) => sum + one[i], 0));
      found.push({ label: "Worst frame", key: "w", frame: worst.indexOf(Math.min(...worst)) });
    }
    if (names.length > 1 && sums[0] && sums[1]) {
      const apart = sums[0].map((sum, i) => Math.abs(sums[1][i] - sum));
      found.push({ label: "Largest difference", key: "d", frame: apart.indexOf(Math.max(...apart)) });
    }
    return found;
  }

  /** J and F of each method; without any, the share of the frame that each object covers. */
  function curves(names, data, named, pixels) {
    const scored = data.methods.map((one, method) => ({ ...one, method })).filter((one) => one.J);
    if (!scored.length) {
      const series = named.map((track) => ({
        name: `Track ${track.annotation}`,
        title: "share of the frame that it covers",
        color: Colors.css(track.color),
        values: track.masks.map((mask) => (100 * Masks.area(mask)) / pixels),
        unit: "% of the frame",
      }));
      const top = series.reduce((top, { values }) => values.reduce((a, b) => Math.max(a, b), top), 0);
      return { series, top, label: "Share of the frame that each object covers, by frame" };
    }
    const series = scored.flatMap(({ method, J, F }) => [["J", "region similarity", J], ["F", "boundary measure", F]].map(([name, title, values]) => ({
      name: names.length > 1 ? `${LETTERS[method]} ${name}` : name,
      title: names.length > 1 ? `${title} of ${names[method]}` : title,
      color: names.length > 1 ? `var(--method-${method})` : `var(--plot-${name.toLowerCase()})`,
      dashed: names.length > 1 && name === "F",
      values: values.map((value) => value * 100),
      unit: "",
    })));
    const means = series.map(({ name, values }) => `mean ${name} ${percent(Data.mean(values))}`);
    return { series, top: 100, label: `Region similarity J and boundary measure F by frame: ${means.join(", ")}` };
  }

  return { LETTERS, VIEWS, IN_TRUTH, IN_PREDICTION, ERRORS, subject };
})();
