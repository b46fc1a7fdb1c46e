// After Back and a reload the page shows what it showed: each tab keeps its own view of each page.
const VIEW = `bids_strip view ${location.pathname}`;
const topOf = (one) => one.getBoundingClientRect().top;
const inWindow = (one) => topOf(one) > 0 && topOf(one) < window.innerHeight;
const sectionInWindow = () => [...document.querySelectorAll("section")].findLast((one) => topOf(one) < window.innerHeight / 2);

// the place is told by what is in the window, not in pixels: the page may come back with other rows
function remember() {
  const row = marked?.row && inWindow(marked.row) ? marked.row : null;
  const place = row ?? sectionInWindow();
  const view = {
    search: $("search").value, show: $("show").value, sort: $("sort").value, reversed, marked: marked?.name,
    section: row ? null : place?.id, top: place ? topOf(place) : null,
  };
  try {
    sessionStorage.setItem(VIEW, JSON.stringify(view));
  } catch { /* the page opens as a new one */ }
}

// null where the page is opened anew
function remembered() {
  const [{ type }] = performance.getEntriesByType("navigation");
  if (!["back_forward", "reload"].includes(type)) return null;
  try {
    return JSON.parse(sessionStorage.getItem(VIEW));
  } catch { return null; }
}

// what the list no longer has stays as it is
function pick(select, value) {
  if ([...select.options].some((option) => option.value === value)) select.value = value;
}

function chooseAgain(view) {
  $("search").value = view.search;
  pick($("show"), view.show);
  pick($("sort"), view.sort);
  reversed = view.reversed;
}

function goBack(view) {
  const run = named.get(view.marked);
  if (shown.includes(run)) {
    maskPages.turnTo(run);
    mark(run, null);
  }
  const place = view.section ? $(view.section) : marked?.row;
  if (!place || view.top === null) return;
  place.focus({ preventScroll: true }); // of a row: sections take none
  fillPictures().then(() => { if (place.isConnected) window.scrollBy(0, topOf(place) - view.top); });
}
