"use strict";
(() => {
const data = JSON.parse(document.getElementById("page-data").textContent);
const gallery = data.gallery, samples = gallery.samples || [];
const root = document.documentElement, by = id => document.getElementById(id);
const COLOURS = ["#3b82f6", "#d97706", "#10a37f", "#a855f7", "#ef4444", "#06b6d4", "#84cc16", "#ec4899", "#a16207", "#64748b"];
const SYMBOLS = ["circle", "diamond", "square", "triangle-up", "x", "cross", "star", "pentagon"];
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
};
const themed = () => ({
  "font.color": colour("--ink"), "xaxis.gridcolor": colour("--line"), "yaxis.gridcolor": colour("--line"),
  "xaxis.linecolor": colour("--line"), "yaxis.linecolor": colour("--line"), "xaxis.zerolinecolor": colour("--line"),
  "yaxis.zerolinecolor": colour("--line"), "hoverlabel.bgcolor": colour("--card"), "hoverlabel.font.color": colour("--ink"),
});
const drawn = [];
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

// ---- curves
const base = extra => {
  const layout = {
    margin: {l: 54, r: 14, t: 8, b: 38}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: {family: "system-ui, sans-serif", size: 12, color: colour("--ink")}, hovermode: "closest", dragmode: "zoom",
    xaxis: {gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line")},
    yaxis: {automargin: true, gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line")},
    hoverlabel: {bgcolor: colour("--card"), font: {color: colour("--ink")}, align: "left"},
    legend: {orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: {size: 11}},
  };
  return Object.assign(layout, extra);
};
const SETTINGS = {displaylogo: false, responsive: true, displayModeBar: false};
const wrapped = text => escaped(text).replace(/(.{1,60})(\s|$)/g, "$1<br>");
const escaped = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const draw = (element, traces, layout, settings) => { Plotly.newPlot(element, traces, layout, settings); drawn.push(element); };

const traces = figure => {
  const lines = figure.lines.map((line, i) => ({
    type: "scatter", x: line.x, y: line.y, name: escaped(line.name),
    mode: line.style !== "dash" && line.x.length <= 3 ? "lines+markers" : "lines",
    line: {color: COLOURS[line.colour % COLOURS.length], dash: line.style, width: line.style === "dash" ? 1.5 : 2},
    marker: {size: 5}, opacity: line.style === "dash" ? 0.7 : 1,
  }));
  const ys = figure.lines.flatMap(line => line.y), bottom = Math.min(...ys);
  for (const [kind, symbol, shade] of [["warning", "triangle-up", "#d97706"], ["resume", "circle-open", "#9333ea"]]) {
    const marks = figure.marks.filter(mark => mark.kind === kind);
    if (!marks.length) continue;
    lines.push({
      type: "scatter", mode: "markers", name: kind === "resume" ? "continued" : kind, x: marks.map(mark => mark.step),
      y: marks.map(() => bottom), text: marks.map(mark => wrapped(mark.text)), hoverinfo: "text", cliponaxis: false,
      marker: {symbol, size: 11, color: shade, line: {width: 2, color: shade}},
    });
  }
  return lines;
};
const curve = figure => {
  const all = traces(figure), layout = base({showlegend: all.length > 1});
  layout.xaxis.title = {text: "step", standoff: 4};
  layout.xaxis.tickformat = ",d";
  if (Math.max(...figure.lines.flatMap(line => line.x)) <= 5) layout.xaxis.dtick = 1;
  if (figure.from_zero) layout.yaxis.rangemode = "tozero";
  layout.yaxis.title = {text: escaped(figure.unit), standoff: 6};
  if (all.length > 1) layout.margin.t = 26 + (data.several ? 14 * Math.ceil(all.length / 2) : 0);
  const resumes = figure.marks.filter(mark => mark.kind === "resume");
  layout.shapes = resumes.map(mark => ({
    type: "line", x0: mark.step, x1: mark.step, yref: "paper", y0: 0, y1: 1, line: {color: "#9333ea", width: 1, dash: "dot"},
  }));
  if (data.several && all.length > 3) by(figure.id).style.height = `${230 + 14 * Math.ceil(all.length / 2)}px`;
  draw(by(figure.id), all, layout, SETTINGS);
};
data.figures.forEach(curve);

// ---- filter
const filter = {edge: null, view: null};
const edgeViews = {};
document.querySelectorAll("[data-of-edge]").forEach(card => { edgeViews[card.dataset.ofEdge] = JSON.parse(card.dataset.views); });
const kept = element => {
  const views = JSON.parse(element.dataset.views || "[]"), edge = element.dataset.ofEdge;
  if (!views.length && !edge) return true;
  if (filter.edge !== null) {
    if (edge) return edge === filter.edge;
    return views.every(view => (edgeViews[filter.edge] || []).includes(view));
  }
  return filter.view === null || views.includes(filter.view);
};
const applyFilter = () => {
  const on = filter.edge !== null || filter.view !== null, chip = by("filter");
  chip.hidden = !on;
  chip.textContent = filter.edge !== null ? `only edge ${filter.edge}  ✕` : `only view ${filter.view}  ✕`;
  document.querySelectorAll("[data-views]").forEach(element => element.classList.toggle("out", !kept(element)));
  document.querySelectorAll("#graph-drawing g[role]").forEach(g => {
    const active = g.dataset.edge !== undefined ? g.dataset.edge === filter.edge : g.dataset.view === filter.view;
    g.classList.toggle("on", on && active);
    const near = g.dataset.edge !== undefined ? filter.edge === null : filter.edge === null || (edgeViews[filter.edge] || []).includes(g.dataset.view);
    g.classList.toggle("faded", on && !active && !near);
  });
  drawn.forEach(plot => { if (plot.offsetParent) Plotly.Plots.resize(plot); });
};
const choose = (edge, view) => {
  const same = filter.edge === edge && filter.view === view;
  filter.edge = same ? null : edge;
  filter.view = same ? null : view;
  applyFilter();
};
document.querySelectorAll("#graph-drawing g[role]").forEach(g => {
  const act = () => choose(g.dataset.edge ?? null, g.dataset.view ?? null);
  g.addEventListener("click", act);
  g.addEventListener("keydown", event => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); } });
});
by("filter").addEventListener("click", () => choose(filter.edge, filter.view));

