const list = document.getElementById("photos");
const cards = [...list.children];
const which = document.getElementById("which");
const order = document.getElementById("order");
const name = document.getElementById("name");

function show() {
  const part = name.value.toLowerCase();
  let shown = 0;
  for (const card of cards) {
    card.hidden = (which.value === "outlier" && !card.classList.contains("outlier"))
      || !card.dataset.name.toLowerCase().includes(part);
    shown += !card.hidden;
  }
  document.getElementById("count").textContent = `${shown} of ${cards.length}`;
  document.getElementById("none").style.display = shown ? "none" : "block";
}

function sort() {
  const by = order.value === "name"
    ? (a, b) => a.dataset.name.localeCompare(b.dataset.name)
    : (a, b) => a.dataset.rank - b.dataset.rank;
  list.append(...[...cards].sort(by));
}

function go(step) {
  const shown = [...list.children].filter(card => !card.hidden);
  const at = shown.findIndex(card => card.contains(document.activeElement));
  const next = shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + step))];
  if (next) {
    (next.querySelector("input") ?? next).focus({preventScroll: true});
    next.scrollIntoView({block: "start"});
  }
}

list.addEventListener("input", event => {
  const pair = event.target.closest("li").querySelector(".pair");
  pair.style.setProperty("--cut", `${event.target.value}%`);
});
list.addEventListener("pointermove", event => {
  const pair = event.target.closest(".pair");
  const slider = pair?.parentElement.querySelector("input");
  if (slider && event.buttons) {
    const box = pair.getBoundingClientRect();
    slider.value = 100 * (event.clientX - box.left) / box.width;
    pair.style.setProperty("--cut", `${slider.value}%`);
  }
});
list.addEventListener("dragstart", event => event.preventDefault());
which.addEventListener("change", show);
order.addEventListener("change", sort);
name.addEventListener("input", show);
document.querySelector("form").addEventListener("submit", event => event.preventDefault());
document.addEventListener("keydown", event => {
  const typing = event.target.matches("input[type=search], select");
  if (event.key === "Escape") document.activeElement.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "n") go(1);
  else if (event.key === "p") go(-1);
  else if (event.key === "o") { which.value = which.value === "all" ? "outlier" : "all"; show(); }
  else if (event.key === "/") { name.focus(); event.preventDefault(); }
});
addEventListener("beforeprint", () => {
  for (const image of document.images) image.loading = "eager";
});
