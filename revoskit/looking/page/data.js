// The data of the list: what is known of every expression, and which of them pass the filters, sorted.
"use strict";

const TYPES = ["referring", "reasoning", "nonexistent"];

const Data = (() => {
  /** The index with what every expression needs at hand for listing. */
  function prepared(index) {
    index.rows = [];
    index.paired = index.methods.length > 1;
    index.columns = Math.max(1, index.methods.length);  // scores may be there without predictions
    index.videos.forEach((video, number) => {
      video.number = number;
      for (const expression of video.expressions) {
        expression.video = video;
        expression.order = index.rows.length;
        expression.haystack = `${expression.text} ${video.id}`.toLowerCase();
        index.rows.push(expression);
      }
    });
    const protocols = new Set(index.measures.map((measure) => measure.split("_")[0]));
    index.names = index.measures.map((measure) => (protocols.size > 1 ? measure.replace("_", " ") : measure.slice(measure.indexOf("_") + 1)));
    index.sources = [...new Set(index.videos.map((video) => video.source))].filter(Boolean).sort();  // an id may not say it
    index.unpredicted = index.methods.map((_, method) => tally(index.rows, (row) => Boolean(row.problems[method])).get(true) ?? 0);
    index.typed = index.rows.some((row) => row.type !== null);  // ReVOS's types are its own
    return index;
  }

  /** Rows by what `keyOf` says of them: in one pass, however many keys there are. */
  function groups(rows, keyOf) {
    const found = new Map();
    for (const row of rows) {
      const key = keyOf(row), members = found.get(key);
      if (members) members.push(row);
      else found.set(key, [row]);
    }
    return found;
  }

  /** How many rows there are of each key. */
  function tally(rows, keyOf) {
    const counts = new Map();
    for (const row of rows) {
      const key = keyOf(row);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  }

  const readIndex = () => Files.readIndex().then(prepared);

  /**
   * What a row scores: of one method, or how much more the second has than the first ("difference"). Null where there is
   * nothing to score: a prediction that is missing counts 0 in the means by rule, not by what was drawn.
   */
  function scoreOf(row, { of, measure }) {
    if (of !== "difference") return drawn(row, of, measure);
    const a = drawn(row, 0, measure), b = drawn(row, 1, measure);
    return a === null || b === null ? null : b - a;
  }

  const drawn = (row, method, measure) => (row.problems[method] ? null : (row.scores[method]?.[measure] ?? null));

  /** Which method a difference speaks for: 0, 1, or "level" where it would be shown as 0.0. */
  const ahead = (difference) => (Math.abs(difference) < 0.05 ? "level" : difference > 0 ? 1 : 0);

  /** What the list shows: expressions that pass the filters, as rows, sorted. */
  function select(index, filter) {
    const { words, types, sources, unpredicted, leading, slice, lowest, highest, sort, byVideo } = filter;
    const terms = words.toLowerCase().split(/\s+/).filter(Boolean);
    const bounded = lowest !== null || highest !== null;
    const passing = index.rows.filter((row) => {
      if (types.size && !types.has(row.type)) return false;
      if (sources.size && !sources.has(row.video.source)) return false;
      if (unpredicted.size && ![...unpredicted].some((method) => row.problems[method])) return false;
      if (slice && row.slices[slice.attribute] !== slice.value) return false;
      if (leading.size) {
        const difference = scoreOf(row, { of: "difference", measure: filter.measure });
        if (difference === null || !leading.has(ahead(difference))) return false;
      }
      if (bounded) {
        const score = scoreOf(row, filter);
        if (score === null || score < (lowest ?? -Infinity) || score > (highest ?? Infinity)) return false;
      }
      return terms.every((term) => row.haystack.includes(term));
    });
    const rows = byVideo ? grouped(passing, filter) : passing.map((row) => asRow(row, filter));
    return { expressions: passing.length, rows: rows.sort(ORDERS[sort]) };
  }

  function asRow(expression, filter) {
    return { video: expression.video, expression, score: scoreOf(expression, filter), problem: problemOf(expression, filter), order: expression.order };
  }

  /** Why a row has no score: what is wrong with the prediction, or with which of two. */
  function problemOf({ problems }, { of }) {
    if (of !== "difference") return problems[of] ?? null;
    return problems.map((problem, method) => problem && `${Compared.LETTERS[method]} ${problem}`).filter(Boolean).join(", ") || null;
  }

  function grouped(expressions, filter) {
    return [...groups(expressions, (expression) => expression.video)].map(([video, members]) => {
      const without = members.filter((member) => problemOf(member, filter));
      return {
        video,
        members,
        without: without.length,
        expression: worstOf(members, filter),
        score: mean(members.map((member) => scoreOf(member, filter))),
        problem: without.length ? problemOf(without[0], filter) : null,
        order: video.number,
      };
    });
  }

  /** Of a video's expressions, the one that its row shows and opens: the worst, or that on which two methods differ most. */
  function worstOf(members, filter) {
    const score = (member) => {
      const found = scoreOf(member, filter);
      return found === null ? Infinity : filter.of === "difference" ? -Math.abs(found) : found;
    };
    return members.reduce((worst, member) => (score(member) < score(worst) ? member : worst));
  }

  /** The mean of the numbers among the values; null where there are none. */
  function mean(values) {
    let sum = 0, count = 0;
    for (const value of values) {
      if (typeof value !== "number") continue;
      sum += value;
      count++;
    }
    return count ? sum / count : null;
  }

  const text = (row) => row.members ? row.video.id : row.expression.text;
  // Those without a score come last, and after them those that have no prediction to look at.
  const last = (row, sign) => row.score !== null ? sign * row.score : row.problem ? Infinity : Number.MAX_VALUE;
  const apart = (row) => row.score === null ? last(row, 1) : -Math.abs(row.score);
  const difference = (a, b) => a === b ? 0 : a - b;
  const ORDERS = {
    worst: (a, b) => difference(last(a, 1), last(b, 1)) || a.order - b.order,
    apart: (a, b) => difference(apart(a), apart(b)) || a.order - b.order,
    best: (a, b) => difference(last(a, -1), last(b, -1)) || a.order - b.order,
    file: (a, b) => a.order - b.order,
    text: (a, b) => text(a).localeCompare(text(b)) || a.order - b.order,
    frames: (a, b) => b.video.frames - a.video.frames || a.order - b.order,
  };

  return { readIndex, select, groups, tally, scoreOf, ahead, mean };
})();

/** A score's colour, from vermilion over amber to green; never the only sign of it. */
function scoreColor(score) {
  const stops = [[213, 94, 0], [230, 159, 0], [0, 158, 115]];
  const at = Math.max(0, Math.min(1, score / 100)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(at));
  const mixed = stops[low].map((value, i) => Math.round(value + (stops[low + 1][i] - value) * (at - low)));
  return `rgb(${mixed.join(" ")})`;
}
