// ---- map
let plane = gallery.map;
if (samples.length && plane && by("map-plot")) {
  const views = Object.keys(plane.points), labels = samples.map((_, i) => labelOf(i)), classes = [...new Set(labels)].filter(Boolean).sort();
  const colourBy = by("map-colour");
  if (classes.length < 2) { colourBy.value = "view"; colourBy.closest("label").hidden = true; }
  const shade = i => shadeOf(Math.max(classes.indexOf(labels[i]), 0));
  const whole = gallery.map, centre = by("map-centre");
  centre.closest("label").hidden = views.length < 2 || !whole.centred;
  const explain = () => {
    by("map-share").textContent = `Two principal components of the embeddings of ${views.join(", ")}: ${Math.round(100 * (plane.share[0] + plane.share[1]))} % of the variance.` + (whole.left_out.length ? ` Left out, because of another width: ${whole.left_out.join(", ")}.` : "");
  };
  explain();
  const trace = (view, at, name, extra) => ({
    type: "scatter", mode: "markers", name: escaped(name), x: at.map(i => plane.points[view][i][0]), y: at.map(i => plane.points[view][i][1]),
    customdata: at, text: at.map(i => escaped(`${samples[i].id}${labels[i] ? ", " + labels[i] : ""}, ${view}`)), hoverinfo: "text", ...extra,
  });
  const of = view => (isKept(view) ? samples.map((_, i) => i).filter(i => plane.points[view][i]) : []);
  const join = by("map-join");
  join.checked = views.length > 1 && samples.length * views.length <= 240;
  join.closest("label").hidden = views.length < 2;
  // One line of every sample from view to view.
  const joined = () => {
    const paths = join.checked ? samples.map((_, i) => views.filter(isKept).map(view => plane.points[view][i]).filter(Boolean)).filter(path => path.length > 1) : [];
    const flat = k => paths.flatMap(path => [...path.map(point => point[k]), null]);
    return {type: "scatter", mode: "lines", x: flat(0), y: flat(1), showlegend: false, hoverinfo: "skip", line: {color: colour("--soft"), width: 1}, opacity: samples.length > 300 ? 0.15 : 0.35};
  };
  const clouds = () => {
    const size = samples.length > 600 ? 5 : 8;
    if (colourBy.value === "view") return [joined(), ...views.map((view, k) => trace(view, of(view), view, {marker: {size, color: COLOURS[k % COLOURS.length], symbol: SYMBOLS[k % SYMBOLS.length], opacity: 0.75}}))];
    const points = views.map((view, k) => trace(view, of(view), view, {showlegend: false, marker: {size, color: of(view).map(shade), symbol: SYMBOLS[k % SYMBOLS.length], opacity: 0.75}}));
    const shapes = views.map((view, k) => ({type: "scatter", mode: "markers", x: [null], y: [null], name: escaped(view), marker: {size: 9, color: "#888", symbol: SYMBOLS[k % SYMBOLS.length]}}));
    const names = classes.slice(0, window.innerWidth < 600 ? 8 : 20).map((name, k) => ({type: "scatter", mode: "markers", x: [null], y: [null], name: escaped(name.length > 24 ? name.slice(0, 23) + "…" : name), marker: {size: 9, color: shadeOf(k)}}));
    const more = classes.length - names.length;
    if (more > 0) names.push({type: "scatter", mode: "markers", x: [null], y: [null], name: `and ${more} more`, marker: {size: 9, color: "rgba(0,0,0,0)"}});
    return [joined(), ...points, ...shapes, ...names];
  };
  const layout = () => base({dragmode: "lasso", showlegend: true, margin: {l: 40, r: 14, t: 34, b: 34}, legend: {orientation: "h", y: -0.08, yanchor: "top", x: 0, font: {size: 11}}, modebar: {bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: colour("--accent")}});
  const element = by("map-plot");
  const listen = () => {
    element.on("plotly_selected", event => {
      if (!event) return;
      const chosenSamples = [...new Set(event.points.map(point => point.customdata).filter(i => i !== undefined))];
      showSelected(chosenSamples);
    });
    element.on("plotly_click", event => showSelected([...new Set(event.points.map(point => point.customdata).filter(i => i !== undefined))]));
  };
  const showSelected = chosenSamples => {
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
  const again = () => Plotly.react(element, clouds(), layout());
  colourBy.addEventListener("change", again);
  join.addEventListener("change", again);
  centre.addEventListener("change", () => { plane = centre.checked ? whole.centred : whole; explain(); again(); });
  repainted.push(again);
}

