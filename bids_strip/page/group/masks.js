// The mosaic: a row of slices a run, and its rating.
let tiles = null; // parsed when the first is wanted

const lazily = new IntersectionObserver((entries) => {
  entries.filter(({ isIntersecting }) => isIntersecting).forEach(({ target }) => fillPicture(target));
}, { rootMargin: "600px" });

function fillPicture(place) {
  lazily.unobserve(place);
  const run = runs[place.dataset.run];
  tiles ??= JSON.parse($("tiles").textContent);
  const tile = tiles[run.index];
  const image = element("img", { alt: `slices of ${run.name} with the contour of its mask` });
  image.addEventListener("error", () => place.replaceChildren(absent(run)));
  image.src = tile ? `data:image/webp;base64,${tile}` : run.figure;
  place.replaceChildren(run.page ? element("a", { href: run.page, tabindex: "-1" }, image) : image);
}

// those of the rows that are drawn, in sight or not; settled once each has its size
function fillPictures() {
  const places = [...$("rows").querySelectorAll(".strip")];
  places.filter((place) => !place.querySelector("img")).forEach(fillPicture);
  return Promise.allSettled([...$("rows").querySelectorAll("img")].map((image) => image.decode()));
}

function absent(run) {
  const why = run.verdict === "failed" ? "no mask: the run failed" : run.figure ? "open the picture" : "no picture was made";
  return run.figure ? element("a", { class: "absent", href: run.figure }, why) : element("span", { class: "absent" }, why);
}

function picture(run) {
  if (!run.figure) return absent(run);
  const place = element("div", { class: "strip", "data-run": String(run.index) }, element("span", { class: "absent" }, "\u2026"));
  lazily.observe(place);
  return place;
}

function rateButtons(run) {
  return RATINGS.map((rating) => {
    const button = element("button", { type: "button", "data-rating": rating, tabindex: "-1" }, rating);
    button.addEventListener("click", () => rate(run, rating));
    return button;
  });
}

function row(run) {
  const note = element("input", { class: "note", type: "text", placeholder: "note", "aria-label": `note on ${run.name}`, maxlength: "1000" });
  let before = null; // this note was begun
  note.addEventListener("input", () => { before ??= ratingOf(run); annotate(run, note.value); });
  note.addEventListener("blur", () => {
    annotated(run, before);
    before = null;
    note.hidden = !note.value.trim();
  });
  const write = element("button", { type: "button", tabindex: "-1" }, "note");
  write.addEventListener("click", () => { note.hidden = false; note.focus(); });
  const by = metrics[Number($("sort").value)];
  const value = by ? [element("div", { class: "value" }, `${withUnit(by)}: ${text(run.values[by.index])}`)] : [];
  const made = element("li", { tabindex: "0", "data-name": run.name },
    element("div", {}, linked(run, { class: "name" }), " ", badge(run), ...value,
      element("div", { class: "why" }, run.reasons.join("; ")),
      element("div", { class: "rate", role: "group", "aria-label": `rating of ${run.name}` }, ...rateButtons(run), write),
      element("div", { class: "why another", hidden: true }, ANOTHER), note),
    picture(run));
  made.addEventListener("focusin", () => mark(run, masks));
  // a page that scrolls under a still pointer marks nothing
  made.addEventListener("pointermove", (event) => { if (event.movementX || event.movementY) mark(run, masks); });
  run.row = made;
  showRating(run);
  return made;
}

const ANOTHER = "rated on another mask";
function ratingWords(run) {
  const { rating } = ratingOf(run);
  return isOfAnother(run, ratingOf(run)) ? `${rating} (${ANOTHER})` : rating || "n/a";
}

function showRating(run) {
  const { rating, note } = ratingOf(run);
  if (run.line) run.line.querySelector(".rating").textContent = ratingWords(run);
  if (!run.row) return;
  run.row.dataset.rating = rating;
  run.row.querySelectorAll("[data-rating]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.rating === rating)));
  run.row.querySelector(".another").hidden = !isOfAnother(run, ratingOf(run));
  const field = run.row.querySelector(".note");
  if (field === document.activeElement) return;
  field.value = note;
  field.hidden = !note;
}

function drawRows(page) {
  runs.forEach((run) => { run.row = null; });
  lazily.disconnect();
  $("rows").replaceChildren(...page.map(row));
  $("none").hidden = page.length > 0;
  if (marked) showMarked(marked, null);
}

function showMarked(run, before) {
  for (const [one, on] of [[before, false], [run, true]]) {
    one?.row?.classList.toggle("marked", on);
    one?.row?.querySelectorAll(".rate button").forEach((b) => b.setAttribute("tabindex", on ? "0" : "-1"));
  }
}

const maskPages = pager("mask-pages", [10, 50, 200], drawRows);
const masks = { draw: () => maskPages.restart(), mark: (run, before) => showMarked(run, before) };
views.push(masks);

// what is scrolled to stops below the header, however many lines that has
const header = document.querySelector("header");
const measureHeader = () => document.documentElement.style.setProperty("--header", `${header.offsetHeight}px`);
new ResizeObserver(measureHeader).observe(header);

// to a run's row, wherever it is in the list
function goTo(run) {
  if (!shown.includes(run)) return;
  maskPages.turnTo(run);
  mark(run, null);
  run.row?.focus({ preventScroll: true });
  measureHeader(); // what was just said may have given it another line
  run.row?.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const at = marked ? shown.indexOf(marked) : -1;
  goTo(shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))]);
}
