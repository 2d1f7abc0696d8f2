// Draws the last 15 minutes. Each drawing has its text in words; a table beside it has the numbers.

import { makeSvg } from "./elements.js";
import { countOf, spellDuration, spellRate, spellTime } from "./words.js";

const HEIGHT = 190;
const LEFT = 54;
const RIGHT = 6;
const TOP = 8;
const BOTTOM = 22;
// Where times would stand too close to each other.
const NARROW = 420;
const PERCENTILES = ["p50", "p95", "p99"];
// A part that has just begun would show a rate of one request in no time.
const SHORTEST = 5;

export function findRates(traffic) {
  const last = traffic.requests.length - 1;
  const seconds = (i) => (i < last ? traffic.part_seconds : Math.max(SHORTEST, traffic.last_seconds));
  return traffic.requests.map((_, i) => ({
    all: traffic.requests[i] / seconds(i),
    refused: traffic.refused[i] / seconds(i),
    failed: traffic.failed[i] / seconds(i),
  }));
}

// Over the last complete part and the one that goes on.
export function findRateNow(traffic) {
  const [before, last] = traffic.requests.slice(-2);
  return (before + last) / (traffic.part_seconds + traffic.last_seconds);
}

export class Charts {
  constructor(page) {
    this.page = page;
    this.pointed = null;
    for (const chart of [page.requestsChart, page.durationsChart]) {
      chart.addEventListener("pointermove", (event) => this.point(chart, event.clientX));
      chart.addEventListener("pointerleave", () => this.point(chart, null));
      new ResizeObserver(() => this.draw()).observe(chart);
    }
  }

  update(traffic, at) {
    this.traffic = traffic;
    this.at = at;
    this.draw();
  }

  point(chart, x) {
    if (!this.traffic) return;
    const box = chart.getBoundingClientRect();
    const count = this.traffic.requests.length;
    const part = x === null ? null : Math.floor(((x - box.left - LEFT) / (box.width - LEFT - RIGHT)) * count);
    this.pointed = part === null || part < 0 || part >= count ? null : part;
    this.draw();
  }

  draw() {
    if (!this.traffic) return;
    const rates = findRates(this.traffic);
    this.put(this.page.requestsChart, drawRequests(rates, this.page.requestsChart.clientWidth, this.pointed));
    this.put(this.page.durationsChart, drawDurations(this.traffic, this.page.durationsChart.clientWidth, this.pointed));
    this.page.requestsReadout.textContent = this.readRequests(rates);
    this.page.durationsReadout.textContent = this.readDurations();
  }

  put(chart, drawing) {
    if (!chart.firstChild || !chart.firstChild.isEqualNode(drawing)) chart.replaceChildren(drawing);
  }

  findTime(part) {
    const age = this.traffic.requests.length - 1 - part;
    const begin = this.traffic.last_seconds + age * this.traffic.part_seconds;
    return spellTime(new Date(this.at.getTime() - begin * 1000));
  }

  readRequests(rates) {
    const { total } = this.traffic;
    if (this.pointed === null) {
      const refused = total.refused ? `, ${total.refused} of them 4xx` : "";
      const failed = total.failed ? `, ${total.failed} of them 5xx` : "";
      return `${countOf(total.requests, "request", "requests")} in 15 minutes${refused}${failed}`;
    }
    const rate = rates[this.pointed];
    const more = [rate.refused && `${spellRate(rate.refused)} 4xx`, rate.failed && `${spellRate(rate.failed)} 5xx`];
    return [`${this.findTime(this.pointed)}: ${spellRate(rate.all)} per second`, ...more.filter(Boolean)].join(", ");
  }

  readDurations() {
    const { total } = this.traffic;
    const read = (of) => PERCENTILES.map((name) => `${name} ${spellDuration(of(name))}`).join(", ");
    if (this.pointed === null) return total.requests ? `In 15 minutes: ${read((name) => total[name])}` : "";
    return `${this.findTime(this.pointed)}: ${read((name) => this.traffic[name][this.pointed])}`;
  }
}

