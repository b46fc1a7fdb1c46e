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
const here = new Map(runs.filter((r) => r.verdict !== "failed").map((r) => [r.name, r.mask])); // the masks that are shown
const beside = new Map(Object.entries(data.beside)); // the masks that other pages show
const aside = new Map(); // this browser's, of other masks, where ratings.tsv has one: kept for their own page
const unkept = new Set(); // names whose last word is here alone: the store is full, or there is none
let wasSaved = false;
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

const storeKeys = () => Object.keys(localStorage).filter((key) => key.startsWith(STORES));

// a page with a run more or less has another key: what it keeps of the very masks shown here moves here, the later of two
function moveHere(kept) {
  const left = new Map();
  for (const key of storeKeys().filter((one) => one !== STORE)) {
    const theirs = stored(key);
    const moved = [...here].filter(([name, mask]) => theirs[name]?.mask === mask && (!isEntry(kept[name]) || kept[name].mask === mask));
    for (const [name] of moved) {
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

// as an entry is read, whatever wrote it
const entryOf = (one) => ({ rating: RATINGS.includes(one.rating) ? one.rating : "", note: plain(String(one.note || "")), mask: String(one.mask || ""), at: givenAt(one) });

// what is kept over what is on file; what could not be kept stays unless another tab had a later word
function take(kept) {
  const own = [...unkept].map((name) => [name, ratings.get(name)]);
  ratings.clear();
  aside.clear();
  onFile.forEach((one, name) => ratings.set(name, one));
  for (const [name, one] of Object.entries(kept)) {
    if (!isEntry(one)) continue; // not what keep wrote
    const entry = entryOf(one);
    const isAside = onFile.get(name)?.rating && isOfAnother(named.get(name), entry);
    (isAside ? aside : ratings).set(name, entry);
  }
  for (const [name, one] of own) {
    if (one && givenAt(one) >= givenAt(ratings.get(name) || UNRATED)) ratings.set(name, one);
  }
}

function differs(name, one) {
  const there = onFile.get(name);
  return Boolean(there?.rating) && !isOfAnother(named.get(name), there) && there.rating !== one.rating;
}

function recall() {
  let kept = {};
  try {
    kept = stored(STORE);
    moveHere(kept);
  } catch { /* said by keep */ }
  take(kept);
  keep(Object.keys(kept));
  const other = [...ratings].filter(([name, one]) => differs(name, one)).length;
  if (other) say(`${counted(other, "rating")} of this browser ${other === 1 ? "differs" : "differ"} from ratings.tsv; the browser's are shown.`);
}

// name -> the last word kept of the very mask, by whichever page
function lastWords(masks) {
  const found = new Map();
  for (const kept of storeKeys().map(stored)) {
    for (const [name, one] of Object.entries(kept)) {
      if (!isEntry(one) || !masks.has(name) || masks.get(name) !== one.mask) continue;
      if (!found.has(name) || givenAt(one) > givenAt(found.get(name))) found.set(name, entryOf(one));
    }
  }
  return found;
}

// another tab has kept something, or moved it to where a page of another version looks for it
function renew() {
  try {
    take({ ...stored(STORE), ...Object.fromEntries(lastWords(here)) });
  } catch { return; } // said by keep
  runs.forEach(showRating);
  showProgress();
  if (wasSaved) say(sinceSaved());
}

// a file that names no mask speaks of whatever mask is there
function isOnFile(name, one) {
  const there = onFile.get(name) || UNRATED;
  return same(one, there) && (!there.mask || there.mask === one.mask);
}

// the last word on these, and on those before that found no room; the others are as any tab left them
function keep(names) {
  names.forEach((name) => unkept.add(name));
  let isKept = true;
  try {
    const kept = stored(STORE);
    for (const name of unkept) {
      const one = ratings.get(name);
      const last = one && !isOnFile(name, one) ? one : aside.get(name);
      if (last) kept[name] = last;
      else delete kept[name];
    }
    localStorage.setItem(STORE, JSON.stringify(kept));
    unkept.clear();
  } catch {
    isKept = false;
  }
  $("unkept").hidden = isKept;
  showProgress();
}

function showProgress() {
  const given = runs.filter(isRated);
  const asked = runs.filter((r) => r.verdict === "check");
  $("progress").max = Math.max(1, asked.length || runs.length);
  $("progress").value = (asked.length ? asked.filter(isRated) : given).length;
  $("rated").textContent = `${given.length} of ${runs.length} rated` +
    (asked.length ? `, ${asked.filter(isRated).length} of ${asked.length} to check` : "");
}

function set(name, rating) {
  ratings.set(name, { ...rating, at: Date.now() });
  keep([name]);
  if (named.has(name)) showRating(named.get(name));
  say(sinceSaved()); // what was said before is of other ratings
}

const sinceSaved = () => (wasSaved ? "Changed since ratings.tsv was saved: save it again." : "");

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
  if (!shown.includes(named.get(name))) say(sinceSaved(), `Undone: ${name}, which is not shown.`);
  return named.get(name);
}

// what this browser keeps of masks that other pages of OUTPUT_DIR show, where it is the last word
function wordsBeside() {
  try {
    return [...lastWords(beside)].filter(([name, one]) => one.at >= givenAt(ratings.get(name) || UNRATED));
  } catch { return []; } // said by keep
}

// each with the mask that it was given to: of another mask it is not lost, and does not count
function table() {
  const words = new Map([...ratings, ...wordsBeside()]);
  const given = [...new Set([...named.keys(), ...words.keys()])].map((name) => [name, words.get(name)])
    .filter(([, one]) => one.rating || one.note);
  const lines = given.map(([name, { rating, note, mask }]) => [name, rating || "n/a", note || "n/a", mask || "n/a"]);
  return [["bids_name", "rating", "note", "mask_key"], ...lines].map((line) => line.join("\t")).join("\n") + "\n";
}

function save() {
  const url = URL.createObjectURL(new Blob([table()], { type: "text/tab-separated-values" }));
  element("a", { href: url, download: "ratings.tsv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
  const left = runs.filter((run) => isOfAnother(run, ratingOf(run))).length;
  wasSaved = true;
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
  keep([...found.keys()]);
  choose();
  const other = [...found.keys()].filter((name) => !named.has(name)).length;
  say([`${counted(found.size, "rating")} read`,
    ...(other ? [`${other} of them of runs that this page does not show: kept, and saved with the others`] : []),
    ...(another ? [`${another} of them rated on another mask: not counted`] : []),
    ...(damaged ? [`${counted(damaged, "damaged row")} left out`] : [])].join("; ") + ".", sinceSaved());
}

function forget() {
  if (!window.confirm("Take back what was rated in this browser since ratings.tsv was read?")) return;
  const names = [...ratings.keys(), ...aside.keys()];
  unkept.clear();
  take({});
  undone.length = 0;
  keep(names);
  choose();
  say("Forgotten.", sinceSaved());
}
