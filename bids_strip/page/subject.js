"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // views: the stripped brain, the head without its contour, one after the other
  const toggled = (button, name) => {
    const on = document.body.classList.toggle(name);
    button.setAttribute("aria-pressed", String(on));
  };
  const strip = () => toggled(byId("strip"), "stripped");
  const bare = () => toggled(byId("bare"), "bare");
  byId("strip").addEventListener("click", strip);
  byId("bare").addEventListener("click", bare);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("button, input, summary, a")) return;
    if (event.key === " ") { event.preventDefault(); strip(); }
    if (event.key === "c") bare();
  });

  const flicker = byId("flicker");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = 0;
  const flickers = () => {
    clearInterval(timer);
    if (flicker.checked) timer = setInterval(strip, 800);
  };
  const quiet = () => {
    flicker.disabled = still.matches;
    byId("still").hidden = !still.matches;
    if (still.matches) flicker.checked = false;
    flickers();
  };
  flicker.addEventListener("change", flickers);
  still.addEventListener("change", quiet);
  quiet();

  // what a metric is, beside its name
  const tip = byId("tip");
  const hide = () => { tip.hidden = true; };
  for (const term of document.querySelectorAll("a.term")) {
    const show = () => {
      const place = term.getBoundingClientRect();
      tip.textContent = document.querySelector(`${term.hash.replace(/[^#\w-]/g, "")} + dd`).textContent;
      tip.style.left = `${scrollX + place.left}px`;
      tip.style.top = `${scrollY + place.bottom + 4}px`;
      tip.hidden = false;
    };
    for (const name of ["mouseenter", "focus"]) term.addEventListener(name, show);
    for (const name of ["mouseleave", "blur"]) term.addEventListener(name, hide);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // where a value stands among the percentiles 0 to 100 of its group: 0 to 100, ties in their middle
  const rank = (percentiles, value) => {
    const under = percentiles.filter((p) => p < value).length;
    const upTo = percentiles.filter((p) => p <= value).length;
    if (upTo > under) return (under + upTo - 1) / 2;
    if (under === 0) return 0;
    if (under === percentiles.length) return percentiles.length - 1;
    const [low, high] = [percentiles[under - 1], percentiles[under]];
    return under - 1 + (value - low) / (high - low);
  };
  const ordinal = (n) => {
    const teen = n % 100 > 10 && n % 100 < 14;
    return n + (teen ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] || "th");
  };
  const placed = (cell, group) => {
    const percentiles = group.metrics[cell.dataset.key];
    if (!Array.isArray(percentiles)) { cell.textContent = "not in the group"; return; }
    const at = rank(percentiles, Number(cell.dataset.value));
    const spot = document.createElement("span");
    const mark = document.createElement("i");
    spot.className = "spot";
    mark.style.left = `${at}%`;
    spot.append(mark);
    cell.replaceChildren(spot, `${ordinal(Math.round(at))} percentile of ${group.n}`);
  };
  const tables = [...document.querySelectorAll("table[data-suffix]")];
  const load = (suffixes) => {
    if (!suffixes.length) { document.body.dataset.ready = "true"; return; }
    const [suffix, ...others] = suffixes;
    const script = document.createElement("script");
    script.src = `group_${suffix}.js`;
    script.onload = () => {
      const group = window.bidsStripGroups?.[suffix];
      if (group) {
        for (const table of tables.filter((one) => one.dataset.suffix === suffix)) {
          for (const cell of table.querySelectorAll("td.place")) placed(cell, group);
        }
      }
      load(others);
    };
    script.onerror = () => load(others);
    document.head.append(script);
  };
  load([...new Set(tables.map((table) => table.dataset.suffix))]);
})();
