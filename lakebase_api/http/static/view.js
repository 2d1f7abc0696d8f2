// Shows what /status.json says.

import { findRateNow } from "./charts.js";
import { make, makeBar, makeTable, show } from "./elements.js";
import { countOf, spellAge, spellDuration, spellNumber, spellRate, spellTime } from "./words.js";

const PARTS_OF_MINUTE = 4;

export function showStatus(page, status) {
  const workers = status.workers.filter((worker) => !worker.is_silent);
  page.now.dataset.condition = status.condition;
  page.sentence.textContent = status.sentence;
  page.of.textContent =
    `${countOf(status.workers.length, "worker", "workers")}, version ${status.version}, as of ${spellTime(new Date(status.at))}`;
  show(page.tiles, ...makeTiles(status, workers));
  show(page.minutes, makeMinutes(status));
  show(page.workers, ...status.workers.map(makeWorker));
  show(page.exports, makeExports(status.exports));
  show(page.problems, makeProblems(status.problems));
  show(page.callers, makeCallers(status.callers, "requests", "Nobody has asked in the last 15 minutes."));
  show(page.limited, makeCallers(status.limited, "limited", "Nobody has used up a quota in the last 15 minutes."));
  show(page.routes, makeRoutes(status.routes));
  show(page.fingerprints, ...makeFingerprints(status));
  showWhere(page.freshness, Object.entries(status.freshness), (all) => [makeFreshness(all, new Date(status.at))]);
  showWhere(page.cache, Object.entries(status.cache), (all) => all.map(([name, value]) => makeTile(name.replaceAll("_", " "), spellNumber(value))));
}

// A section is there only where the service knows something of it.
function showWhere(place, entries, build) {
  place.closest("section").hidden = !entries.length;
  show(place, ...(entries.length ? build(entries) : []));
}

function makeTile(title, value, more = null, bar = null) {
  return make("div", {}, make("dt", {}, title),
    make("dd", {}, value, more === null ? null : make("small", {}, ` ${more}`), bar));
}

function makeTiles(status, workers) {
  const { total } = status.traffic;
  const add = (name) => workers.reduce((sum, worker) => sum + worker.pool[name], 0);
  const [inUse, most, waiting] = [add("in_use"), add("most"), add("waiting")];
  // Each worker notices the same ones.
  const wakes = Math.max(0, ...workers.map((worker) => worker.connects.wakes));
  return [
    makeTile("Requests per second", spellRate(findRateNow(status.traffic))),
    makeTile("Requests in 15 min", spellNumber(total.requests), total.failed ? `${total.failed} failed` : null),
    makeTile("95 % answered within", spellDuration(total.p95)),
    makeTile("Connections in use", String(inUse), waiting ? `of ${most}, ${waiting} waiting` : `of ${most}`,
      makeBar(`${inUse} of ${most} in use`, [[inUse / (most || 1), ""]])),
    makeTokenTile(workers),
    makeTile("Wakes", String(wakes)),
  ];
}

// Two hosts of one service show the same here.
function makeFingerprints({ version, fingerprints }) {
  return [
    makeTile("Version", version),
    makeTile("CURSOR_SECRET", fingerprints.cursor_secret),
    makeTile("Declared tables", fingerprints.tables),
    makeTile("Rights", fingerprints.rights),
  ];
}

function makeTokenTile(workers) {
  const tokens = workers.map((worker) => worker.token).filter((token) => token && token.seconds_left !== null);
  if (!tokens.length) return makeTile("Token", workers.some((worker) => worker.token) ? "none" : "–", workers.some((worker) => worker.token) ? "yet" : "not needed");
  const least = tokens.reduce((one, other) => (other.seconds_left < one.seconds_left ? other : one));
  return makeTile("Token good for", spellAge(least.seconds_left), null, makeTokenBar(least));
}

function makeTokenBar(token) {
  const share = token.seconds_left / (token.life || 1);
  const name = share > 0.2 ? "good" : share > 0.05 ? "warn" : "bad";
  return makeBar(`Token: ${spellAge(token.seconds_left)} left of ${spellAge(token.life)}`, [[share, name]]);
}

function makeWorker(worker) {
  if (worker.is_silent) {
    return make("li", {}, make("p", { class: "head" }, make("b", {}, `Worker ${worker.number}`)),
      make("p", { class: "bad" }, "does not answer"));
  }
  const { pool, token, connects } = worker;
  const idle = pool.open - pool.in_use;
  const says = `${pool.in_use} in use, ${idle} idle, ${pool.most} at most`;
  return make("li", {},
    make("p", { class: "head" }, make("b", {}, `Worker ${worker.number}`),
      make("span", { class: "muted" }, `process ${worker.pid}, up ${spellAge(worker.up_seconds)}`)),
    makeBar(says, [[pool.in_use / pool.most, ""], [idle / pool.most, "idle"]]),
    make("p", {}, says),
    pool.waiting ? make("p", { class: "bad" }, `${pool.waiting} waiting for one`) : null,
    ...(token ? describeToken(token) : []),
    make("p", {}, `${countOf(connects.wakes, "wake", "wakes")}, used ${connects.quiet_seconds < 3 ? "just now" : `${spellAge(connects.quiet_seconds)} ago`}`),
    connects.away_seconds === null ? null
      : make("p", { class: "bad" }, `away for ${spellAge(connects.away_seconds)}${connects.fault ? `: ${connects.fault}` : ""}`),
    worker.is_draining ? make("p", { class: "bad" }, "draining") : null);
}

