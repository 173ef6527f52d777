import { expect, test } from "vitest";
import {
  firstTouchOf,
  guessed,
  lanes,
  place,
  timeOf,
  toldDevices,
  xOf,
} from "../src/pages/person/thread";
import { BEGIN, event, HOUR } from "./journeys";

const EVENTS = [
  event("a", 0, "one"),
  event("b", 0.2, "one"),
  event("c", 30, "two"),
  event("d", 50, "one", "ada"),
  event("e", 50.1, "one"),
  event("f", 60, "server", "ada", null),
];
const shown = (theirs: string[], until?: number) =>
  lanes({
    events: EVENTS,
    theirs: new Set(theirs),
    moving: new Set<string>(),
    devices: new Set(["one", "two"]),
    until,
    visitTimeoutMs: HOUR / 2,
  });

test("a device is a lane with its visits, and is tied where a user is named first", () => {
  const [one, two, server] = shown(["a", "b", "d", "e", "f"]);
  expect([one?.name, two?.name, server?.name]).toEqual(["Laptop", "Laptop 2", "Server"]);
  expect(one?.visits.map(({ dots }) => dots.length)).toEqual([2, 2]);
  expect(one?.tie?.event.event_id).toBe("d");
  expect(one?.dots.map(({ state }) => state)).toEqual(["claimed", "claimed", "known", "known"]);
  expect(two?.dots.map(({ state }) => state)).toEqual(["stranger"]);
  expect(two?.tie).toBeUndefined();
});

test("events alone tell which devices there are, and the first touch where it is among them", () => {
  expect([...toldDevices(EVENTS)]).toEqual(["one", "two"]);
  const server = { ...event("s", -1, "server", null, null), source_rule_id: "no_page" };
  expect(firstTouchOf([server, ...EVENTS], true)?.event_id).toBe("a");
  expect(firstTouchOf([server], true)?.event_id).toBe("s");
  // What follows may have a page.
  expect(firstTouchOf([server], false)).toBeUndefined();
  expect(firstTouchOf([], true)).toBeUndefined();
});

test("before the tie everything is a stranger's, and what came later is later", () => {
  const before = BEGIN + 40 * HOUR;
  expect(guessed(EVENTS, before).size).toBe(0);
  const [one] = shown([...guessed(EVENTS, before)], before);
  expect(one?.dots.map(({ state }) => state)).toEqual(["stranger", "stranger", "later", "later"]);
  expect([...guessed(EVENTS, BEGIN + 55 * HOUR)].sort()).toEqual(["a", "b", "d", "e"]);
});

test("everything lies in the room, in the order in which it happened, and times are found again", () => {
  const found = place(shown(["a", "b", "d", "e", "f"]), 600);
  expect(found.width).toBe(600);
  const starts = found.visits.map(({ x0 }) => x0);
  expect(starts).toEqual([...starts].sort((one, other) => one - other));
  for (const { at, x } of found.stops) {
    expect(xOf(found.stops, at)).toBeCloseTo(x);
    expect(Math.abs(timeOf(found.stops, x) - at)).toBeLessThan(1);
  }
  expect(place(shown([]), 60, true).width).toBeGreaterThan(60);
});
