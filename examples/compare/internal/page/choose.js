const section = document.getElementById("packets");
const nav = section.querySelector("nav");
const [previous, next] = nav.querySelectorAll("button");
const choose = nav.querySelector("select");
const at = nav.querySelector("output");
const ids = [...choose.options].map(o => o.value);

const show = () => {
  const chosen = document.getElementById(location.hash.slice(1))?.closest(".duel");
  const i = chosen ? ids.indexOf(chosen.id) : 0;
  choose.selectedIndex = i;
  previous.disabled = i === 0;
  next.disabled = i === ids.length - 1;
  at.value = `${i + 1} of ${ids.length}`;
};
// In place of an entry in the history for each step.
const go = i => { if (ids[i]) location.replace("#" + ids[i]); };
const step = by => go(choose.selectedIndex + by);

previous.addEventListener("click", () => step(-1));
next.addEventListener("click", () => step(1));
choose.addEventListener("change", () => go(choose.selectedIndex));
addEventListener("hashchange", show);
addEventListener("keydown", e => {
  const { top, bottom } = section.getBoundingClientRect();
  const seen = top < innerHeight / 2 && bottom > innerHeight / 2;
  if (!seen || e.altKey || e.ctrlKey || e.metaKey || e.shiftKey || e.target.closest("select, .wide")) return;
  if (e.key === "ArrowLeft") step(-1);
  if (e.key === "ArrowRight") step(1);
});
nav.hidden = false;
show();
