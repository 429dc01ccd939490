// Elements: making and finding them, and numbers as they are written.
"use strict";

/** An element with attributes and children; strings among the children become text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") for (const [key, setting] of Object.entries(value)) element.style.setProperty(key, setting);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const signed = (value) => (value === null || value === undefined ? "–" : `${Math.abs(value) < 0.05 ? "±" : value > 0 ? "+" : "−"}${Math.abs(value).toFixed(1)}`);
const percent = (value) => value === null || value === undefined ? "–" : value.toFixed(1);
const whole = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");  // toLocaleString would first load the rules of a language
const counted = (count, word) => `${whole(count)} ${word}${count === 1 ? "" : "s"}`;

function nextOf(values, value) {
  return values[(values.indexOf(value) + 1) % values.length];
}