function describeToken(token) {
  if (token.seconds_left === null) return [make("p", { class: "bad" }, token.fault || "no token yet")];
  return [
    makeTokenBar(token),
    make("p", {}, `token good for ${spellAge(token.seconds_left)}, ${countOf(token.minted, "token", "tokens")} so far`),
    token.fault ? make("p", { class: "bad" }, token.fault) : null,
  ];
}

function makeMinutes(status) {
  const { traffic } = status;
  const rows = [];
  for (let end = traffic.requests.length; end > 0; end -= PARTS_OF_MINUTE) {
    const range = [Math.max(0, end - PARTS_OF_MINUTE), end];
    const add = (name) => traffic[name].slice(...range).reduce((sum, value) => sum + value, 0);
    // Of percentiles the worst of the parts: they cannot be added up.
    const worst = (name) => traffic[name].slice(...range).reduce((most, value) => (value !== null && (most === null || value > most) ? value : most), null);
    const age = (traffic.requests.length - end) / PARTS_OF_MINUTE;
    rows.push({ age, requests: add("requests"), refused: add("refused"), failed: add("failed"), p50: worst("p50"), p95: worst("p95"), p99: worst("p99") });
  }
  const minute = { title: "Minutes ago", show: (row) => (row.age ? String(row.age) : "this minute") };
  return makeTable([minute, ...countColumns()], rows, "");
}

function countColumns() {
  const number = (name, title, mark = null) => ({ title, isNumber: true, mark, show: (row) => spellNumber(row[name]) });
  const duration = (name) => ({ title: name, isNumber: true, show: (row) => spellDuration(row[name]) });
  return [
    number("requests", "Requests"),
    number("refused", "4xx", (row) => (row.refused ? "warn" : null)),
    number("failed", "5xx", (row) => (row.failed ? "bad" : null)),
    duration("p50"), duration("p95"), duration("p99"),
  ];
}

function showRoute(row) {
  return make("span", { class: "mono" }, row.route);
}

function makeRoutes(routes) {
  const route = { title: "Route", isWide: true, show: showRoute };
  return makeTable([route, ...countColumns()], routes, "Nothing was asked for in the last 15 minutes.");
}

function makeExports(exports) {
  return makeTable([
    { title: "Table", show: (row) => row.table },
    { title: "Caller", show: (row) => row.subject },
    { title: "Rows so far", isNumber: true, show: (row) => spellNumber(row.rows) },
    { title: "Running for", isNumber: true, show: (row) => spellAge(row.seconds) },
    { title: "Request", isWide: true, show: showRequest },
  ], exports, "None now.");
}

function makeProblems(problems) {
  return makeTable([
    { title: "Time", show: (row) => make("time", { datetime: row.at, title: row.at }, spellTime(new Date(row.at))) },
    { title: "Status", show: (row) => make("span", { class: `badge ${row.status < 500 ? "refused" : "failed"}` }, String(row.status)) },
    { title: "Problem", show: showProblem },
    { title: "Route", show: showRoute },
    { title: "Caller", show: (row) => row.subject },
    { title: "Request", isWide: true, show: showRequest },
  ], problems, "None since the workers began.");
}

function showProblem(row) {
  return row.problem === "other" ? "other" : make("a", { href: `problems/${row.problem}` }, row.problem);
}

function showRequest(row) {
  return make("span", { class: "mono whole" }, row.request_id);
}

function makeCallers(callers, sorted, none) {
  const number = (name, title) => ({ title, isNumber: true, show: (row) => spellNumber(row[name]) });
  const columns = [{ title: "Caller", isWide: true, show: (row) => row.subject }, number("requests", "Requests")];
  if (sorted === "limited") columns.push({ ...number("limited", "Refused"), mark: () => "warn" });
  return makeTable(columns, callers, none);
}

function makeFreshness(tables, at) {
  const rows = tables.map(([table, known]) => ({ table, ...known }));
  return makeTable([
    { title: "Table", show: (row) => row.table },
    { title: "Data as of", show: (row) => showMoment(row.as_of, at) },
    { title: "Version", isNumber: true, show: (row) => String(row.source_version ?? "–") },
    { title: "What that means", isWide: true, mark: (row) => (row.is_current === false ? "warn" : null), show: (row) => row.meaning ?? "–" },
  ], rows, "");
}

function showMoment(moment, at) {
  if (!moment) return "–";
  const then = new Date(moment);
  return make("time", { datetime: moment, title: then.toLocaleString() }, `${spellAge((at - then) / 1000)} ago`);
}
