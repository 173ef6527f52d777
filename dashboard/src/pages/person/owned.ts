// What follows from whose events are: pure, so that it can be tested without a page.

import type { Schemas } from "../../lib/api";
import type { EventRow, Lane } from "./thread";

/** Each event once, by time; what happened at once, by its id. */
export function inOrder(events: EventRow[]): EventRow[] {
  const found = new Map(events.map((event) => [event.event_id, event]));
  const less = (one: string, other: string) => (one < other ? -1 : 1);
  return [...found.values()].sort((one, other) =>
    one.timestamp === other.timestamp
      ? less(one.event_id, other.event_id)
      : less(one.timestamp, other.timestamp),
  );
}

/** The ids that are not in all of the sets: under another policy they are somebody else's. */
export function movingOf(events: EventRow[], sets: Set<string>[]): Set<string> {
  const ids = events.map(({ event_id }) => event_id);
  return new Set(ids.filter((id) => sets.some((set) => !set.has(id))));
}

/** Other ids that their events carry. */
export function aliasesOf(events: EventRow[], name: string): string[] {
  const users = events.map(({ user_id }) => user_id);
  return [...new Set(users.filter((user) => user !== null && user !== name))] as string[];
}

/** How many go with them: on a shared device what carries no user stays with the others. */
export function forgettable(events: EventRow[], shared: string[]): number {
  return events.filter(
    ({ user_id, anonymous_id }) => user_id !== null || !shared.includes(anonymous_id),
  ).length;
}

/** Where it became known first who they are. */
export function firstTied(lanes: Lane[]): Lane | undefined {
  const tied = lanes.filter((lane) => lane.tie && lane.kind !== "server");
  return tied.sort((one, other) => one.tie!.at - other.tie!.at)[0];
}

/** Their visits that began by then, and on how many devices. */
export function visitsBy(lanes: Lane[], end: number): { visits: number; devices: number } {
  const by = lanes.map(
    ({ visits }) =>
      visits.filter((visit) => visit.start <= end && visit.dots[0]!.state !== "stranger").length,
  );
  return { visits: by.reduce((sum, each) => sum + each, 0), devices: by.filter(Boolean).length };
}

const FIRST = ["name", "email", "plan", "company", "title"];
const rank = (key: string) => (FIRST.indexOf(key) < 0 ? FIRST.length : FIRST.indexOf(key));

/** Traits in words, those first by which one knows people. */
export function traitsOf(traits: Schemas["Profile"]["traits"] | undefined): [string, string][] {
  return Object.entries(traits ?? {})
    .map(([key, value]): [string, string] => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ])
    .sort(([one], [other]) => rank(one) - rank(other));
}
