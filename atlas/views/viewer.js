"use strict";
// The interactive circuit. Reads its data from #data; the drawing itself is already on the page.

const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("canvas");
const stage = document.getElementById("stage");
const tip = document.getElementById("tip");
const slider = document.getElementById("strength");
const search = document.getElementById("search");
const vertices = [...document.querySelectorAll("[data-vertex]")];
const arcs = [...document.querySelectorAll("[data-arc]")];
const vertexAt = new Map(vertices.map((element) => [Number(element.dataset.vertex), element]));
const arcAt = new Map(arcs.map((element) => [Number(element.dataset.arc), element]));
const arcsOf = new Map(data.vertices.map((_, i) => [i, []]));
data.arcs.forEach((arc, i) => { arcsOf.get(arc.source).push(i); arcsOf.get(arc.target).push(i); });
const pinned = new Set();

// Pan and zoom

const view = { x: 0, y: 0, scale: 1 };

function show() {
  stage.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);
}

function fit() {
  const box = canvas.getBoundingClientRect();
  const scale = Math.min((box.width - 40) / data.width, (box.height - 40) / data.height, 1.5);
  view.scale = Math.max(scale, 0.05);
  view.x = (box.width - data.width * view.scale) / 2;
  view.y = (box.height - data.height * view.scale) / 2;
  show();
}

function zoom(factor, x, y) {
  const box = canvas.getBoundingClientRect();
  const at = { x: x ?? box.width / 2, y: y ?? box.height / 2 };
  const scale = Math.min(Math.max(view.scale * factor, 0.05), 8);
  view.x = at.x - (at.x - view.x) * (scale / view.scale);
  view.y = at.y - (at.y - view.y) * (scale / view.scale);
  view.scale = scale;
  show();
}

function centre(element) {
  const box = canvas.getBoundingClientRect();
  const own = element.getBoundingClientRect();
  view.x += box.left + box.width / 2 - (own.left + own.width / 2);
  view.y += box.top + box.height / 2 - (own.top + own.height / 2);
  show();
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

let drag = null;
let dragged = false;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.clientX - view.x, y: event.clientY - view.y, fromX: event.clientX, fromY: event.clientY };
  dragged = false;
});
window.addEventListener("pointermove", (event) => {
  if (!drag) return;
  dragged ||= Math.hypot(event.clientX - drag.fromX, event.clientY - drag.fromY) > 4;
  if (!dragged) return;
  canvas.classList.add("dragging");
  view.x = event.clientX - drag.x;
  view.y = event.clientY - drag.y;
  show();
});
window.addEventListener("pointerup", () => { drag = null; canvas.classList.remove("dragging"); });

// What stands beside a vertex or an arc

function make(tag, text) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  return element;
}

function details(rows) {
  const list = make("dl");
  for (const [name, value] of rows) list.append(make("dt", name), make("dd", value));
  return list;
}

function aboutVertex(i) {
  const vertex = data.vertices[i];
  const rows = [["column", vertex.column]];
  if (vertex.score !== null) rows.push(["score", vertex.score]);
  if (vertex.part) rows.push(["part of", vertex.part]);
  return [vertex.name, [["id", vertex.id], ...rows, ...vertex.detail]];
}

function aboutArc(i) {
  const arc = data.arcs[i];
  const ends = `${data.vertices[arc.source].name} → ${data.vertices[arc.target].name}`;
  const rows = [["kind", arc.type], ["score", arc.score], ["strength", arc.strength.toFixed(2)]];
  return [ends, arc.part ? [...rows, ["part of", arc.part], ...arc.detail] : [...rows, ...arc.detail]];
}

