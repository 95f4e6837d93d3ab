// ---- samples
const labelOf = i => (samples[i].label >= 0 ? (gallery.classes || [])[samples[i].label] || "" : "");
const nameOf = i => `${samples[i].id}${labelOf(i) ? ", " + labelOf(i) : ""}`;
const pictureOf = (view, i) => get(get(gallery.pictures, view), i);
const pictured = i => gallery.views.find(view => pictureOf(view, i) !== undefined);
// Views of one modality share sounds and numbers: the second view holds the name of the first.
const shared = (of, view) => { const own = get(of, view); return typeof own === "string" ? get(of, own) : own; };
const soundOf = (view, i) => {
  const text = get(shared(gallery.sounds, view), i);
  return /^data:audio\/mpeg;base64,[A-Za-z0-9+\/=]+$/.test(text || "") ? text : undefined;
};
let playing = null;
const play = text => { if (playing) playing.pause(); playing = new Audio(text); playing.play().catch(() => {}); };
const tile = (view, i, tag = "div") => {
  const element = make(tag, "sample"), picture = pictureOf(view, i);
  element.title = `${nameOf(i)}, ${view}`;
  if (tag === "button") element.type = "button";
  if (picture === undefined) element.append(make("span", "absent", "no picture"));
  else if (/^data:image\/jpeg;base64,[A-Za-z0-9+\/=]+$/.test(picture)) {
    const image = make("img");
    image.src = picture; image.alt = element.title;
    element.append(image);
  } else element.append(make("span", "text", picture));
  element.append(make("span", "of", labelOf(i) || samples[i].id));
  const sound = tag === "button" ? undefined : soundOf(view, i);
  if (sound) {
    const button = make("button", "play", "▶");
    button.type = "button"; button.setAttribute("aria-label", `play ${samples[i].id}`);
    button.addEventListener("click", () => play(sound));
    element.append(button);
  }
  return element;
};
// A sample of a view, large: its picture or text, a player for sound, the numbers of a table.
const large = (view, i) => {
  const element = tile(view, i, "figure"), sound = soundOf(view, i), table = shared(gallery.numbers, view), values = get(table && table.rows, i);
  element.classList.add("large");
  element.dataset.views = JSON.stringify([view]);
  element.querySelector(".of").textContent = view;
  if (sound) {
    element.querySelector(".play").remove();
    const player = make("audio");
    player.controls = true; player.preload = "none"; player.src = sound;
    element.append(player);
  }
  if (values) {
    const list = make("table", "numbers");
    values.forEach((value, k) => { const row = make("tr"); row.append(make("th", "", String(table.columns[k])), make("td", "", value === null ? "none" : String(value))); list.append(row); });
    element.append(list);
    if (table.more) element.append(make("span", "of", `and ${table.more} more`));
  }
  return element;
};
const strip = (...tiles) => { const element = make("div", "strip"); element.append(...tiles); return element; };
const line = (rows, what, tiles, views = []) => {
  const element = make("div", "line");
  if (views.length) element.dataset.views = JSON.stringify(views);
  element.append(make("div", "what", what), strip(...tiles));
  rows.append(element);
};
// ---- ten samples in all views
if (samples.length && by("samples")) {
  const table = make("table"), head = make("tr");
  head.append(make("th", "", "sample"), ...gallery.views.map(view => { const cell = make("th", "", view); cell.dataset.views = JSON.stringify([view]); return cell; }));
  table.append(head);
  for (const i of gallery.table || []) {
    const row = make("tr");
    row.append(make("th", "", samples[i].id));
    for (const view of gallery.views) { const cell = make("td"); cell.dataset.views = JSON.stringify([view]); cell.append(tile(view, i)); row.append(cell); }
    table.append(row);
  }
  by("samples").append(table);
}
