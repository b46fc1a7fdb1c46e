// What the keyboard does, and the list of it.
const rateAndGo = (rating) => () => {
  if (!marked) { step(1); return; }
  if (!marked.row) { goTo(marked); return; } // marked elsewhere: its mask is seen before it is rated
  const again = isRated(marked) && ratingOf(marked).rating === rating;
  rate(marked, rating);
  if (again) say(sinceSaved(), `Taken back: the rating of ${marked.name}.`);
  else if (marked === shown.at(-1)) say(sinceSaved(), "That was the last run shown.");
  else step(1);
};

const KEYS = [
  ["j", "next run", () => step(1)],
  ["k", "run before", () => step(-1)],
  ["a", "accept the mask, on to the next", rateAndGo("accept")],
  ["e", "to be edited, on to the next", rateAndGo("edit")],
  ["r", "reject, on to the next", rateAndGo("reject")],
  ["n", "note on the marked run; Enter ends it", () => note()],
  ["u", "undo the last rating or note", () => goTo(undo())],
  ["o", "open the marked run's own page", () => marked && openPage(marked)],
  ["/", "search", () => { $("search").focus(); $("search").select(); }],
  ["s", "save ratings.tsv", () => save()],
  ["?", "this list", () => $("keys").showModal()],
];

const HELD = ["j", "k"]; // the others, held down, would rate what nobody looked at, or save many files

function note() {
  if (!marked) step(1);
  goTo(marked);
  const field = marked?.row?.querySelector(".note");
  if (!field) return;
  field.hidden = false;
  field.focus();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target.matches("input, select, textarea")) {
    const done = event.key === "Escape" || (event.key === "Enter" && event.target.matches(".note"));
    if (done && event.target.matches(".note, #search")) {
      event.target.blur();
      marked?.row?.focus();
    }
    return;
  }
  if (event.key === "Enter" && event.target.matches("#rows li")) { openPage(runs.find((run) => run.row === event.target)); return; }
  const found = KEYS.find(([key]) => key === event.key);
  if (!found) return;
  event.preventDefault();
  if (!event.repeat || HELD.includes(event.key)) found[2]();
}
