// Asks for the status every two seconds while somebody can see the page.

import { Charts } from "./charts.js";
import { showStatus } from "./view.js";
import { spellTime } from "./words.js";

const INTERVAL = 2000;
const PATIENCE = 10000;
const PLACES = {
  now: "now", sentence: "sentence", of: "of", announcement: "announcement", notice: "notice", entry: "entry", key: "key",
  content: "content", tiles: "tiles", minutes: "minutes", workers: "workers", freshness: "freshness", cache: "cache",
  exports: "exports", problems: "problems", callers: "callers", limited: "limited", routes: "routes", fingerprints: "fingerprints",
  requestsChart: "requests-chart", requestsReadout: "requests-readout",
  durationsChart: "durations-chart", durationsReadout: "durations-readout",
};
const page = Object.fromEntries(Object.entries(PLACES).map(([name, id]) => [name, document.getElementById(id)]));
const charts = new Charts(page);

// Kept here alone: neither storage nor a cookie ever has it.
let key = null;
let timer = null;
let shownAt = null;
let condition = null;

async function ask() {
  const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
  const options = { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) };
  try {
    const answer = await fetch("status.json", options);
    const body = await answer.json();
    if (answer.ok) accept(body);
    else refuse(answer.status, body);
    return answer.ok || answer.status >= 500;
  } catch {
    tell(shownAt ? `The service cannot be reached. What you see is of ${spellTime(shownAt)}.` : "The service cannot be reached.");
    page.content.classList.add("stale");
    return true;
  }
}

function accept(status) {
  tell(null);
  page.entry.hidden = true;
  page.content.hidden = false;
  page.content.classList.remove("stale");
  shownAt = new Date(status.at);
  showStatus(page, status);
  charts.update(status.traffic, shownAt);
  // Numbers change all the time: only that the condition did is read out.
  if (condition !== null && condition !== status.condition) page.announcement.textContent = status.sentence;
  condition = status.condition;
}

function refuse(code, problem) {
  if (code >= 500) {
    tell(problem.detail);
    return;
  }
  page.content.hidden = true;
  page.sentence.textContent = "You have to be known to see the status.";
  page.of.textContent = "";
  page.now.dataset.condition = "unknown";
  const takesKey = page.entry.dataset.takesKey === "yes";
  page.entry.hidden = !takesKey;
  tell(key !== null || !takesKey || code !== 401 ? problem.detail : null);
  key = null;
  if (takesKey) page.key.focus();
}

function tell(text) {
  page.notice.hidden = text === null;
  if (text !== null && page.notice.textContent !== text) page.notice.textContent = text;
}

async function run() {
  clearTimeout(timer);
  timer = null;
  const goesOn = await ask();
  clearTimeout(timer);
  timer = goesOn && !document.hidden ? setTimeout(run, INTERVAL) : null;
  isWaiting = !goesOn;
}

// Whether nothing is asked for until a key is typed.
let isWaiting = false;

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!isWaiting) run();
});

page.entry.addEventListener("submit", (event) => {
  event.preventDefault();
  key = page.key.value.trim();
  page.key.value = "";
  run();
});

run();
