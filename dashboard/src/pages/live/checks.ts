// What is odd about an event, in the words of whoever sent it: nothing here is wrong for the server.

import type { Schemas } from "../../lib/api";

export type Row = Schemas["EventRow"];

const PLACEHOLDER = /^(undefined|null|nan|none|true|false|0|\[object object\]|)$/i;
const PERSONAL = /[^\s@"]+@[^\s@"]+\.[a-z]{2,}/i;
const AHEAD_MS = 5 * 60_000;
const LATE_MS = 24 * 3_600_000;

export function warningsOf(row: Row, arrivedMs: number): string[] {
  const found: string[] = [];
  if (row.is_bot) found.push("A bot: it counts nowhere unless bots are asked for.");
  if (row.user_id !== null && PLACEHOLDER.test(row.user_id.trim()))
    found.push(`The user id ${JSON.stringify(row.user_id)} is a placeholder, not an id.`);
  if (row.source_confidence === "low" && row.source !== "direct")
    found.push("Where it came from is a guess: no parameter says so.");
  if (row.url && PERSONAL.test(decoded(row.url)))
    found.push("An e-mail address stands in the page's address.");
  if (row.event_name === "$pageview" && !row.url) found.push("A page view without an address.");
  if (/\s/.test(row.event_name) || row.event_name !== row.event_name.toLowerCase())
    found.push("The name has capitals or spaces: another spelling would be another event.");
  const lag = arrivedMs - Date.parse(row.timestamp);
  if (lag < -AHEAD_MS) found.push("Its time lies ahead: the clock of the sender is wrong.");
  else if (lag > LATE_MS) found.push("It arrived more than a day after it happened.");
  return found;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether it holds all the words typed, wherever. */
export function holds(row: Row, text: string): boolean {
  const said = [
    row.event_name,
    row.user_id,
    row.anonymous_id,
    row.url,
    row.source,
    row.medium,
    row.country,
    row.browser,
    row.properties,
  ]
    .join(" ")
    .toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => said.includes(word));
}
