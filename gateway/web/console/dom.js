// Making and changing elements. Text is only ever set as text: nothing that a venue or caller says becomes markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function say(element, text) {
  const said = text === null || text === undefined ? "" : String(text);
  if (element.textContent !== said) element.textContent = said;
}

export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A ring that fills as tokens are spent: `fill(used, of)`. */
export function ring(size) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ viewBox: "0 0 36 36", width: size, height: size, "aria-hidden": "true" })) {
    svg.setAttribute(name, value);
  }
  svg.classList.add("ring");
  const [track, arc] = ["track", "arc"].map((kind) => {
    const circle = document.createElementNS(SVG, "circle");
    for (const [name, value] of Object.entries({ cx: 18, cy: 18, r: 15.915 })) circle.setAttribute(name, value);
    circle.classList.add(kind);
    return circle;
  });
  svg.append(track, arc);
  const fill = (used, of) => {
    const part = of ? Math.min(1, Math.max(0, used / of)) : 0;
    mark(arc, "stroke-dasharray", `${(part * 100).toFixed(1)} 100`);
    mark(svg, "data-level", part >= 1 ? "full" : part >= 0.7 ? "high" : part > 0 ? "some" : "none");
  };
  return { svg, fill };
}

export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ms`;
}

export function age(value_ms) {
  const s = Math.max(0, Math.floor(value_ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
}

export function clockTime(at_ms) {
  const at = new Date(at_ms);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** A long id, cut in the middle. */
export function short(text, most = 24) {
  return text.length <= most ? text : `${text.slice(0, most - 9)}…${text.slice(-8)}`;
}

// -- what counts down or up between two pieces of news ------------------------------------------------------------

const ticking = new Map();
let ahead_ms = 0;

export const setClock = (server_now_ms) => { ahead_ms = server_now_ms - Date.now(); };
export const serverNow = () => Date.now() + ahead_ms;

/** Have `text(now)` said by the element ten times a second; null stops it. */
export function tick(element, text) {
  if (text === null) ticking.delete(element);
  else {
    ticking.set(element, text);
    say(element, text(serverNow()));
  }
}

setInterval(() => {
  const now = serverNow();
  for (const [element, text] of ticking) {
    if (element.isConnected) say(element, text(now));
    else ticking.delete(element);
  }
}, 100);
