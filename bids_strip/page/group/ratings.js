// Ratings: what group read from ratings.tsv, and over it what this browser keeps.
const STORES = "bids_strip ratings ";
const STORE = `${STORES}${data.dataset}`;
const RATINGS = ["accept", "edit", "reject"];
const ABSENT = ["", "n/a"];
const UNRATED = { rating: "", note: "" };
const onFile = new Map([
  ...Object.entries(data.others).map(([name, [rating, note, mask]]) => [name, { rating, note, mask }]),
  ...runs.map((r) => [r.name, { rating: r.rating, note: r.note, mask: r.rated }]),
]);
const ratings = new Map(onFile);
const named = new Map(runs.map((r) => [r.name, r]));
const aside = new Map(); // this browser's, of other masks, where ratings.tsv has one: kept for their own page
const undone = []; // [name, rating before], the last change last

const ratingOf = (run) => ratings.get(run.name);
// the browser's key is that of the inputs: another OUTPUT_DIR may have other masks of them, ratings.tsv too
const isOfAnother = (run, { rating, mask }) => Boolean(run && rating && mask && mask !== run.mask);
const isRated = (run) => Boolean(ratingOf(run).rating) && !isOfAnother(run, ratingOf(run));
const same = (a, b) => a.rating === b.rating && a.note === b.note;
const plain = (words) => words.replace(/\s+/g, " ").trim();

const givenAt = ({ at }) => Number(at) || 0; // ms; 0 where an earlier version kept it
const isEntry = (one) => Boolean(one) && typeof one === "object" && !Array.isArray(one);

function stored(key) {
  try {
    const kept = JSON.parse(localStorage.getItem(key) || "{}");
    return isEntry(kept) ? kept : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {}; // not what keep wrote
    throw error;
  }
}

// a page with a run more or less has another key: what it keeps of the very masks shown here moves here, the later of two
function moveHere(kept) {
  const left = new Map();
  for (const key of Object.keys(localStorage).filter((one) => one.startsWith(STORES) && one !== STORE)) {
    const theirs = stored(key);
    const moved = runs.filter(({ name, mask, verdict }) => verdict !== "failed" && theirs[name]?.mask === mask
      && (!isEntry(kept[name]) || kept[name].mask === mask));
    for (const { name } of moved) {
      if (!isEntry(kept[name]) || givenAt(theirs[name]) > givenAt(kept[name])) kept[name] = theirs[name];
      delete theirs[name];
    }
    if (moved.length) left.set(key, theirs);
  }
  if (!left.size) return;
  localStorage.setItem(STORE, JSON.stringify(kept)); // first here: nothing is lost on the way
  left.forEach((theirs, key) => {
    if (Object.keys(theirs).length) localStorage.setItem(key, JSON.stringify(theirs));
    else localStorage.removeItem(key);
  });
}

function recall() {
  let kept = {};
  try {
    kept = stored(STORE);
    moveHere(kept);
  } catch {
    say("This browser keeps no ratings for files: save them before you close the page.");
  }
  let other = 0;
  for (const [name, one] of Object.entries(kept)) {
    if (!isEntry(one)) continue; // not what keep wrote
    const before = onFile.get(name) || UNRATED;
    const own = { rating: RATINGS.includes(one.rating) ? one.rating : "", note: plain(String(one.note || "")), mask: String(one.mask || ""), at: givenAt(one) };
    if (before.rating && isOfAnother(named.get(name), own)) { aside.set(name, own); continue; }
    other += before.rating && !isOfAnother(named.get(name), before) && before.rating !== own.rating ? 1 : 0;
    ratings.set(name, own);
  }
  if (other) say(`${counted(other, "rating")} of this browser ${other === 1 ? "differs" : "differ"} from ratings.tsv; the browser's are shown.`);
}

// a file that names no mask speaks of whatever mask is there
function isOnFile(name, one) {
  const there = onFile.get(name) || UNRATED;
  return same(one, there) && (!there.mask || there.mask === one.mask);
}

function keep() {
  const changed = [...ratings].filter(([name, one]) => !isOnFile(name, one));
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries([...aside, ...changed])));
  } catch { /* said by recall */ }
  const given = runs.filter(isRated);
  const asked = runs.filter((r) => r.verdict === "check");
  $("progress").max = Math.max(1, asked.length || runs.length);
  $("progress").value = (asked.length ? asked.filter(isRated) : given).length;
  $("rated").textContent = `${given.length} of ${runs.length} rated` +
    (asked.length ? `, ${asked.filter(isRated).length} of ${asked.length} to check` : "");
}

function set(name, rating) {
  ratings.set(name, { ...rating, at: Date.now() });
  keep();
  if (named.has(name)) showRating(named.get(name));
}

