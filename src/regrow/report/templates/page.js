"use strict";
// Pointing at a token, tapping it, or walking with the arrow keys shows its cost below the excerpt.
for (const figure of document.querySelectorAll(".excerpt")) {
  const tokens = figure.querySelector(".tokens");
  const readout = figure.querySelector(".readout");
  const idle = readout.firstElementChild;
  let chosen = null;
  for (const token of tokens.children) {
    token.dataset.words = token.title;
    token.removeAttribute("title");
  }
  const show = (token) => {
    if (chosen) chosen.classList.remove("chosen");
    chosen = token;
    if (!token) return readout.replaceChildren(idle);
    token.classList.add("chosen");
    const quoted = document.createElement("b");
    quoted.textContent = token.textContent.replace("\n", "");
    const words = document.createElement("span");
    words.textContent = token.dataset.words;
    readout.replaceChildren(quoted, words);
  };
  const over = (event) => {
    const token = event.target.closest(".t");
    if (token) show(token);
  };
  tokens.addEventListener("pointerover", over);
  tokens.addEventListener("click", over);
  tokens.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
  tokens.addEventListener("keydown", (event) => {
    const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
    if (event.key === "Escape") show(null);
    if (!step) return;
    event.preventDefault();
    show(chosen ? chosen[step] || chosen : tokens.firstElementChild);
  });
}
