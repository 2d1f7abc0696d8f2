// How numbers and times are written for people.

const DAY = 86400;

export function spellDuration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}

// In the largest unit of which there are two, as in the sentence that the service says.
export function spellAge(seconds) {
  for (const [unit, size] of [["days", DAY], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

export function spellRate(rate) {
  if (rate === 0) return "0";
  return rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en");
}

export function spellNumber(number) {
  return number.toLocaleString("en");
}

export function spellTime(date) {
  return date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

export function countOf(number, one, several) {
  return `${spellNumber(number)} ${number === 1 ? one : several}`;
}
