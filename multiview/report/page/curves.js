// ---- curves
const base = extra => {
  const layout = {
    margin: {l: 54, r: 14, t: 8, b: 38}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
    font: {family: "system-ui, sans-serif", size: 12, color: colour("--ink")}, hovermode: "closest", dragmode: "zoom",
    xaxis: {gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line")},
    yaxis: {automargin: true, exponentformat: "e", gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line")},
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
  const steps = figure.lines.flatMap(line => line.x), first = Math.min(...steps), last = Math.max(...steps);
  if (last - first <= 5) layout.xaxis.dtick = 1;
  if (last === first) layout.xaxis.range = [first - 2, first + 2];
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


// ---- which views count: an UpSet plot
const WEIGHTS = {trained: "--trained", random: "--random", raw: "--raw", statistics: "--statistics"};
const setsShown = () => {
  const each = data.upsets[Number(by("upset-measure").value)];
  const sets = each.sets.filter(set => filter.view === null && filter.edge === null ? true : set.views.some(isKept));
  return {...each, sets};
};
const upset = () => {
  const {sets, views, unit, title} = setsShown(), scale = unit === "fraction" ? 100 : 1, suffix = unit === "fraction" ? " %" : "";
  const names = [...new Set(sets.flatMap(set => Object.keys(set.values)))], place = view => views.length - 1 - views.indexOf(view);
  const values = names.map((name, k) => {
    const at = sets.map((set, i) => [i, get(set.values, name)]).filter(([, value]) => value && value[0] !== null);
    const shade = WEIGHTS[name] ? colour(WEIGHTS[name]) : COLOURS[(k + 3) % COLOURS.length];
    const end = (value, j) => (value[j] === null ? 0 : Math.abs(value[j] - value[0]) * scale);
    return {
      type: "scatter", mode: "markers", name: escaped(name === "random" ? "random weights" : name === "raw" ? "raw values" : name),
      x: at.map(([i]) => i + (k - (names.length - 1) / 2) * 0.18), y: at.map(([, value]) => value[0] * scale),
      error_y: {type: "data", symmetric: false, array: at.map(([, v]) => end(v, 2)), arrayminus: at.map(([, v]) => end(v, 1)), thickness: 2, width: 0, color: shade},
      text: at.map(([i, v]) => `${escaped(sets[i].views.join(" + "))}, ${escaped(name)}: ${(v[0] * scale).toFixed(1)}${suffix}` + (v[1] === null ? "" : ` (95 % ${(v[1] * scale).toFixed(1)} to ${(v[2] * scale).toFixed(1)})`)),
      hoverinfo: "text", marker: {size: 8, color: shade, symbol: SYMBOLS[k % SYMBOLS.length]},
    };
  });
  const dots = (inside, shade) => {
    const at = sets.flatMap((set, i) => views.filter(view => set.views.includes(view) === inside).map(view => [i, place(view)]));
    return {type: "scatter", mode: "markers", yaxis: "y2", showlegend: false, hoverinfo: "skip", x: at.map(([x]) => x), y: at.map(([, y]) => y), marker: {size: 11, color: shade}};
  };
  const bars = {type: "scatter", mode: "lines", yaxis: "y2", showlegend: false, hoverinfo: "skip", line: {width: 3, color: colour("--ink")},
    x: sets.flatMap((_, i) => [i, i, null]), y: sets.flatMap(set => { const at = set.views.map(place); return [Math.min(...at), Math.max(...at), null]; })};
  const layout = base({showlegend: true}), rows = 24 * views.length + 16, height = 230 + rows;
  layout.height = height;
  layout.width = Math.max(by("upset-plot").parentElement.clientWidth, 150 + 44 * sets.length);
  layout.margin = {l: 110, r: 14, t: 40, b: 8};
  Object.assign(layout.legend, {yref: "container", y: 1, yanchor: "top"});
  Object.assign(layout.xaxis, {showticklabels: false, showgrid: false, zeroline: false, range: [-0.6, sets.length - 0.4], fixedrange: true});
  Object.assign(layout.yaxis, {domain: [rows / height + 0.03, 1], title: {text: escaped(title) + suffix, standoff: 6}, rangemode: "tozero", automargin: false});
  layout.yaxis2 = {domain: [0, rows / height], tickvals: views.map(place), ticktext: views.map(view => escaped(view.length > 14 ? view.slice(0, 13) + "…" : view)), range: [-0.6, views.length - 0.4], showgrid: false, zeroline: false, fixedrange: true, color: colour("--ink")};
  Plotly.react(by("upset-plot"), [...values, bars, dots(false, colour("--line")), dots(true, colour("--ink"))], layout, {...SETTINGS, responsive: false});
};
