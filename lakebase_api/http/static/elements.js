// Makes elements, and puts them into the page only where something has changed.

const SVG = "http://www.w3.org/2000/svg";

export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function makeSvg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// What is selected, or read by a screen reader, stays as it is while its content does.
export function show(parent, ...children) {
  const next = parent.cloneNode(false);
  next.append(...children);
  if (!next.isEqualNode(parent)) parent.replaceChildren(...next.childNodes);
}

// A bar of parts, each [share of the whole, class]; `says` is what it shows, in words.
export function makeBar(says, parts) {
  const bar = make("div", { class: "bar", role: "img", "aria-label": says });
  for (const [share, name] of parts) {
    const part = make("span", { class: name });
    part.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
    bar.append(part);
  }
  return bar;
}

// `columns`: each with a title, whether it is of numbers, whether it needs a line of its own on a phone, and
// what makes the content of a cell, or the cell's class, from a row. Roles are given by name: on a phone the
// table is laid out as a list, of which browsers would say that it is no table.
export function makeTable(columns, rows, none) {
  if (!rows.length) return make("p", { class: "muted" }, none);
  const head = columns.map((column) =>
    make("th", { scope: "col", role: "columnheader", class: column.isNumber ? "number" : null }, column.title));
  const body = rows.map((row) => make("tr", { role: "row" }, ...columns.map((column) => makeCell(column, row))));
  return make("table", { role: "table" },
    make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...head)),
    make("tbody", { role: "rowgroup" }, ...body));
}

function makeCell(column, row) {
  const names = [column.isNumber && "number", column.isWide && "wide", column.mark && column.mark(row)];
  const label = column.isNumber ? column.title : null;
  const attributes = { role: "cell", class: names.filter(Boolean).join(" ") || null, "data-label": label };
  return make("td", attributes, column.show(row));
}
