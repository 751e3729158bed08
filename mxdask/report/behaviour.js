"use strict";
// Tables sort by a click on their heading; the table of fates can be searched.
document.querySelectorAll("th").forEach((heading) => {
  const sort = () => {
    const body = heading.closest("table").tBodies[0];
    const index = heading.cellIndex;
    const falling = heading.dataset.order === "up";
    heading.dataset.order = falling ? "down" : "up";
    const value = (row) => row.cells[index].textContent.replace(/\u2009/g, "");
    const rows = Array.from(body.rows);
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const [m, n] = [parseFloat(x), parseFloat(y)];
      const order = isNaN(m) || isNaN(n) ? x.localeCompare(y, undefined, { numeric: true }) : m - n;
      return falling ? -order : order;
    });
    body.append(...rows);
  };
  heading.addEventListener("click", sort);
  heading.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
});
const search = document.getElementById("search");
const dropped = document.getElementById("dropped-only");
if (search) {
  const apply = () => {
    const words = search.value.toLowerCase();
    document.querySelectorAll("table.fate tbody tr").forEach((row) => {
      const hit = row.textContent.toLowerCase().includes(words);
      row.hidden = !hit || (dropped.checked && row.className === "ok");
    });
  };
  search.addEventListener("input", apply);
  dropped.addEventListener("change", apply);
}
