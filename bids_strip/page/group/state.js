// What the page shows: one list of runs. Each view draws it and tells `mark` what is pointed at.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { metrics, runs } = data;
const VERDICTS = ["check", "failed", "ok"]; // a run that failed has no mask to look at
const views = []; // {draw(), mark(run, before)} of masks, plots, table, dock
let shown = runs;
let marked = null;
let reversed = false;

metrics.forEach((metric, index) => { metric.index = index; });
runs.forEach((run, index) => {
  run.index = index;
  run.words = [run.name, run.verdict, run.scanner, ...run.reasons].join(" ").toLowerCase();
});

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, v] of Object.entries(attributes)) {
    if (typeof v === "boolean") made[name] = v;
    else made.setAttribute(name, v);
  }
  made.append(...children);
  return made;
}

function text(v) {
  if (v === null) return "n/a";
  const size = Math.abs(v);
  if (Number.isInteger(v) || size >= 1000) return v.toFixed(0);
  return size >= 100 ? v.toFixed(1) : size >= 1 ? v.toFixed(2) : String(Number(v.toPrecision(3)));
}

const counted = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
const withUnit = (metric) => (metric.unit ? `${metric.title} (${metric.unit})` : metric.title);

function meaning(metric) {
  const range = metric.range && `range ${metric.range}`;
  return [metric.description, range, metric.better, metric.source].filter(Boolean).join("; ");
}

function say(...words) { $("said").textContent = words.filter(Boolean).join(" "); }

// order and search ------------------------------------------------------------------------------
const worst = (a, b) => VERDICTS.indexOf(a.verdict) - VERDICTS.indexOf(b.verdict) || b.rank - a.rank || a.index - b.index;

function keyed(run, key) {
  if (key === "name") return run.name;
  if (key === "rating") return ratingOf(run).rating || null;
  return run.values[Number(key)];
}

function order(key) {
  if (key === "worst") return reversed ? (a, b) => worst(b, a) : worst;
  const way = reversed ? -1 : 1;
  return (a, b) => {
    const x = keyed(a, key), y = keyed(b, key);
    if (x === y) return a.index - b.index;
    if (x === null) return 1; // what is absent comes last, whatever the direction
    if (y === null) return -1;
    return x < y ? -way : way;
  };
}

const LIMIT = /^(\w+)(<=|>=|<|>|=)(\S+)$/;
// words of the search; blanks beside the sign of a limit part none
const searched = () => $("search").value.toLowerCase().replace(/(\w)\s*(<=|>=|<|>|=)\s*(?=[-+.\d])/g, "$1$2").split(/\s+/).filter(Boolean);

// what keeps a limit from being one
function misread(word) {
  const [, key, , number] = LIMIT.exec(word) || [];
  if (!key) return [];
  const known = metrics.some((m) => m.key.toLowerCase() === key), isNumber = Number.isFinite(Number(number));
  if (known && !isNumber) return [`${number} is no number`];
  return isNumber && !known ? [`no metric is called ${key}`] : [];
}

// a word is looked up in the run's own; `metric<1` is a limit
function condition(word) {
  const [, key, sign, number] = LIMIT.exec(word) || [];
  const k = metrics.findIndex((m) => m.key.toLowerCase() === key);
  if (k < 0 || !Number.isFinite(Number(number))) return (run) => run.words.includes(word) || ratingOf(run).note.toLowerCase().includes(word);
  const holds = {
    "<": (v, n) => v < n, ">": (v, n) => v > n, "<=": (v, n) => v <= n, ">=": (v, n) => v >= n, "=": (v, n) => v === n,
  }[sign];
  return (run) => run.values[k] !== null && holds(run.values[k], Number(number));
}

function fits(show) {
  if (show === "all") return () => true;
  if (show === "unrated") return (run) => !isRated(run);
  return (run) => run.verdict === show || ratingOf(run).rating === show;
}

function choose() {
  const conditions = [fits($("show").value), ...searched().map(condition)];
  shown = runs.filter((run) => conditions.every((holds) => holds(run))).sort(order($("sort").value));
  if (!shown.includes(marked)) marked = null; // no key reaches a run that is not shown
  const [up, down] = $("sort").value === "worst" ? ["worst first", "best first"] : ["smallest first", "largest first"];
  $("reverse").textContent = reversed ? down : up;
  $("reverse").setAttribute("aria-pressed", String(reversed));
  $("counts").textContent = counts();
  views.forEach((view) => view.draw());
}

function counts() {
  const of = (verdict) => runs.filter((r) => r.verdict === verdict).length;
  const all = `${of("check")} to check, ${of("failed")} failed, ${of("ok")} ok`;
  const told = shown.length === runs.length ? all : `${shown.length} shown of ${runs.length}: ${all}`;
  return [told, ...searched().flatMap(misread)].join("; ");
}

function sortBy(key) {
  reversed = $("sort").value === key ? !reversed : false;
  $("sort").value = key;
  choose();
}

// the marked run --------------------------------------------------------------------------------
// `from` is the view that it was pointed at in: the others turn to it
function mark(run, from) {
  if (!run || marked === run) return;
  const before = marked;
  marked = run;
  views.forEach((view) => view.mark(run, before, view === from));
}

function openPage(run, aside = false) {
  if (!run.page) return;
  if (aside) window.open(run.page);
  else window.location.href = run.page;
}

const linked = (run, attributes = {}) => (run.page ? element("a", { ...attributes, href: run.page }, run.name) : element("span", attributes, run.name));
const badge = (run) => element("span", { class: `verdict ${run.verdict}` }, run.verdict);
