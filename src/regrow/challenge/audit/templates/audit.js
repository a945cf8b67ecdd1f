"use strict";
// The filter: findings at or above a severity whose words, or whose submission's path, hold all the words asked for.
const form = document.querySelector(".filter");
const levels = ["low", "medium", "high"];
const submissions = [...document.querySelectorAll(".submission")].map((fold) => ({
  fold,
  path: fold.querySelector("h3").textContent.toLowerCase(),
  findings: [...fold.querySelectorAll(".finding")].map((article) => ({
    article,
    level: levels.indexOf(article.dataset.level),
    words: article.textContent.toLowerCase(),
  })),
}));
const filter = () => {
  const least = levels.indexOf(form.level.value);
  const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0;
  for (const { fold, path, findings } of submissions) {
    let here = 0;
    for (const { article, level, words: own } of findings) {
      const fits = level >= least && words.every((word) => own.includes(word) || path.includes(word));
      article.hidden = !fits;
      here += fits;
    }
    for (const low of fold.querySelectorAll("details.low")) {
      low.hidden = !low.querySelector(".finding:not([hidden])");
      if (words.length && !low.hidden) low.open = true;
    }
    fold.hidden = !here && (least > 0 || !words.every((word) => path.includes(word)));
    if (words.length && here) fold.open = true;
    shown += here;
    all += findings.length;
  }
  for (const section of document.querySelectorAll(".verdict")) {
    section.hidden = !section.querySelector(".submission:not([hidden])");
  }
  form.querySelector("output").textContent = `${shown} of ${all} findings`;
};
form.hidden = !submissions.some(({ findings }) => findings.length);
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
filter();
