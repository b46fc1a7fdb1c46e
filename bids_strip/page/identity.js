"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

  function element(tag, attributes, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  function colour(step) {
    const at = (step / 255) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
    return VIRIDIS[low].map((v, i) => v + (VIRIDIS[low + 1][i] - v) * (at - low));
  }

  // one picture: pixels of its own size, then drawn as large as fits
  function heat(group) {
    const n = group.names.length;
    const steps = Uint8Array.from(atob(group.similarity), (c) => c.charCodeAt(0));
    const small = document.createElement("canvas");
    small.width = small.height = n;
    const image = new ImageData(n, n);
    steps.forEach((step, i) => { image.data.set([...colour(step), 255], 4 * i); });
    small.getContext("2d").putImageData(image, 0, 0);

    const cell = Math.max(1, Math.min(48, Math.floor(700 / n)));
    const canvas = element("canvas", { width: n * cell, height: n * cell, tabindex: "0", role: "img",
      "aria-label": `similarity of ${n} ${group.suffix} runs; move with the arrow keys` });
    const said = element("output", { "aria-live": "polite" }, "Point at a cell, or move with the arrow keys.");
    let at = null;

    function draw() {
      const pen = canvas.getContext("2d");
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, n * cell, n * cell);
      pen.strokeStyle = "#ffffff";
      pen.lineWidth = 1;
      for (let i = 0; cell > 3 && i < n;) {         // a frame around each participant with several runs
        let end = i + 1;
        while (end < n && group.people[end] === group.people[i]) end += 1;
        if (end - i > 1) pen.strokeRect(i * cell + .5, i * cell + .5, (end - i) * cell - 1, (end - i) * cell - 1);
        i = end;
      }
      if (at) {
        pen.strokeStyle = "#ff4fb0";
        pen.lineWidth = 2;
        pen.strokeRect(at[1] * cell - 1, at[0] * cell - 1, cell + 2, cell + 2);
      }
    }

    function show(row, column) {
      at = [Math.max(0, Math.min(n - 1, row)), Math.max(0, Math.min(n - 1, column))];
      const [one, other] = at;
      const value = steps[one * n + other] / 255;
      const whose = group.people[one] === group.people[other] ? "one participant" : "two participants";
      const looks = one === other ? "the run itself" : value >= data.one ? "looks like one person" : value < data.two ? "looks like two people" : "undecided";
      said.replaceChildren(element("b", {}, group.names[one]), document.createElement("br"), element("b", {}, group.names[other]),
        document.createElement("br"), `similarity ${value.toFixed(2)}: ${looks}; labelled as ${whose}`);
      draw();
    }

    const cellOf = (event) => {
      const box = canvas.getBoundingClientRect();
      return [Math.floor((event.clientY - box.top) / cell), Math.floor((event.clientX - box.left) / cell)];
    };
    canvas.addEventListener("pointermove", (event) => show(...cellOf(event)));
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!move) return;
      event.preventDefault();
      const [row, column] = at || [0, 0];
      show(row + move[0], column + move[1]);
    });
    draw();
    return { box: element("div", { class: "map" }, canvas, said), show, canvas };
  }

  function findings(group, map) {
    if (!group.found.length) return element("p", { class: "found" }, "Nothing: each run is like its own participant's and like no other's.");
    const body = element("tbody");
    for (const one of group.found) {
      const look = element("button", { type: "button" }, "show");
      look.addEventListener("click", () => { map.show(...one.at); map.canvas.scrollIntoView({ block: "nearest" }); });
      const partners = one.partners.map((name) => element("div", {}, name));
      const closest = one.closest.map(([name, similarity]) => element("div", {}, `${name} (${similarity.toFixed(2)})`));
      const shown = one.at.every((place) => place !== null);
      body.append(element("tr", {}, element("td", {}, one.run), element("td", {}, one.findings.join(", ")), element("td", {}, ...partners),
        element("td", {}, ...closest), element("td", {}, ...(map && shown ? [look] : []))));
    }
    const head = element("tr", {}, ...["run", "finding", "partner", "likest of its own and of other participants", ""].map((name) => element("th", { scope: "col" }, name)));
    return element("table", { class: "found" }, element("thead", {}, head), body);
  }

  for (const group of data.groups) {
    const section = element("section", {}, element("h2", {}, `${group.suffix}: ${group.runs} run${group.runs === 1 ? "" : "s"} compared, ${group.found.length} do not fit`));
    const map = group.names.length ? heat(group) : null;
    section.append(findings(group, map));
    if (map) {
      if (group.names.length < group.runs) section.append(element("p", { class: "hint" }, `The picture holds ${group.names.length} of them: those with a finding, their partners, and the likest of the others.`));
      section.append(element("p", { class: "hint" }, "Runs in the order of their names, a frame around the runs of one participant."), map.box,
        element("div", { class: "scale" }, "0", element("i"), `1; one person from ${data.one.toFixed(2)} on, two below ${data.two.toFixed(2)}`));
    }
    if (group.left.length) {
      const list = element("ul", {}, ...group.left.map(([name, why]) => element("li", {}, `${name}: ${why}`)));
      section.append(element("details", {}, element("summary", {}, `${group.left.length} run${group.left.length === 1 ? "" : "s"} left out`), list));
    }
    document.querySelector("main").append(section);
  }
  document.querySelector("dl").append(...Object.entries(data.findings).flatMap(([name, words]) => [element("dt", {}, name), element("dd", {}, words)]));
})();