function tell([name, rows], x, y) {
  tip.replaceChildren(make("strong", name), details(rows));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 14, window.innerHeight - box.height - 8))}px`;
}

// Near what is pointed at, or pinned

function light(vertexIds, arcIds = []) {
  for (const element of [...vertices, ...arcs]) element.classList.remove("near");
  canvas.classList.toggle("busy", vertexIds.length + arcIds.length > 0);
  const reached = new Set(arcIds);
  for (const i of vertexIds) arcsOf.get(i).forEach((arc) => reached.add(arc));
  for (const i of vertexIds) vertexAt.get(i).classList.add("near");
  for (const i of reached) {
    const element = arcAt.get(i);
    if (!element || element.classList.contains("weak")) continue;
    element.classList.add("near");
    vertexAt.get(data.arcs[i].source).classList.add("near");
    vertexAt.get(data.arcs[i].target).classList.add("near");
  }
}

function rest() {
  tip.hidden = true;
  light([...pinned]);
}

function pin(i) {
  if (!pinned.delete(i)) pinned.add(i);
  listPinned();
  light([...pinned]);
}

function listPinned() {
  for (const [i, element] of vertexAt) {
    element.classList.toggle("pinned", pinned.has(i));
    element.setAttribute("aria-pressed", String(pinned.has(i)));
  }
  const list = document.getElementById("pinned");
  list.replaceChildren();
  document.getElementById("unpin").hidden = pinned.size === 0;
  document.getElementById("hint").hidden = pinned.size > 0;
  for (const i of pinned) {
    const item = make("li");
    const [name, rows] = aboutVertex(i);
    item.append(make("strong", name), details(rows));
    if (data.vertices[i].link) {
      const link = make("a", data.linked);
      link.href = data.vertices[i].link;
      item.append(link);
    }
    list.append(item);
  }
}

for (const [i, element] of vertexAt) {
  element.addEventListener("pointerenter", (event) => {
    if (drag && dragged) return;
    light([i]);
    tell(aboutVertex(i), event.clientX, event.clientY);
  });
  element.addEventListener("pointerleave", rest);
  element.addEventListener("click", () => { if (!dragged) { rove(element); pin(i); } });
  element.addEventListener("focus", () => {
    const box = element.getBoundingClientRect();
    if (element.matches(":focus-visible")) tell(aboutVertex(i), box.right, box.top);
  });
  element.addEventListener("blur", rest);
}
for (const [i, element] of arcAt) {
  element.addEventListener("pointerenter", (event) => {
    if (drag && dragged) return;
    light([], [i]);
    tell(aboutArc(i), event.clientX, event.clientY);
  });
  element.addEventListener("pointerleave", rest);
}

// Least strength of the edges that are shown

function sift() {
  const least = Number(slider.value) / 100;
  const used = new Set();
  let shown = 0;
  for (const [i, element] of arcAt) {
    const arc = data.arcs[i];
    const weak = arc.strength < least;
    element.classList.toggle("weak", weak);
    if (weak) continue;
    shown += 1;
    used.add(arc.source).add(arc.target);
  }
  for (const [i, element] of vertexAt) element.classList.toggle("alone", !used.has(i));
  document.getElementById("shown").textContent = `${shown} of ${arcs.length} edges`;
  slider.setAttribute("aria-valuetext", `${slider.value} percent, ${shown} edges`);
  light([...pinned]);
}
slider.addEventListener("input", sift);

// Search by name, id and detail

function find() {
  const words = search.value.trim().toLocaleLowerCase();
  let found = 0;
  for (const [i, element] of vertexAt) {
    const vertex = data.vertices[i];
    const text = [vertex.name, vertex.id, vertex.column, ...vertex.detail.flat()].join(" ").toLocaleLowerCase();
    const hit = words !== "" && text.includes(words);
    element.classList.toggle("found", hit);
    found += hit ? 1 : 0;
  }
  document.getElementById("hits").textContent = words === "" ? "" : `${found} found`;
}
search.addEventListener("input", find);
search.addEventListener("keydown", (event) => {
  const first = document.querySelector(".vertex.found");
  if (event.key !== "Enter" || !first) return;
  centre(first);
  rove(first);
  first.focus({ focusVisible: true });
});

// Keyboard: one vertex is in the tab order, arrows move between vertices

function rove(element) {
  for (const other of vertices) other.tabIndex = other === element ? 0 : -1;
}

function next(element, key) {
  const column = (other) => data.columns.indexOf(data.vertices[Number(other.dataset.vertex)].column);
  const own = vertices.filter((other) => column(other) === column(element));
  if (key === "ArrowDown" || key === "ArrowUp") return own[own.indexOf(element) + (key === "ArrowDown" ? 1 : -1)];
  const step = key === "ArrowRight" ? 1 : -1;
  const middle = (other) => { const box = other.getBoundingClientRect(); return box.top + box.height / 2; };
  const beside = vertices.filter((other) => column(other) === column(element) + step);
  return beside.sort((a, b) => Math.abs(middle(a) - middle(element)) - Math.abs(middle(b) - middle(element)))[0];
}

canvas.addEventListener("keydown", (event) => {
  const element = event.target.closest("[data-vertex]");
  if (!element) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    pin(Number(element.dataset.vertex));
  } else if (event.key.startsWith("Arrow")) {
    event.preventDefault();
    const other = next(element, event.key);
    if (!other) return;
    rove(other);
    const box = canvas.getBoundingClientRect();
    const own = other.getBoundingClientRect();
    if (own.left < box.left || own.right > box.right || own.top < box.top || own.bottom > box.bottom) centre(other);
    other.focus({ focusVisible: true });
  }
});

function unpin() {
  pinned.clear();
  listPinned();
  rest();
}

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") unpin();
  if (event.target.matches("input")) return;
  if (event.key === "/") { event.preventDefault(); search.focus(); }
  if (event.key === "+" || event.key === "=") zoom(1.25);
  if (event.key === "-") zoom(0.8);
  if (event.key === "0") fit();
});

document.getElementById("unpin").addEventListener("click", unpin);
document.getElementById("closer").addEventListener("click", () => zoom(1.25));
document.getElementById("farther").addEventListener("click", () => zoom(0.8));
document.getElementById("whole").addEventListener("click", fit);
const copy = document.getElementById("copy");
copy?.addEventListener("click", () => {
  const range = document.createRange();
  range.selectNodeContents(document.getElementById("cypher"));
  window.getSelection().removeAllRanges();
  window.getSelection().addRange(range);
  // Pages opened from the file system have no clipboard; the selection can then be copied by hand.
  copy.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl+C";
});

window.addEventListener("resize", fit);
if (vertices.length) rove(vertices[0]);
fit();
sift();