function beginDrawing(width, says, count) {
  const drawing = makeSvg("svg", { role: "img", "aria-label": says, viewBox: `0 0 ${width} ${HEIGHT}` });
  const step = (width - LEFT - RIGHT) / count;
  for (const minutes of width < NARROW ? [15, 5, 0] : [15, 10, 5, 0]) {
    const x = LEFT + (count - minutes * 4) * step;
    const anchor = minutes === 15 ? "start" : minutes ? "middle" : "end";
    drawing.append(makeSvg("text", { x, y: HEIGHT - 4, "text-anchor": anchor }, minutes ? `−${minutes} min` : "now"));
  }
  return [drawing, step];
}

function addLine(drawing, width, y, label) {
  drawing.append(
    makeSvg("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y, y2: y }),
    makeSvg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, label));
}

function addGuide(drawing, step, pointed) {
  if (pointed === null) return;
  const x = LEFT + (pointed + 0.5) * step;
  drawing.append(makeSvg("line", { class: "guide", x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
}

// The least of these times a power of ten that is not below.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((factor) => factor * power >= value * 0.999);
}

function drawRequests(rates, width, pointed) {
  const most = Math.max(...rates.map((rate) => rate.all));
  const says = `Requests per second in the last 15 minutes: now ${spellRate(rates.at(-1).all)}, at most ${spellRate(most)}.`;
  const [drawing, step] = beginDrawing(width, says, rates.length);
  const top = roundUp(Math.max(most, 1));
  const find = (rate) => HEIGHT - BOTTOM - (rate / top) * (HEIGHT - BOTTOM - TOP);
  for (const part of [0, 0.5, 1]) addLine(drawing, width, find(top * part), spellRate(top * part));
  rates.forEach((rate, i) => {
    let floor = 0;
    const parts = [["failed", rate.failed], ["refused", rate.refused], ["served", rate.all - rate.failed - rate.refused]];
    for (const [name, height] of parts) {
      if (height <= 0) continue;
      const y = find(floor + height);
      drawing.append(makeSvg("rect", {
        class: name, x: LEFT + i * step + 0.5, width: Math.max(1, step - 1), y, height: Math.max(0.5, find(floor) - y),
      }));
      floor += height;
    }
  });
  addGuide(drawing, step, pointed);
  return drawing;
}

function drawDurations(traffic, width, pointed) {
  const known = PERCENTILES.flatMap((name) => traffic[name]).filter((value) => value !== null);
  const { total } = traffic;
  const told = PERCENTILES.map((name) => `${name} ${spellDuration(total[name])}`).join(", ");
  const says = known.length ? `Time to answer in the last 15 minutes: ${told}.` : "No request in the last 15 minutes.";
  const [drawing, step] = beginDrawing(width, says, traffic.requests.length);
  // From one power of ten to another: half of the answers may take a hundredth of the time of the slowest.
  const low = known.length ? Math.floor(Math.log10(Math.max(0.0001, Math.min(...known)))) : -3;
  const high = Math.max(low + 1, known.length ? Math.ceil(Math.log10(Math.max(...known))) : 0);
  const find = (value) =>
    HEIGHT - BOTTOM - ((Math.log10(Math.max(value, 10 ** low)) - low) / (high - low)) * (HEIGHT - BOTTOM - TOP);
  for (let power = low; power <= high; power++) {
    const value = 10 ** power;
    addLine(drawing, width, find(value), value < 1 ? `${Number((value * 1000).toPrecision(1))} ms` : `${value} s`);
  }
  for (const name of PERCENTILES) addCurve(drawing, traffic[name], name, (i) => LEFT + (i + 0.5) * step, find);
  addGuide(drawing, step, pointed);
  return drawing;
}

function addCurve(drawing, values, name, findX, findY) {
  let path = "";
  values.forEach((value, i) => {
    if (value === null) return;
    const [x, y] = [findX(i).toFixed(1), findY(value).toFixed(1)];
    const follows = i > 0 && values[i - 1] !== null;
    path += `${follows ? "L" : "M"}${x} ${y}`;
    const isAlone = !follows && (i === values.length - 1 || values[i + 1] === null);
    if (isAlone) drawing.append(makeSvg("circle", { class: name, cx: x, cy: y, r: 2.5 }));
  });
  if (path) drawing.append(makeSvg("path", { class: name, d: path }));
}
