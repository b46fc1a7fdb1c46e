// Strip and box plots: all marks are drawn once; what is pointed at is drawn over them.
const HEIGHT = 78, SIDE = 9, MIDDLE = 27, SPREAD = 17, REACH = 14;
const plotted = [];
let colours = {};
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const readColours = () => {
  const style = getComputedStyle(document.documentElement);
  colours = Object.fromEntries(["ok", "check", "failed", "mark", "box", "ink", "dim", "paper"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
};
const quantile = (sorted, q) => {
  const at = (sorted.length - 1) * q, low = Math.floor(at);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low);
};
// the same scatter every time: a run keeps its height
const height = (run) => MIDDLE + (((run.index * 2654435761) >>> 0) / 2147483648 - 1) * SPREAD;

function makePlot(metric, k) {
  const sorted = runs.map((r) => r.values[k]).filter((v) => v !== null).sort((a, b) => a - b);
  if (!sorted.length) return;
  const [low, high] = [sorted[0], sorted.at(-1)];
  const [first, middle, third] = [0.25, 0.5, 0.75].map((q) => quantile(sorted, q));
  const reach = 1.5 * (third - first);
  const canvas = element("canvas", {
    tabindex: "0", role: "slider", "aria-label": `${withUnit(metric)}, ${counted(sorted.length, "run")}, median ${text(middle)}`,
    "aria-valuemin": String(low), "aria-valuemax": String(high), "aria-valuenow": String(middle), "aria-valuetext": "no run marked",
    "data-metric": metric.key,
  });
  const plot = {
    canvas, k, low, high, base: null, near: false,
    box: [first, middle, third], whiskers: [sorted.find((v) => v >= first - reach), sorted.findLast((v) => v <= third + reach)],
  };
  $("grid").append(element("figure", {}, caption(metric), canvas));
  canvas.addEventListener("pointermove", (event) => pointed(plot, event));
  canvas.addEventListener("pointerleave", () => tip(null));
  canvas.addEventListener("click", (event) => {
    const run = nearest(plot, event);
    if (!run) return;
    mark(run, plots);
    if (run.page) openPage(run, event.ctrlKey || event.metaKey);
    else goTo(run);
  });
  canvas.addEventListener("keydown", (event) => stepPlot(plot, event));
  plotted.push(plot);
  inView.observe(canvas);
}

function caption(metric) {
  const words = element("p", { class: "meaning", hidden: true }, meaning(metric));
  const ask = element("button", { type: "button", "aria-expanded": "false", "aria-label": `what is ${metric.title}?`, title: meaning(metric) }, "?");
  ask.addEventListener("click", () => {
    words.hidden = !words.hidden;
    ask.setAttribute("aria-expanded", String(!words.hidden));
  });
  const side = [metric.unit, metric.better].filter(Boolean).join(", ");
  return element("div", {}, element("figcaption", { title: meaning(metric) }, metric.title, element("span", {}, side), ask), words);
}

const inView = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    const plot = plotted.find((one) => one.canvas === target);
    plot.near = isIntersecting;
    if (isIntersecting) drawPlot(plot);
  }
}, { rootMargin: "200px" });

const across = (plot, v, width) => SIDE + (plot.high > plot.low ? (v - plot.low) / (plot.high - plot.low) : 0.5) * (width - 2 * SIDE);

function sign(pen, run, left, size) {
  if (run.verdict === "ok") {
    pen.moveTo(left + size, height(run));
    pen.arc(left, height(run), size, 0, 2 * Math.PI);
  } else pen.rect(left - size, height(run) - size, 2 * size, 2 * size);
}

