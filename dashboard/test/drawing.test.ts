import { expect, test } from "vitest";
import {
  cordEnd,
  daysOf,
  dyed,
  foldsOf,
  knotsOf,
  laneY,
  nearest,
  piecesOf,
  roomOf,
  short,
  strand,
  toneOf,
} from "../src/pages/person/drawing";
import {
  aliasesOf,
  firstTied,
  forgettable,
  inOrder,
  movingOf,
  traitsOf,
  visitsBy,
} from "../src/pages/person/owned";
import { joining, parting, unlinking } from "../src/pages/person/proposals";
import { lanes, place } from "../src/pages/person/thread";
import { BEGIN, event, HOUR } from "./journeys";

// A laptop whose second visit begins as a stranger's and ends as Ada's; a phone that is hers later.
const EVENTS = [
  event("a", 0, "one"),
  event("b", 100, "one"),
  event("c", 100.2, "one", "ada"),
  event("d", 130, "two", "ada", "mobile"),
];
const drawn = (until?: number) => {
  const found = lanes({
    events: EVENTS,
    theirs: new Set(["a", "b", "c", "d"]),
    moving: new Set<string>(),
    devices: new Set(["one", "two"]),
    until,
    visitTimeoutMs: HOUR / 2,
  });
  return { lanes: found, place: place(found, 600) };
};

test("each device has one knot, and the cord runs from the first of them to the end", () => {
  const { lanes, place } = drawn();
  const knots = knotsOf(lanes);
  expect(knots.map(({ id, y }) => [id, y])).toEqual([
    ["one", laneY(0)],
    ["two", laneY(1)],
  ]);
  expect(knots[0]!.x).toBeLessThan(knots[1]!.x);
  expect(strand(knots[0]!).startsWith(`M${knots[0]!.x} `)).toBe(true);
  expect(cordEnd(place, knots, undefined)).toBe(place.end + 26);
  // Looked at as of then it ends there, but never before the knot that it comes from.
  expect(cordEnd(place, knots, 0)).toBe(knots[1]!.x + 30);
});

test("a visit in which somebody became known is dyed from there on, and no other is", () => {
  const [laptop] = drawn().lanes;
  const [before, during] = laptop!.visits;
  expect(dyed(laptop!, before!)).toBe("");
  expect(dyed(laptop!, during!)).toBe("");
  // The tie was its last event: nothing of it is left to dye. With one event more, there is.
  const longer = { ...during!, end: during!.end + 1 };
  expect(dyed(laptop!, longer)).toContain(`M${laptop!.tie!.x} `);
  expect(toneOf(laptop!, before!)).toBe("claimed");
  expect(toneOf(laptop!, longer)).toBe("claimed");
  expect(piecesOf(laptop!).map(({ key, state }) => [key, state])).toEqual([["b", "claimed"]]);
});

test("days are named where there is room, and long gaps are folded", () => {
  const { place } = drawn();
  expect(daysOf(place, "UTC").length).toBeGreaterThan(1);
  expect(foldsOf(place).length).toBe(1);
});

test("a pointer means the nearest dot, and none where all are far away", () => {
  const { lanes } = drawn();
  const spots = lanes.flatMap((lane, nth) => lane.dots.map((dot) => ({ dot, y: laneY(nth) })));
  const [first] = spots;
  expect(nearest(spots, first!.dot.x + 4, first!.y + 4)?.dot.event.event_id).toBe("a");
  expect(nearest(spots, first!.dot.x, first!.y + 400)).toBeUndefined();
});

test("letters are cut by whole characters, and narrow cards leave less to the names", () => {
  expect(short("👩‍🚀 astronaut", 4)).toBe(`${[..."👩‍🚀"].slice(0, 3).join("")}…`);
  expect(short("short")).toBe("short");
  expect(roomOf(1000) - roomOf(600)).toBe(400 - (132 - 86));
  expect(roomOf(0)).toBe(240);
});

test("events stand once each, by time and then by id", () => {
  const twin = event("A", 0, "one");
  const ids = inOrder([EVENTS[1]!, EVENTS[0]!, twin, EVENTS[0]!]).map(({ event_id }) => event_id);
  expect(ids).toEqual(["A", "a", "b"]);
  expect([...movingOf(EVENTS, [new Set(["a", "b"]), new Set(["b", "c"])])]).toEqual([
    "a",
    "c",
    "d",
  ]);
});

test("other ids, what is forgotten with them, and traits in their order", () => {
  expect(aliasesOf(EVENTS, "mara")).toEqual(["ada"]);
  expect(aliasesOf(EVENTS, "ada")).toEqual([]);
  expect(forgettable(EVENTS, [])).toBe(4);
  expect(forgettable(EVENTS, ["one"])).toBe(2);
  expect(traitsOf({ plan: "pro", email: "a@b.example", seats: 3 }).map(([key]) => key)).toEqual([
    "email",
    "plan",
    "seats",
  ]);
  expect(traitsOf({ seats: 3 })).toEqual([["seats", "3"]]);
  expect(traitsOf(undefined)).toEqual([]);
});

test("how much came before a goal, and where it became known who they are", () => {
  const { lanes } = drawn();
  expect(visitsBy(lanes, BEGIN + 101 * HOUR)).toEqual({ visits: 2, devices: 1 });
  expect(visitsBy(lanes, BEGIN + 200 * HOUR)).toEqual({ visits: 3, devices: 2 });
  expect(firstTied(lanes)?.name).toBe("Laptop");
});

test("what is proposed is decided about whom the words name", () => {
  expect(unlinking("ada", "one", "Laptop")).toMatchObject({
    title: "Was the laptop somebody else's?",
    decision: { kind: "unlink", given: { anonymous_id: "one", user_id: "ada" } },
  });
  expect(joining("ada", "lovelace").decision).toEqual({
    kind: "alias",
    given: { user_id: "lovelace", alias_of: "ada" },
  });
  expect(parting("ada", "lovelace").title).toBe("Are lovelace and ada two people?");
});