// ---- samples
const labelOf = i => (samples[i].label >= 0 ? (gallery.classes || [])[samples[i].label] || "" : "");
const tile = (view, i, tag = "div") => {
  const element = make(tag, "sample"), picture = ((gallery.pictures || {})[view] || {})[i];
  element.title = `${samples[i].id}${labelOf(i) ? ", " + labelOf(i) : ""}, ${view}`;
  if (tag === "button") element.type = "button";
  if (picture === undefined) element.append(make("span", "absent", "no picture"));
  else if (/^data:image\/jpeg;base64,[A-Za-z0-9+\/=]+$/.test(picture)) {
    const image = make("img");
    image.src = picture; image.alt = element.title;
    element.append(image);
  } else element.append(make("span", "text", picture));
  element.append(make("span", "of", labelOf(i) || samples[i].id));
  return element;
};
const strip = (...tiles) => { const element = make("div", "strip"); element.append(...tiles); return element; };
const line = (rows, what, tiles) => {
  const element = make("div", "line");
  element.append(make("div", "what", what), strip(...tiles));
  rows.append(element);
};
const found = (view, of, query) => of.top.map(i => { const each = tile(view, i); if (i === query) each.classList.add("own"); return each; });
const rankText = (view, of) => (of.rank ? `nearest by ${view}; its own is number ${of.rank}` : `nearest by ${view}`);

const queries = new Map((gallery.queries || []).map(query => [query.sample, query.found]));
const showQuery = sample => {
  document.querySelectorAll("#queries .sample").forEach(each => each.classList.toggle("on", Number(each.dataset.sample) === sample));
  const rows = make("div", "rows"), views = gallery.views;
  rows.append(make("h4", "", `query ${samples[sample].id}${labelOf(sample) ? ", " + labelOf(sample) : ""}`));
  line(rows, "the query in every view", views.map(view => { const each = tile(view, sample); each.querySelector(".of").textContent = view; return each; }));
  for (const to of views) {
    const block = [];
    for (const from of views) {
      const of = (queries.get(sample)[from] || {})[to];
      if (of && of.top.length) block.push([from, of]);
    }
    if (!block.length) continue;
    rows.append(make("h4", "", `found in ${to}`));
    for (const [from, of] of block) line(rows, rankText(from, of), found(to, of, sample));
  }
  by("found").replaceChildren(rows);
};
if (samples.length && by("queries")) {
  for (const sample of queries.keys()) {
    const views = gallery.views, view = views.find(each => ((gallery.pictures || {})[each] || {})[sample] !== undefined) || views[0];
    const each = tile(view, sample, "button");
    each.dataset.sample = sample;
    each.addEventListener("click", () => showQuery(sample));
    by("queries").append(each);
  }
  if (queries.size) showQuery(queries.keys().next().value);
}

// ---- failures of a pair of views
document.querySelectorAll(".pair").forEach(button => button.addEventListener("click", () => {
  const {query, found: to} = button.dataset, box = by("failures");
  const again = button.classList.contains("on");
  document.querySelectorAll(".pair").forEach(each => each.classList.toggle("on", each === button && !again));
  if (again) { box.replaceChildren(); return; }
  const of = (gallery.failures || []).find(each => each.query === query && each.gallery === to);
  if (!of) { box.replaceChildren(make("p", "legend", `No failures of ${query} → ${to} are stored.`)); return; }
  const rows = make("div", "rows");
  rows.append(make("h4", "", `${query} → ${to}: ${of.missed} of ${of.of} queries did not find their own sample first` + (of.cases.length < of.missed ? `; ${of.cases.length} of them, spread evenly` : "")));
  for (const each of of.cases) {
    const own = tile(to, each.sample);
    own.classList.add("own");
    line(rows, `query, its own (number ${each.rank}), and what was found instead`, [tile(query, each.sample), own, make("span", "arrow", "→"), ...found(to, each, each.sample)]);
  }
  box.replaceChildren(rows);
}));

