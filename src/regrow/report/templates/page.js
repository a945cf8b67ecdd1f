"use strict";
// Pointing at a token or a document, tapping it, or walking with the arrow keys shows its cost below the picture.
for (const figure of document.querySelectorAll(".excerpt, .documents")) {
  const items = figure.querySelector(".items");
  const readout = figure.querySelector(".readout");
  const idle = readout.firstElementChild;
  let chosen = null;
  for (const item of items.children) {
    item.dataset.words = item.title;
    item.removeAttribute("title");
  }
  const show = (item) => {
    if (chosen) chosen.classList.remove("chosen");
    chosen = item;
    if (!item) return readout.replaceChildren(idle);
    item.classList.add("chosen");
    const words = document.createElement("span");
    words.textContent = item.dataset.words;
    readout.replaceChildren(words);
    if (!item.textContent) return;
    const quoted = document.createElement("b");
    quoted.textContent = item.textContent.replace("\n", "");
    readout.prepend(quoted);
  };
  const over = (event) => {
    const item = event.target.closest(".item");
    if (item) show(item);
  };
  items.addEventListener("pointerover", over);
  items.addEventListener("click", over);
  items.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
  items.addEventListener("keydown", (event) => {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (event.key === "Escape") show(null);
    if (!step) return;
    event.preventDefault();
    show(chosen ? chosen[step] || chosen : items.firstElementChild);
  });
}
// Pointing into a plot shows the values of its lines there. Paths lie in a box of the view's width and height.
for (const area of document.querySelectorAll(".area[data-x]")) {
  const { width, height } = area.querySelector("svg").viewBox.baseVal;
  const ends = (axis) => area.dataset[axis].split(" ").map(Number);
  const [[left, right], [bottom, top]] = [ends("x"), ends("y")];
  const lines = [...area.querySelectorAll("path[data-name]")].map((path) => ({
    name: path.dataset.name,
    points: path.getAttribute("d").slice(1).split("L").map((pair) => pair.split(" ").map(Number)),
  }));
  const cursor = document.createElement("div");
  const words = document.createElement("p");
  cursor.className = "cursor";
  cursor.append(words);
  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    const pointed = ((event.clientX - box.left) / box.width) * width;
    const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a));
    const [at] = nearest(lines.flatMap(({ points }) => points), pointed);
    const rows = [];
    for (const { name, points } of lines) {
      const near = nearest(points, at);
      if (Math.abs(near[0] - at) > width / 100) continue;
      const value = bottom + (1 - near[1] / height) * (top - bottom);
      rows.push(`${name} ${value.toPrecision(4)}`.trim());
    }
    const place = left + (at / width) * (right - left);
    const shown = place.toLocaleString("en", { maximumSignificantDigits: 4 });
    words.replaceChildren(...[`${shown} ${area.dataset.unit}`, ...rows].flatMap((row) => [row, document.createElement("br")]));
    cursor.style.left = `${(100 * at) / width}%`;
    cursor.classList.toggle("flip", at > 0.6 * width);
    area.append(cursor);
  });
  area.addEventListener("pointerleave", () => cursor.remove());
}
