// ---- gallery
const found = (view, of, query) => of.top.map(i => { const each = tile(view, i); if (i === query) each.classList.add("own"); return each; });
const rankText = (from, to, of) => (from === to ? `nearest in ${to} by ${from}` : of.rank ? `nearest in ${to} by ${from}; its own is number ${of.rank}` : `nearest in ${to} by ${from}; it has no ${to} itself`);
const queries = new Map((gallery.queries || []).map(query => [query.sample, query.found]));
const ORDERS = {
  nearest: ["nearest", "Found first: the own sample ranks first in the other views or crops, or is the most similar."],
  hardest: ["hardest", "Found last: the own sample ranks far behind others in the other views or crops."],
  disagreeing: ["most disagreeing", "The views disagree: what is near in one view is far away in another."],
  spread: ["spread evenly", "Spread evenly over the samples."],
};
let shownQuery = null;
const showQuery = sample => {
  shownQuery = sample;
  document.querySelectorAll("#queries .sample").forEach(each => each.classList.toggle("on", Number(each.dataset.sample) === sample));
  const rows = make("div", "rows"), views = gallery.views, chosen = by("from").selectedIndex - 1;
  rows.append(make("h4", "", `query ${nameOf(sample)}`), strip(...views.map(view => large(view, sample))));
  rows.lastChild.classList.add("query");
  const froms = chosen < 0 ? views : [views[chosen]];
  for (const to of views) {
    const block = [];
    for (const from of froms) {
      const of = get(get(queries.get(sample), from), to);
      if (of && of.top.length) block.push([from, of]);
    }
    if (!block.length) continue;
    for (const [from, of] of block) line(rows, rankText(from, to, of), found(to, of, sample), [from, to]);
  }
  if (!rows.querySelector(".line")) rows.append(make("p", "legend", `This sample has no ${chosen < 0 ? "view" : views[chosen]}, so it finds nothing.`));
  by("found").replaceChildren(rows);
  markKept();
};
const showPairs = () => {
  const rows = make("div", "rows");
  for (const pair of gallery.duplicates) {
    const tiles = i => gallery.views.filter(view => pictureOf(view, i) !== undefined).map(view => tile(view, i));
    const unlike = labelOf(pair.a) !== labelOf(pair.b) ? "; their labels differ" : "";
    line(rows, `${nameOf(pair.a)} and ${nameOf(pair.b)}: stored values correlate with ${pair.alike.toFixed(3)}${unlike}`, [...tiles(pair.a), make("span", "arrow", "="), ...tiles(pair.b)]);
  }
  by("queries").replaceChildren();
  by("found").replaceChildren(rows);
};
const showOrder = name => {
  document.querySelectorAll("#orders button").forEach(each => each.setAttribute("aria-pressed", each.dataset.order === name));
  by("from-label").hidden = name === "duplicates" || gallery.views.length < 2;
  if (name === "duplicates") {
    by("order-said").textContent = "Suspected duplicates: nearest in an embedding, and nearly equal as stored.";
    showPairs();
    return;
  }
  by("order-said").textContent = ORDERS[name][1];
  const shown = get(gallery.orders, name) || [...queries.keys()];
  by("queries").replaceChildren(...shown.map(sample => {
    const each = tile(pictured(sample) || gallery.views[0], sample, "button");
    each.dataset.sample = sample;
    each.addEventListener("click", () => showQuery(sample));
    return each;
  }));
  if (shown.length) showQuery(shown[0]);
};
if (samples.length && by("queries")) {
  const names = Object.keys(ORDERS).filter(name => get(gallery.orders, name));
  if (!names.length) names.push("spread");
  const kinds = names.map(name => [name, ORDERS[name][0]]);
  const pairs = gallery.duplicates || [];
  if (pairs.length) kinds.push(["duplicates", `suspected duplicates (${pairs.length})`]);
  for (const [name, text] of kinds) {
    const button = make("button", "", text);
    button.type = "button"; button.dataset.order = name;
    button.addEventListener("click", () => showOrder(name));
    by("orders").append(button);
  }
  by("from").append(...["every view", ...gallery.views].map(text => make("option", "", text)));
  if (gallery.views.length > 3) by("from").selectedIndex = 1;
  by("from").addEventListener("change", () => { if (shownQuery !== null) showQuery(shownQuery); });
  if (queries.size) showOrder(names[0]);
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
  rows.append(make("h4", "", `${query === to ? `two crops of ${to}` : `${query} → ${to}`}: ${of.missed} of ${of.of} queries did not find their own sample first` + (of.cases.length < of.missed ? `; ${of.cases.length} of them, spread evenly` : "")));
  for (const each of of.cases) {
    const own = tile(to, each.sample), itself = query === to; // both crops have the picture of the whole sample
    own.classList.add("own");
    line(rows, `query, its ${itself ? "other crop" : "own"} (number ${each.rank}), and what was found instead`, [tile(query, each.sample), ...(itself ? [] : [own]), make("span", "arrow", "→"), ...found(to, each, each.sample)]);
  }
  box.replaceChildren(rows);
}));

