const data = JSON.parse(document.getElementById("page-data").textContent);
const gallery = data.gallery, samples = gallery.samples || [];
const root = document.documentElement, by = id => document.getElementById(id);
const COLOURS = ["#3b82f6", "#d97706", "#10a37f", "#a855f7", "#ef4444", "#06b6d4", "#84cc16", "#ec4899", "#a16207", "#64748b"];
// The next ten are darker, the next ten lighter.
const shadeOf = k => {
  const base = COLOURS[k % COLOURS.length], turn = Math.floor(k / COLOURS.length) % 3;
  const mixed = v => Math.round(turn === 1 ? v * 0.55 : turn === 2 ? 255 - (255 - v) * 0.5 : v);
  return "#" + [1, 3, 5].map(at => mixed(parseInt(base.slice(at, at + 2), 16)).toString(16).padStart(2, "0")).join("");
};
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x", "cross", "star", "pentagon"];
// Names of the data may be those of JavaScript's own properties, such as constructor.
const get = (object, name) => (object && Object.hasOwn(object, name) ? object[name] : undefined);
const make = (tag, name, text) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};

// ---- light and dark
const prefers = window.matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
const isDark = () => (chosen === null ? prefers.matches : chosen === "dark");
const colour = name => getComputedStyle(root).getPropertyValue(name).trim();
const paint = dark => {
  root.dataset.theme = dark ? "dark" : "light";
  by("theme").querySelector("span").textContent = dark ? "light" : "dark";
  for (const plot of drawn) Plotly.relayout(plot, themed());
  for (const again of repainted) again();
};
const themed = () => ({
  "font.color": colour("--ink"), "xaxis.gridcolor": colour("--line"), "yaxis.gridcolor": colour("--line"),
  "xaxis.linecolor": colour("--line"), "yaxis.linecolor": colour("--line"), "xaxis.zerolinecolor": colour("--line"),
  "yaxis.zerolinecolor": colour("--line"), "hoverlabel.bgcolor": colour("--card"), "hoverlabel.font.color": colour("--ink"),
});
const drawn = [], repainted = [];
by("theme").addEventListener("click", () => { chosen = isDark() ? "light" : "dark"; paint(isDark()); });
prefers.addEventListener("change", () => paint(isDark()));
let closed = [];
window.addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  closed.forEach(each => { each.open = true; });
  paint(false);
});
window.addEventListener("afterprint", () => { closed.forEach(each => { each.open = false; }); paint(isDark()); });
paint(isDark());

// ---- the chosen edge or view, see filter.js
const filter = {edge: null, view: null}, edgeViews = new Map();
const isKept = view => (filter.edge !== null ? (edgeViews.get(filter.edge) || []).includes(view) : filter.view === null || filter.view === view);
let markKept = () => {};
