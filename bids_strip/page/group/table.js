// The table, and the dock that tells of the marked run wherever the page is scrolled to.
const COLUMNS = [
  { title: "run", key: "name" },
  { title: "verdict", key: "worst", kind: "text" },
  { title: "rating", key: "rating", kind: "text" },
  { title: "reasons", kind: "text" },
  ...(runs.some((run) => run.scanner) ? [{ title: "scanner", kind: "text" }] : []),
  ...metrics.map((m) => ({ title: withUnit(m), key: String(m.index), meaning: meaning(m) })),
];

function makeHead() {
  const cells = COLUMNS.map((column) => {
    const cell = element("th", { scope: "col", class: column.kind || "", title: column.meaning || "" });
    if (!column.key) { cell.append(column.title); return cell; }
    const button = element("button", { type: "button" }, column.title);
    button.addEventListener("click", () => sortBy(column.key));
    cell.append(button);
    cell.dataset.key = column.key;
    return cell;
  });
  document.querySelector("#table thead").append(element("tr", {}, ...cells));
}

function line(run) {
  const why = run.reasons.join("; ");
  const made = element("tr", { "data-name": run.name },
    element("th", { scope: "row" }, linked(run)),
    element("td", { class: "text" }, badge(run)),
    element("td", { class: "text rating" }, ratingWords(run)),
    element("td", { class: "text reasons", title: why }, why),
    ...(COLUMNS[4]?.title === "scanner" ? [element("td", { class: "text" }, run.scanner || "n/a")] : []),
    ...run.values.map((v, k) => element("td", { class: run.odd.includes(k) ? "out" : "" }, text(v))));
  made.addEventListener("pointermove", (event) => { if (event.movementX || event.movementY) mark(run, tableView); });
  made.addEventListener("focusin", () => mark(run, tableView));
  run.line = made;
  return made;
}

function drawLines(page) {
  runs.forEach((run) => { run.line = null; });
  document.querySelector("#table tbody").replaceChildren(...page.map(line));
  marked?.line?.classList.add("marked");
}

function drawSorts() {
  const key = $("sort").value;
  document.querySelectorAll("#table th[data-key]").forEach((cell) => {
    cell.setAttribute("aria-sort", cell.dataset.key !== key ? "none" : reversed ? "descending" : "ascending");
  });
}

// the table's own box scrolls to the run, the page does not; out of sight it is not laid out
const scrolled = document.querySelector("#table .scroll");
let inSight = false;
new IntersectionObserver(([entry]) => {
  inSight = entry.isIntersecting;
  if (inSight && marked) turnTable();
}).observe(scrolled);

function turnTable() {
  if (turnTable.asked) return;
  turnTable.asked = true;
  requestAnimationFrame(() => {
    turnTable.asked = false;
    linePages.turnTo(marked);
    const box = scrolled, found = marked?.line;
    if (!found || !inSight) return;
    const top = found.offsetTop - box.querySelector("thead").offsetHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (found.offsetTop + found.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = found.offsetTop + found.offsetHeight - box.clientHeight;
  });
}

const linePages = pager("table-pages", [100, 500], drawLines);
const tableView = {
  draw() { drawSorts(); linePages.restart(); },
  mark(run, before, here) {
    before?.line?.classList.remove("marked");
    run.line?.classList.add("marked");
    if (!here) turnTable();
  },
};
views.push(tableView);

function drawDock(run) {
  $("dock").hidden = false;
  $("dock").replaceChildren(linked(run, { class: "name" }), badge(run), element("span", { class: "why" }, run.reasons.join("; ")));
}
views.push({ draw() { $("dock").hidden = !marked; }, mark: drawDock });