function drawBase(plot, width, scale) {
  const base = document.createElement("canvas");
  [base.width, base.height] = [width * scale, HEIGHT * scale];
  const pen = base.getContext("2d");
  pen.scale(scale, scale);
  const [first, middle, third] = plot.box.map((v) => across(plot, v, width));
  const [left, right] = plot.whiskers.map((v) => across(plot, v, width));
  pen.fillStyle = colours.box;
  pen.fillRect(first, MIDDLE - SPREAD, third - first, 2 * SPREAD);
  const size = runs.length > 3000 ? 1.4 : 2.4;
  pen.globalAlpha = runs.length > 300 ? 0.6 : 0.9;
  for (const verdict of ["ok", "check"]) {
    pen.fillStyle = colours[verdict];
    pen.beginPath();
    for (const run of shown) {
      if (run.verdict === verdict && run.values[plot.k] !== null) sign(pen, run, across(plot, run.values[plot.k], width), size);
    }
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.fillStyle = pen.strokeStyle = colours.ink;
  pen.strokeRect(first, MIDDLE - SPREAD, Math.max(1, third - first), 2 * SPREAD);
  pen.fillRect(left, MIDDLE - 0.5, first - left, 1);
  pen.fillRect(third, MIDDLE - 0.5, right - third, 1);
  for (const at of [left, right]) pen.fillRect(at - 0.5, MIDDLE - 6, 1, 12);
  pen.fillRect(middle - 1, MIDDLE - SPREAD, 2, 2 * SPREAD);
  pen.fillStyle = colours.dim;
  pen.font = "11px system-ui, sans-serif";
  pen.textBaseline = "bottom";
  pen.fillText(text(plot.low), SIDE, HEIGHT - 1);
  pen.textAlign = "right";
  if (plot.high > plot.low) pen.fillText(text(plot.high), width - SIDE, HEIGHT - 1);
  return base;
}

function drawPlot(plot) {
  const { canvas, k } = plot;
  const width = canvas.clientWidth || 320, scale = window.devicePixelRatio || 1;
  if (plot.base?.width !== Math.floor(width * scale)) plot.base = drawBase(plot, width, scale);
  [canvas.width, canvas.height] = [plot.base.width, plot.base.height];
  const pen = canvas.getContext("2d");
  pen.drawImage(plot.base, 0, 0);
  const value = marked?.values[k] ?? null;
  canvas.setAttribute("aria-valuetext", value === null ? "no run marked" : `${marked.name}: ${text(value)}`);
  if (value === null) return;
  canvas.setAttribute("aria-valuenow", String(value));
  pen.scale(scale, scale);
  const left = across(plot, value, width);
  for (const [colour, size] of [["paper", 6], ["mark", 4.4]]) {
    pen.fillStyle = colours[colour];
    pen.beginPath();
    sign(pen, marked, left, size);
    pen.fill();
  }
  pen.font = "bold 11px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "bottom";
  const half = pen.measureText(text(value)).width / 2;
  pen.fillText(text(value), clamp(left, SIDE + half, width - SIDE - half), HEIGHT - 14);
}

function drawNear() {
  if (drawNear.asked) return;
  drawNear.asked = true;
  requestAnimationFrame(() => { drawNear.asked = false; plotted.filter((plot) => plot.near).forEach(drawPlot); });
}

function redrawPlots() {
  plotted.forEach((plot) => { plot.base = null; });
  drawNear();
}

function nearest(plot, event) {
  const box = plot.canvas.getBoundingClientRect();
  const left = event.clientX - box.left, top = event.clientY - box.top;
  let found = null, least = REACH * REACH;
  for (const run of shown) {
    const v = run.values[plot.k];
    if (v === null) continue;
    const distance = (across(plot, v, box.width) - left) ** 2 + (height(run) - top) ** 2;
    if (distance < least) [least, found] = [distance, run];
  }
  return found;
}

function pointed(plot, event) {
  const run = nearest(plot, event);
  plot.canvas.style.cursor = run ? "pointer" : "default";
  if (!run) { tip(null); return; }
  mark(run, plots);
  tip(`${run.name}: ${text(run.values[plot.k])}`, event.clientX, event.clientY);
}

function stepPlot(plot, event) {
  if (event.key === "Enter" && marked) { openPage(marked); return; }
  const sorted = shown.filter((r) => r.values[plot.k] !== null).sort((a, b) => a.values[plot.k] - b.values[plot.k] || a.index - b.index);
  const at = sorted.indexOf(marked);
  const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: sorted.length - 1 }[event.key];
  if (to === undefined || !sorted.length) return;
  event.preventDefault();
  mark(sorted[clamp(to, 0, sorted.length - 1)], plots);
}

function tip(words, left, top) {
  $("tip").hidden = !words;
  if (!words) return;
  $("tip").textContent = words;
  $("tip").style.left = `${clamp(left + 12, 0, Math.max(0, window.innerWidth - $("tip").offsetWidth - 8))}px`;
  $("tip").style.top = `${clamp(top + 14, 0, window.innerHeight - 40)}px`;
}

const plots = { draw: redrawPlots, mark: drawNear };
views.push(plots);
