// ---- filter
document.querySelectorAll("[data-of-edge]").forEach(card => { edgeViews.set(card.dataset.ofEdge, JSON.parse(card.dataset.views)); });
const kept = element => {
  const views = JSON.parse(element.dataset.views || "[]"), edge = element.dataset.ofEdge;
  if (!views.length && !edge) return true;
  if (filter.edge !== null) {
    if (edge) return edge === filter.edge;
    return element.tagName === "FIGURE" ? views.some(isKept) : views.every(isKept);
  }
  return filter.view === null || views.includes(filter.view);
};
markKept = () => document.querySelectorAll("[data-views]").forEach(element => element.classList.toggle("out", !kept(element)));
const applyFilter = () => {
  const on = filter.edge !== null || filter.view !== null, chip = by("filter");
  chip.hidden = !on;
  chip.textContent = filter.edge !== null ? `only edge ${filter.edge}  ✕` : `only view ${filter.view}  ✕`;
  markKept();
  document.querySelectorAll("#graph-drawing g[role]").forEach(g => {
    const active = g.dataset.edge !== undefined ? g.dataset.edge === filter.edge : g.dataset.view === filter.view;
    g.classList.toggle("on", on && active);
    const near = g.dataset.edge !== undefined ? filter.edge === null : filter.edge === null || isKept(g.dataset.view);
    g.classList.toggle("faded", on && !active && !near);
  });
  repainted.forEach(again => again());
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


// ---- drawings that follow the filter and the theme
if (data.upsets.length && by("upset-plot")) {
  upset();
  repainted.push(upset);
  by("upset-measure").addEventListener("change", upset);
  let width = window.innerWidth;
  window.addEventListener("resize", () => { if (window.innerWidth !== width) { width = window.innerWidth; upset(); } });
}
