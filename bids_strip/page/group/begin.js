// Wiring.
const fill = (select, options) => select.append(...options.map(([v, words]) => element("option", { value: v }, words)));

fill($("show"), [["all", "all runs"], ["check", "to check"], ["failed", "failed"], ["ok", "ok"], ["unrated", "not rated"],
  ["accept", "accepted"], ["edit", "to edit"], ["reject", "rejected"]]);
fill($("sort"), [["worst", "verdict"], ["name", "name"], ["rating", "rating"], ...metrics.map((m) => [String(m.index), m.title])]);
$("legend").append(...metrics.flatMap((m) => [element("dt", {}, withUnit(m)), element("dd", {}, meaning(m))]));
document.querySelector("#keys dl").append(...KEYS.flatMap(([key, words]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, words)]));
readColours();
recall();
makeHead();
metrics.forEach(makePlot);
history.scrollRestoration = "manual";
const left = remembered();
if (left) chooseAgain(left);
choose();
if (left) goBack(left);

$("search").addEventListener("input", choose);
$("show").addEventListener("change", choose);
$("sort").addEventListener("change", () => { reversed = false; choose(); });
$("reverse").addEventListener("click", () => { reversed = !reversed; choose(); });
$("export").addEventListener("click", save);
$("forget").addEventListener("click", forget);
$("ask").addEventListener("click", () => $("keys").showModal());
$("import").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (file) load(await file.text());
  event.target.value = "";
});
document.addEventListener("keydown", onKey);
window.addEventListener("storage", ({ key }) => { if (key?.startsWith(STORES)) renew(); });
window.addEventListener("pagehide", remember);
window.addEventListener("pageshow", ({ persisted }) => { if (persisted) renew(); }); // what was kept while it lay in the history
window.addEventListener("resize", redrawPlots);
window.addEventListener("beforeprint", () => { fillPictures(); plotted.forEach(drawPlot); }); // of what is shown, in sight or not
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColours(); redrawPlots(); });
document.body.dataset.ready = "true";