// ---- map
const plane = gallery.map;
if (samples.length && plane && by("map-plot")) {
  const views = Object.keys(plane.points), labels = samples.map((_, i) => labelOf(i)), classes = [...new Set(labels)].filter(Boolean).sort();
  const colourBy = by("map-colour");
  if (classes.length < 2) { colourBy.value = "view"; colourBy.closest("label").hidden = true; }
  const shade = i => COLOURS[Math.max(classes.indexOf(labels[i]), 0) % COLOURS.length];
  by("map-share").textContent = `Two principal components of the embeddings of ${views.join(", ")}: ${Math.round(100 * (plane.share[0] + plane.share[1]))} % of the variance.` + (plane.left_out.length ? ` Left out, because of another width: ${plane.left_out.join(", ")}.` : "");
  const trace = (view, at, name, extra) => ({
    type: "scatter", mode: "markers", name: escaped(name), x: at.map(i => plane.points[view][i][0]), y: at.map(i => plane.points[view][i][1]),
    customdata: at, text: at.map(i => escaped(`${samples[i].id}${labels[i] ? ", " + labels[i] : ""}, ${view}`)), hoverinfo: "text", ...extra,
  });
  const of = view => samples.map((_, i) => i).filter(i => plane.points[view][i]);
  const clouds = () => {
    const size = samples.length > 600 ? 5 : 8;
    if (colourBy.value === "view") return views.map((view, k) => trace(view, of(view), view, {marker: {size, color: COLOURS[k % COLOURS.length], symbol: SYMBOLS[k % SYMBOLS.length], opacity: 0.75}}));
    const points = views.map((view, k) => trace(view, of(view), view, {showlegend: false, marker: {size, color: of(view).map(shade), symbol: SYMBOLS[k % SYMBOLS.length], opacity: 0.75}}));
    const shapes = views.map((view, k) => ({type: "scatter", mode: "markers", x: [null], y: [null], name: escaped(view), marker: {size: 9, color: "#888", symbol: SYMBOLS[k % SYMBOLS.length]}}));
    const names = classes.slice(0, 20).map((name, k) => ({type: "scatter", mode: "markers", x: [null], y: [null], name: escaped(name.length > 24 ? name.slice(0, 23) + "…" : name), marker: {size: 9, color: COLOURS[k % COLOURS.length]}}));
    return [...points, ...shapes, ...names];
  };
  const layout = () => base({dragmode: "lasso", showlegend: true, margin: {l: 40, r: 14, t: 34, b: 34}, legend: {orientation: "h", y: -0.08, yanchor: "top", x: 0, font: {size: 11}}, modebar: {bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent")}});
  const element = by("map-plot");
  const listen = () => {
    element.on("plotly_selected", event => {
      if (!event) return;
      const chosenSamples = [...new Set(event.points.map(point => point.customdata))];
      showSelected(chosenSamples);
    });
    element.on("plotly_click", event => showSelected([...new Set(event.points.map(point => point.customdata))]));
  };
  const showSelected = chosenSamples => {
    const pictured = i => gallery.views.find(view => ((gallery.pictures || {})[view] || {})[i] !== undefined);
    const ordered = [...chosenSamples].sort((a, b) => Boolean(pictured(b)) - Boolean(pictured(a)) || a - b), shown = ordered.slice(0, 60);
    by("map-said").textContent = `${chosenSamples.length} samples selected` + (shown.length < chosenSamples.length ? `; the first ${shown.length} are shown.` : ".") + " A click on a sample with a ring shows its neighbours in the gallery.";
    by("selected").replaceChildren(...shown.map(i => {
      const each = tile(pictured(i) || gallery.views[0], i, "button");
      if (queries.has(i)) {
        each.classList.add("ring");
        each.addEventListener("click", () => { showQuery(i); by("gallery").scrollIntoView({behavior: "smooth"}); });
      } else each.addEventListener("click", () => { by("map-said").textContent = `${each.title}: its neighbours are not stored.`; });
      return each;
    }));
    const first = shown.find(i => queries.has(i));
    if (first !== undefined) showQuery(first);
  };
  draw(element, clouds(), layout(), {...SETTINGS, displayModeBar: true, modeBarButtons: [["lasso2d", "select2d", "zoom2d", "pan2d", "resetScale2d"]]});
  listen();
  colourBy.addEventListener("change", () => Plotly.react(element, clouds(), layout()));
}

// ---- ten samples in all views
if (samples.length && by("samples")) {
  const table = make("table"), head = make("tr");
  head.append(make("th", "", "sample"), ...gallery.views.map(view => make("th", "", view)));
  table.append(head);
  for (const i of gallery.table || []) {
    const row = make("tr");
    row.append(make("th", "", samples[i].id));
    for (const view of gallery.views) { const cell = make("td"); cell.append(tile(view, i)); row.append(cell); }
    table.append(row);
  }
  by("samples").append(table);
}
})();
