"use strict";
// Sorts a table by the column whose button is pressed: numbers by what they are, texts by letters, gaps last.
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
      };
      const order = (first, second) => {
        const [a, b] = [key(first), key(second)];
        if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
        const found = typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return down ? -found : found;
      };
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}
