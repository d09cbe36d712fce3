// Draws the table of rates. Each number leads to the traces behind it.
"use strict";

const choice = document.getElementById("seconds");
const note = document.getElementById("note");
const table = document.querySelector("table");
const BAR = 5;
const HEIGHT = 28;

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

// The address of a search in Lens.
function search(row, criteria) {
  // Lens takes " and " for the end of a tag.
  const route = row.route.includes(" and ") ? JSON.stringify(row.route).replaceAll(" ", "\\u0020") : row.route;
  // NGINX's CLIENT spans have no route either, and are not counted.
  const tags = row.route ? [`http.route=${route}`] : ["http.route=nil", "span:kind=server"];
  const query = new URLSearchParams({ serviceName: row.service });
  if (criteria.error) tags.push("error");
  query.set("annotationQuery", tags.join(" and "));
  if (criteria.minDuration) query.set("minDuration", criteria.minDuration);
  query.set("lookback", choice.selectedOptions[0].dataset.lookback);
  query.set("endTs", Date.now());
  query.set("limit", 20);
  return `/zipkin/?${query}`;
}

function cell(line, text, row, criteria) {
  const made = document.createElement("td");
  line.append(made);
  if (criteria) element("a", text, made).href = search(row, criteria);
  else made.textContent = text;
  return made;
}

function chart(points) {
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const highest = Math.max(...points);
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `at most ${highest} requests in one of ${points.length} intervals`);
  points.forEach((count, place) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = (count / highest) * HEIGHT;
    const box = { x: place * BAR, y: HEIGHT - height, width: BAR - 1, height };
    for (const [name, value] of Object.entries(box)) bar.setAttribute(name, value);
    drawing.append(bar);
  });
  return drawing;
}

function seconds(value) {
  if (value === null) return "–";
  return value < 1 ? `${(value * 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;
}

function draw(row) {
  const line = table.tBodies[0].insertRow();
  cell(line, row.service);
  cell(line, row.route || "(no route)", row, {});
  line.insertCell().append(chart(row.points));
  cell(line, row.rate.toPrecision(3));
  const failing = row.errors > 0;
  const errors = cell(line, `${(row.errors * 100).toPrecision(3)} %`, row, failing ? { error: true } : null);
  errors.classList.toggle("failing", failing);
  cell(line, seconds(row.p50));
  const minDuration = `${Math.floor(row.slow * 1e6)}us`;
  cell(line, seconds(row.p95), row, row.slow === null ? null : { minDuration });
}

async function run() {
  note.textContent = "Loading…";
  note.classList.remove("failed");
  table.hidden = true;
  table.tBodies[0].replaceChildren();
  const answer = await fetch(`/zipkin/api/v2/rates?seconds=${choice.value}`);
  if (!answer.ok) {
    note.textContent = await answer.text();
    note.classList.add("failed");
    return;
  }
  const found = await answer.json();
  found.rows.forEach(draw);
  table.hidden = found.rows.length === 0;
  note.textContent = found.rows.length ? found.note : `No requests. ${found.note}`;
}

choice.addEventListener("change", run);
document.getElementById("again").addEventListener("click", run);
run();
