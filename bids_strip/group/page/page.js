"use strict";
// The group page: one list of runs, four views of it (masks, plots, table, ratings).
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { metrics, runs } = data;
  const $ = (id) => document.getElementById(id);
  const STORE = `bids_strip ratings ${data.dataset}`;
  const RATINGS = ["accept", "edit", "reject"];
  const PAGE = 50;
  const VERDICTS = { failed: 0, check: 1, ok: 2 };
  const COLOUR = { ok: "#0072b2", check: "#d55e00", failed: "#000000", mark: "#cc79a7" };

  runs.forEach((run, index) => { run.index = index; run.words = [run.name, ...run.reasons].join(" ").toLowerCase(); });

  // ratings -----------------------------------------------------------------------------------
  // what group read from ratings.tsv, then what this browser knows
  const ratings = new Map(runs.filter((r) => r.rating || r.note).map((r) => [r.name, { rating: r.rating, note: r.note }]));
  const known = new Set(runs.map((r) => r.name));

  function restoreRatings() {
    try {
      for (const [name, value] of Object.entries(JSON.parse(localStorage.getItem(STORE) || "{}"))) {
        if (known.has(name)) ratings.set(name, value);
      }
    } catch { say("this browser keeps no ratings for files; save them before you close the page"); }
  }

  function keepRatings() {
    try { localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(ratings))); } catch { /* said at the start */ }
    const given = [...ratings.values()].filter((r) => r.rating).length;
    $("rated").textContent = `${given} of ${runs.length} rated`;
  }

  function rate(run, rating) {
    const before = ratings.get(run.name) || { rating: "", note: "" };
    ratings.set(run.name, { ...before, rating: before.rating === rating ? "" : rating });
    keepRatings();
    showRating(run);
  }

  function annotate(run, note) {
    const before = ratings.get(run.name) || { rating: "", note: "" };
    ratings.set(run.name, { ...before, note: note.replace(/\s+/g, " ").trim() });
    keepRatings();
  }

  function showRating(run) {
    const { rating, note } = ratings.get(run.name) || { rating: "", note: "" };
    if (run.row) {
      run.row.dataset.rating = rating;
      run.row.querySelectorAll(".rate button[data-rating]").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.rating === rating)));
      const field = run.row.querySelector(".note");
      if (field && field !== document.activeElement) { field.value = note; field.hidden = !note; }
    }
    if (run.cell) run.cell.textContent = rating || "n/a";
  }

  function ratingsTable() {
    const lines = runs.filter((r) => ratings.has(r.name)).map((r) => {
      const { rating, note } = ratings.get(r.name);
      return [r.name, rating || "n/a", note || "n/a"];
    }).filter(([, rating, note]) => rating !== "n/a" || note !== "n/a");
    return [["bids_name", "rating", "note"], ...lines].map((line) => line.join("\t")).join("\n") + "\n";
  }

  function readRatings(text) {
    const [head, ...lines] = text.replace(/^\ufeff/, "").split(/\r?\n/).filter(Boolean).map((line) => line.split("\t"));
    const at = ["bids_name", "rating", "note"].map((name) => (head || []).indexOf(name));
    if (at[0] < 0 || at[1] < 0) { say("no ratings: the file needs the columns bids_name and rating"); return; }
    let taken = 0;
    for (const line of lines) {
      const [name, rating, note] = at.map((i) => (i < 0 || line[i] === "n/a" ? "" : line[i] || ""));
      if (known.has(name) && (rating === "" || RATINGS.includes(rating))) { ratings.set(name, { rating, note }); taken += 1; }
    }
    keepRatings();
    runs.forEach(showRating);
    say(`${taken} ratings read, ${lines.length - taken} of other runs left out`);
  }

  // the list ----------------------------------------------------------------------------------
  let shown = runs;
  let drawn = 0;
  let marked = null;
  let reversed = false;

  const worst = (a, b) => VERDICTS[a.verdict] - VERDICTS[b.verdict] || b.rank - a.rank || a.index - b.index;
  const value = (run, key) => {
    if (key === "name") return run.name;
    if (key === "rating") return (ratings.get(run.name) || {}).rating || "";
    return run.values[Number(key)];
  };

  function compare(key) {
    if (key === "worst") return worst;
    return (a, b) => {
      const x = value(a, key), y = value(b, key);
      if (x === y) return a.index - b.index;
      if (x === null || x === "") return 1;       // what is absent comes last, whatever the direction
      if (y === null || y === "") return -1;
      const way = reversed ? -1 : 1;
      return (x < y ? -1 : 1) * way || a.index - b.index;
    };
  }

  function choose() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const show = $("show").value;
    const key = $("sort").value;
    shown = runs.filter((run) => words.every((w) => run.words.includes(w)) && (
      show === "all" || run.verdict === show || (show === "unrated" && !(ratings.get(run.name) || {}).rating)));
    shown = [...shown].sort(compare(key));
    if (key === "worst" && reversed) shown.reverse();
    $("reverse").textContent = key === "worst" ? (reversed ? "best first" : "worst first") : (reversed ? "largest first" : "smallest first");
    $("reverse").setAttribute("aria-pressed", String(reversed));
    $("counts").textContent = counts();
    drawRows();
    drawTable();
    drawPlots();
  }

  function counts() {
    const of = (v) => runs.filter((r) => r.verdict === v).length;
    const all = `${runs.length} runs: ${of("check")} to check, ${of("failed")} failed, ${of("ok")} ok`;
    return shown.length === runs.length ? all : `${shown.length} shown of ${all}`;
  }

  function mark(run, from) {
    if (marked === run) return;
    if (marked) { marked.row?.classList.remove("marked"); marked.line?.classList.remove("marked"); }
    marked = run;
    if (run) { run.row?.classList.add("marked"); run.line?.classList.add("marked"); }
    if (from !== "plots") tip(null);
    drawPlots();
  }

  const open = (run) => { if (run.page) window.location.href = run.page; };

  // masks -------------------------------------------------------------------------------------
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, v] of Object.entries(attributes)) {
      if (name in made && typeof v !== "string") made[name] = v; else made.setAttribute(name, v);
    }
    made.append(...children);
    return made;
  }

  const lazily = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      const image = entry.target.querySelector("img[data-run]");
      if (image) { image.src = runs[image.dataset.run].tile; image.removeAttribute("data-run"); }
      lazily.unobserve(entry.target);
    }
  }, { rootMargin: "800px" });

  function picture(run) {
    if (run.tile) {
      return element("img", { "data-run": String(run.index), alt: `slices of ${run.name} with the mask's contour`, width: String(data.tile[0]), height: String(data.tile[1]) });
    }
    const why = run.verdict === "failed" ? "no mask: the run failed" : run.figure ? "open the picture" : "no picture";
    return run.figure ? element("a", { class: "none", href: run.figure }, why) : element("div", { class: "none" }, why);
  }

  function row(run) {
    const name = element("span", { class: "name" }, run.page ? element("a", { href: run.page }, run.name) : run.name);
    const buttons = RATINGS.map((r) => {
      const button = element("button", { type: "button", "data-rating": r, "aria-pressed": "false", tabindex: "-1" }, r);
      button.addEventListener("click", () => rate(run, r));
      return button;
    });
    const note = element("input", { class: "note", type: "text", placeholder: "note", "aria-label": `note on ${run.name}`, hidden: true });
    note.addEventListener("input", () => annotate(run, note.value));
    note.addEventListener("blur", () => { annotate(run, note.value); note.hidden = !note.value.trim(); });
    const write = element("button", { type: "button", tabindex: "-1" }, "note");
    write.addEventListener("click", () => { note.hidden = false; note.focus(); });
    const side = element("div", {},
      name, " ", element("span", { class: `verdict ${run.verdict}` }, run.verdict),
      element("div", { class: "why" }, run.reasons.join("; ")),
      element("div", { class: "rate" }, ...buttons, write), note);
    const made = element("li", { tabindex: "0", "data-name": run.name }, side, picture(run));
    made.addEventListener("focus", () => mark(run, "masks"));
    made.addEventListener("mouseenter", () => mark(run, "masks"));
    run.row = made;
    lazily.observe(made);
    return made;
  }

  function drawRows() {
    runs.forEach((run) => { run.row = null; });
    lazily.disconnect();
    drawn = 0;
    $("rows").replaceChildren();
    moreRows();
  }

  function moreRows(until = drawn + PAGE) {
    const next = shown.slice(drawn, until);
    $("rows").append(...next.map(row));
    next.forEach((run) => { showRating(run); if (run === marked) run.row.classList.add("marked"); });
    drawn += next.length;
    $("more").hidden = drawn >= shown.length;
    $("more").textContent = `Show more (${shown.length - drawn} left)`;
  }

  function step(by) {
    const at = marked ? shown.indexOf(marked) : -1;
    const next = shown[Math.min(shown.length - 1, Math.max(0, at + by))];
    if (!next) return;
    if (!next.row) moreRows(shown.indexOf(next) + PAGE);
    next.row.focus({ preventScroll: true });
    next.row.scrollIntoView({ block: "nearest" });
    mark(next, "masks");
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing) {
      if (event.key === "Escape" || (event.key === "Enter" && event.target.matches(".note"))) {
        event.target.blur();
        marked?.row?.focus();
      }
      return;
    }
    const doing = {
      j: () => step(1), k: () => step(-1),
      a: () => rate(marked, "accept"), e: () => rate(marked, "edit"), r: () => rate(marked, "reject"),
      u: () => { ratings.set(marked.name, { rating: "", note: "" }); keepRatings(); showRating(marked); },
      n: () => { const field = marked.row?.querySelector(".note"); if (field) { field.hidden = false; field.focus(); } },
      Enter: () => { if (event.target.matches("li")) open(marked); },
      "/": () => $("search").focus(),
    }[event.key];
    if (!doing || (!marked && !"jk/".includes(event.key))) return;
    if (event.key !== "Enter") event.preventDefault();
    doing();
  }

  // plots -------------------------------------------------------------------------------------
  const HEIGHT = 78, LEFT = 8, RIGHT = 8, MIDDLE = 28, SPREAD = 17;
  const plots = [];
  const quantile = (sorted, q) => {
    const at = (sorted.length - 1) * q, low = Math.floor(at);
    return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
  };
  // the same scatter every time: a run keeps its height
  const jitter = (index) => (((index * 2654435761) >>> 0) / 4294967296 - 0.5) * 2;

  function makePlot(metric, k) {
    const values = runs.map((r) => r.values[k]);
    const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
    if (!sorted.length) return;
    const canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": `${metric.title}: ${sorted.length} runs, median ${text(quantile(sorted, 0.5))}` });
    const better = { lower: "lower is better", higher: "higher is better", one: "1 is best", none: "" }[metric.better];
    const caption = element("figcaption", { title: metric.description }, metric.title, element("span", {}, ` ${metric.unit} ${better}`));
    $("grid").append(element("figure", {}, caption, canvas));
    const plot = { canvas, k, sorted, low: sorted[0], high: sorted[sorted.length - 1], quarters: [0.25, 0.5, 0.75].map((q) => quantile(sorted, q)) };
    canvas.addEventListener("mousemove", (event) => pointed(plot, event));
    canvas.addEventListener("mouseleave", () => tip(null));
    canvas.addEventListener("click", (event) => { const run = nearest(plot, event); if (run) open(run); });
    canvas.addEventListener("keydown", (event) => stepPlot(plot, event));
    plots.push(plot);
  }

  const x = (plot, v, width) => LEFT + (plot.high > plot.low ? (v - plot.low) / (plot.high - plot.low) : 0.5) * (width - LEFT - RIGHT);
  const y = (run) => MIDDLE + jitter(run.index) * SPREAD;

  function drawPlots() {
    if (drawPlots.asked) return;
    drawPlots.asked = true;
    requestAnimationFrame(() => { drawPlots.asked = false; const visible = new Set(shown); plots.forEach((plot) => drawPlot(plot, visible)); });
  }

  function drawPlot(plot, visible) {
    const { canvas, k } = plot;
    const width = canvas.clientWidth || 320, scale = window.devicePixelRatio || 1;
    canvas.width = width * scale;
    canvas.height = HEIGHT * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const [a, m, b] = plot.quarters.map((v) => x(plot, v, width));
    pen.fillStyle = "#e6eaee";
    pen.fillRect(a, MIDDLE - SPREAD, Math.max(1, b - a), 2 * SPREAD);
    pen.fillStyle = "#5b6570";
    pen.fillRect(m - 0.75, MIDDLE - SPREAD, 1.5, 2 * SPREAD);
    const dot = (run, colour, size) => {
      pen.fillStyle = colour;
      pen.beginPath();
      if (run.verdict === "check") pen.rect(x(plot, run.values[k], width) - size, y(run) - size, 2 * size, 2 * size);
      else pen.arc(x(plot, run.values[k], width), y(run), size, 0, 7);
      pen.fill();
    };
    for (const pass of ["ok", "check"]) {
      pen.globalAlpha = 0.7;
      runs.forEach((run) => { if (run.verdict === pass && run.values[k] !== null && visible.has(run)) dot(run, COLOUR[pass], 2.2); });
    }
    pen.globalAlpha = 1;
    if (marked && marked.values[k] !== null) {
      dot(marked, "#ffffff", 6.5);
      dot(marked, COLOUR.mark, 5);
    }
    pen.fillStyle = "#5b6570";
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "bottom";
    pen.textAlign = "left";
    pen.fillText(text(plot.low), LEFT, HEIGHT - 1);
    pen.textAlign = "right";
    pen.fillText(text(plot.high), width - RIGHT, HEIGHT - 1);
    if (marked && marked.values[k] !== null) {
      pen.textAlign = "center";
      pen.fillStyle = "#8c3f6b";
      pen.fillText(text(marked.values[k]), Math.min(width - 60, Math.max(60, x(plot, marked.values[k], width))), HEIGHT - 13);
    }
  }

  function nearest(plot, event) {
    const box = plot.canvas.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = 14 * 14;
    for (const run of shown) {
      const v = run.values[plot.k];
      if (v === null) continue;
      const d = (x(plot, v, box.width) - at[0]) ** 2 + (y(run) - at[1]) ** 2;
      if (d < least) { least = d; best = run; }
    }
    return best;
  }

  function pointed(plot, event) {
    const run = nearest(plot, event);
    plot.canvas.style.cursor = run?.page ? "pointer" : "default";
    if (!run) { tip(null); return; }
    mark(run, "plots");
    tip(`${run.name}: ${text(run.values[plot.k])} ${run.reasons.join("; ")}`, event.clientX, event.clientY);
  }

  function stepPlot(plot, event) {
    if (event.key === "Enter" && marked) { open(marked); return; }
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const order = shown.filter((r) => r.values[plot.k] !== null).sort((p, q) => p.values[plot.k] - q.values[plot.k]);
    const at = order.indexOf(marked);
    mark(order[at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by))], "plots");
    const box = plot.canvas.getBoundingClientRect();
    if (marked) tip(`${marked.name}: ${text(marked.values[plot.k])}`, box.left + x(plot, marked.values[plot.k], box.width), box.top + HEIGHT);
  }

  function tip(words, left, top) {
    $("tip").hidden = !words;
    if (!words) return;
    $("tip").textContent = words;
    $("tip").style.left = `${Math.min(left + 12, window.innerWidth - 320)}px`;
    $("tip").style.top = `${Math.min(top + 14, window.innerHeight - 60)}px`;
  }

  // table -------------------------------------------------------------------------------------
  const COLUMNS = [
    { title: "run", key: "name", kind: "text" },
    { title: "verdict", key: "worst", kind: "text" },
    { title: "rating", key: "rating", kind: "text" },
    ...metrics.map((m, k) => ({ title: m.title, key: String(k), unit: m.unit, description: m.description })),
    { title: "reasons", kind: "text" },
  ];

  function makeHead() {
    const cells = COLUMNS.map((column) => {
      const cell = element("th", { scope: "col", class: column.kind || "", title: column.description || "" });
      const unit = column.unit ? ` (${column.unit})` : "";
      if (!column.key) { cell.append(column.title); return cell; }
      const button = element("button", { type: "button" }, column.title + unit);
      button.addEventListener("click", () => sortBy(column.key));
      cell.append(button);
      cell.dataset.key = column.key;
      return cell;
    });
    document.querySelector("#table thead").append(element("tr", {}, ...cells));
  }

  function sortBy(key) {
    reversed = $("sort").value === key ? !reversed : false;
    $("sort").value = key;
    choose();
  }

  function line(run) {
    const numbers = run.values.map((v, k) => element("td", { class: run.odd.includes(k) ? "out" : "" }, v === null ? "n/a" : text(v)));
    run.cell = element("td", { class: "text" }, (ratings.get(run.name) || {}).rating || "n/a");
    run.line = element("tr", {},
      element("td", {}, run.page ? element("a", { href: run.page }, run.name) : run.name),
      element("td", { class: "text" }, element("span", { class: `verdict ${run.verdict}` }, run.verdict)),
      run.cell, ...numbers,
      element("td", { class: "text why", title: run.reasons.join("; ") }, run.reasons.join("; ")));
    run.line.addEventListener("mouseenter", () => mark(run, "table"));
    return run.line;
  }

  function drawTable() {
    const body = document.querySelector("#table tbody");
    body.replaceChildren(...shown.map((run) => run.line || line(run)));
    const key = $("sort").value;
    document.querySelectorAll("#table th[data-key]").forEach((cell) => {
      cell.setAttribute("aria-sort", cell.dataset.key === key ? (reversed ? "descending" : "ascending") : "none");
    });
  }

  // words -------------------------------------------------------------------------------------
  function text(v) {
    if (Number.isInteger(v)) return String(v);
    const size = Math.abs(v);
    return size >= 100 ? v.toFixed(0) : size >= 10 ? v.toFixed(1) : size >= 1 ? v.toFixed(2) : v.toPrecision(3);
  }

  function say(words) { $("rated").textContent = words; }

  function fill(select, options) {
    select.append(...options.map(([v, words]) => element("option", { value: v }, words)));
  }

  function begin() {
    fill($("show"), [["all", "all runs"], ["check", "to check"], ["failed", "failed"], ["ok", "ok"], ["unrated", "not rated"]]);
    fill($("sort"), [["worst", "verdict"], ["name", "name"], ["rating", "rating"], ...metrics.map((m, k) => [String(k), m.title])]);
    metrics.forEach(makePlot);
    makeHead();
    $("legend").append(...metrics.flatMap((m) => [element("dt", {}, `${m.title} ${m.unit ? `(${m.unit})` : ""}`), element("dd", {}, m.description)]));
    restoreRatings();
    keepRatings();
    $("search").addEventListener("input", choose);
    $("show").addEventListener("change", choose);
    $("sort").addEventListener("change", () => { reversed = false; choose(); });
    $("reverse").addEventListener("click", () => { reversed = !reversed; choose(); });
    $("more").addEventListener("click", () => moreRows());
    $("export").addEventListener("click", () => {
      const link = element("a", { href: URL.createObjectURL(new Blob([ratingsTable()], { type: "text/tab-separated-values" })), download: "ratings.tsv" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    $("import").addEventListener("change", async (event) => { const [file] = event.target.files; if (file) readRatings(await file.text()); event.target.value = ""; });
    document.addEventListener("keydown", onKey);
    window.addEventListener("resize", drawPlots);
    choose();
    document.body.dataset.ready = "true";
  }

  begin();
})();