function rate(run, rating) {
  const before = ratingOf(run);
  undone.push([run.name, before]);
  set(run.name, { ...before, rating: isRated(run) && before.rating === rating ? "" : rating, mask: run.mask });
}

// with each letter: a page may be left before the field is
function annotate(run, words) {
  const before = ratingOf(run);
  set(run.name, { ...before, note: plain(words), mask: before.rating ? before.mask : run.mask });
}

function annotated(run, before) {
  if (before && !same(before, ratingOf(run))) undone.push([run.name, before]);
}

function undo() {
  const [name, before] = undone.pop() || [];
  if (!name) { say("Nothing to undo."); return null; }
  set(name, before);
  if (!shown.includes(named.get(name))) say(`Undone: ${name}, which is not shown.`);
  return named.get(name);
}

// each with the mask that it was given to: of another mask it is not lost, and does not count
function table() {
  const given = [...new Set([...named.keys(), ...ratings.keys()])].map((name) => [name, ratings.get(name)])
    .filter(([, one]) => one.rating || one.note);
  const lines = given.map(([name, { rating, note, mask }]) => [name, rating || "n/a", note || "n/a", mask || "n/a"]);
  return [["bids_name", "rating", "note", "mask_key"], ...lines].map((line) => line.join("\t")).join("\n") + "\n";
}

function save() {
  const url = URL.createObjectURL(new Blob([table()], { type: "text/tab-separated-values" }));
  element("a", { href: url, download: "ratings.tsv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  const left = runs.filter((run) => isOfAnother(run, ratingOf(run))).length;
  say("Saved. Put ratings.tsv into OUTPUT_DIR, or give it with --ratings, and run the group level again." +
    (left ? ` ${counted(left, "rating")} given to another mask: saved as such, not counted.` : ""));
}

// a cell as spreadsheets save one that holds quotes or a comma: within quotes, each of its own doubled
function unquoted(cell) {
  const inside = /^"((?:[^"]|"")*)"$/.exec(cell)?.[1];
  return inside && /""|,/.test(inside) ? inside.replaceAll('""', '"') : cell;
}

// [cells, number of the line] of each line that is not blank
function rowsOf(words) {
  const lines = words.replace(/^\ufeff/, "").split(/\r\n?|\n/).map((line, k) => [line.split("\t").map((cell) => unquoted(cell.trim())), k + 1]);
  const rows = lines.filter(([cells]) => cells.some(Boolean));
  return rows.length ? rows : [[[], 1]];
}

function load(words) {
  const [[head], ...lines] = rowsOf(words);
  const at = ["bids_name", "rating", "note", "mask_key"].map((name) => head.indexOf(name));
  if (at[0] < 0 || at[1] < 0) { say("Not read: the file needs the columns bids_name and rating."); return; }
  const found = new Map();
  let damaged = 0;
  for (const [line, number] of lines) {
    const [name, given, note, key] = at.map((i) => line[i] || "").map((words) => (ABSENT.includes(words.toLowerCase()) ? "" : plain(words)));
    const rating = given.toLowerCase();
    if (!name && !rating) continue; // as spreadsheets leave
    if (!name || !["", ...RATINGS].includes(rating)) { damaged += 1; continue; }
    if (found.has(name)) { say(`Not read: line ${number}: ${name} stands in line ${found.get(name).number} already; leave one of the two.`); return; }
    found.set(name, { number, rating, note, mask: key || named.get(name)?.mask });
  }
  let another = 0;
  for (const [name, { rating, note, mask }] of found) {
    const before = ratings.get(name) || UNRATED;
    const run = named.get(name);
    if (isOfAnother(run, { rating, mask })) {
      another += 1;
      if (isRated(run)) continue; // what was said of this mask stays
    }
    if (same(before, { rating, note }) && (!before.mask || before.mask === mask)) continue;
    undone.push([name, before]);
    ratings.set(name, { rating, note, mask, at: Date.now() });
  }
  keep();
  choose();
  const other = [...found.keys()].filter((name) => !named.has(name)).length;
  say([`${counted(found.size, "rating")} read`,
    ...(other ? [`${other} of them of runs that this page does not show: kept, and saved with the others`] : []),
    ...(another ? [`${another} of them rated on another mask: not counted`] : []),
    ...(damaged ? [`${counted(damaged, "damaged row")} left out`] : [])].join("; ") + ".");
}

function forget() {
  if (!window.confirm("Take back what was rated in this browser since ratings.tsv was read?")) return;
  ratings.clear();
  aside.clear();
  onFile.forEach((one, name) => ratings.set(name, one));
  undone.length = 0;
  keep();
  choose();
  say("Forgotten.");
}
