// A long list in pages: only one of them is drawn.
function pager(place, sizes, draw) {
  let first = 0, size = sizes[0];
  const said = element("span");
  const turn = (words, by) => {
    const button = element("button", { type: "button" }, words);
    button.addEventListener("click", () => { first += by * size; redraw(); });
    return button;
  };
  const [back, on] = [turn("Previous", -1), turn("Next", 1)];
  const many = element("select", {}, ...sizes.map((n) => element("option", { value: String(n) }, String(n))));
  many.addEventListener("change", () => { size = Number(many.value); first -= first % size; redraw(); });
  $(place).append(back, said, on, element("label", {}, many, " a page"));

  function redraw() {
    first = Math.max(0, Math.min(first, Math.floor(Math.max(0, shown.length - 1) / size) * size));
    const end = Math.min(first + size, shown.length);
    said.textContent = shown.length ? `${first + 1} to ${end} of ${shown.length}` : "none";
    back.disabled = first === 0;
    on.disabled = end === shown.length;
    $(place).hidden = shown.length <= sizes[0];
    draw(shown.slice(first, end));
  }

  return {
    restart() { first = 0; redraw(); },
    turnTo(run) {
      const at = shown.indexOf(run);
      if (at < 0 || (at >= first && at < first + size)) return;
      first = at - (at % size);
      redraw();
    },
  };
}
