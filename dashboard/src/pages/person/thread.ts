// The drawing of a journey, before it is drawn: which device an event lies on, which visit, whose
// it is, and where. Pure, so that it can be tested without a page.

import type { Schemas } from "../../lib/api";

export type EventRow = Schemas["EventRow"];
/** `known`: of the person, once the device was tied to them. `claimed`: of the past that the tie
 * made theirs. `stranger`: not theirs as it is looked at. `later`: had not happened then. */
export type State = "known" | "claimed" | "stranger" | "later";

export interface Dot {
  event: EventRow;
  at: number;
  state: State;
  /** Another policy gives it to somebody else. */
  moves: boolean;
  x: number;
}
export interface Visit {
  lane: number;
  start: number;
  end: number;
  dots: Dot[];
  /** Since the end of whatever was before, in milliseconds; below nought, they overlap. */
  gap: number;
  x0: number;
  x1: number;
}
export interface Lane {
  id: string;
  name: string;
  detail: string;
  kind: "device" | "server" | "rest";
  dots: Dot[];
  visits: Visit[];
  /** The first event here that says who it is. */
  tie?: Dot;
}
export interface Shown {
  /** All events to draw, by time. */
  events: EventRow[];
  /** Those that are theirs as it is looked at. */
  theirs: Set<string>;
  moving: Set<string>;
  /** The person's devices, unlinked ones left out. */
  devices: Set<string>;
  /** What happened after it is faint. */
  until?: number;
  visitTimeoutMs: number;
}

/** What stands beside an event: where they came from, or the goal that they reached. */
export interface Flag {
  at: number;
  text: string;
  kind: "first" | "goal";
}
/** Somebody else on a device, and since when. */
export interface Seen {
  user_id: string;
  first_seen: string;
}

export const MOST_LANES = 14;
const DAY = 86_400_000;
const KINDS: Record<string, string> = { mobile: "Phone", tablet: "Tablet", desktop: "Laptop" };
const BRANDS: Record<string, string> = { ios: "iOS", macos: "macOS", ipados: "iPadOS" };

/** Devices as lanes, in the order in which they come up, each with its visits and its tie. */
export function lanes(shown: Shown): Lane[] {
  const order = new Map<string, Lane>();
  const ofDevice = new Map<string, Lane>();
  const names = new Map<string, number>();
  for (const event of shown.events) {
    const id = isServers(event, shown.devices) ? "" : event.anonymous_id;
    let lane = ofDevice.get(id);
    if (!lane) {
      const isRest = id !== "" && ofDevice.size >= MOST_LANES;
      const key = isRest ? "\0rest" : id;
      lane = order.get(key) ?? {
        id: key,
        ...(isRest
          ? { name: "More", detail: "other devices", kind: "rest" as const }
          : id === ""
            ? { name: "Server", detail: "no device", kind: "server" as const }
            : { name: numbered(names, event), detail: "", kind: "device" as const }),
        dots: [],
        visits: [],
      };
      order.set(key, lane);
      ofDevice.set(id, lane);
    }
    if (lane.kind === "device") lane.detail ||= agent(event);
    const at = Date.parse(event.timestamp);
    const dot: Dot = { event, at, state: "claimed", moves: shown.moving.has(event.event_id), x: 0 };
    lane.dots.push(dot);
  }
  const found = [...order.values()];
  found.forEach((lane, nth) => {
    lane.tie = lane.dots.find(
      ({ event, at }) =>
        event.user_id !== null && shown.theirs.has(event.event_id) && !isLater(at, shown.until),
    );
    for (const dot of lane.dots) dot.state = stateOf(dot, lane, shown);
    lane.visits = visits(lane, nth, shown.visitTimeoutMs);
  });
  return found;
}

function isLater(at: number, until: number | undefined): boolean {
  return until !== undefined && at > until;
}

function stateOf(dot: Dot, lane: Lane, shown: Shown): State {
  if (isLater(dot.at, shown.until)) return "later";
  if (!shown.theirs.has(dot.event.event_id)) return "stranger";
  if (dot.event.user_id !== null) return "known";
  return lane.tie && dot.at >= lane.tie.at ? "known" : "claimed";
}

function visits(lane: Lane, nth: number, timeout: number): Visit[] {
  const found: Visit[] = [];
  for (const dot of lane.dots) {
    const last = found.at(-1);
    if (last && dot.at - last.end <= timeout) {
      last.dots.push(dot);
      last.end = dot.at;
    } else {
      found.push({ lane: nth, start: dot.at, end: dot.at, dots: [dot], gap: 0, x0: 0, x1: 0 });
    }
  }
  return found;
}

/** What a server said of its own, and not of a device that is the person's. */
function isServers(event: EventRow, devices: Set<string>): boolean {
  return !devices.has(event.anonymous_id) && !event.browser && !event.device_type;
}

function numbered(names: Map<string, number>, event: EventRow): string {
  const name = KINDS[event.device_type ?? ""] ?? "Device";
  const count = (names.get(name) ?? 0) + 1;
  names.set(name, count);
  return count === 1 ? name : `${name} ${count}`;
}

/** `Chrome, macOS`. */
export function agent(event: EventRow): string {
  return [event.browser, event.os]
    .filter((part): part is string => !!part)
    .map(brand)
    .join(", ");
}

function brand(name: string): string {
  const words = name.replace(/_/g, " ");
  return BRANDS[name] ?? words.charAt(0).toUpperCase() + words.slice(1);
}

export interface Place {
  visits: Visit[];
  width: number;
  /** Times and where they lie, both growing. */
  stops: { at: number; x: number }[];
  /** The last visit's end. */
  end: number;
  /** To fit it has to be hard to read. */
  isTight: boolean;
}

export const LEFT = 20;
export const RIGHT = 56;
/** So much narrower than it would like to be: below, it is hard to read. */
const READABLE = 0.4;
const CLOSE = 0.75;

/** Where visits lie: each as wide as the square root of its events, gaps as their logarithm. All of
 * it fits into the room, unless it is looked at `close`: then it may be as wide as it likes. */
export function place(all: Lane[], room: number, close = false): Place {
  const found = all.flatMap(({ visits }) => visits).sort((one, other) => one.start - other.start);
  let x = 0;
  let end = -Infinity;
  found.forEach((visit, nth) => {
    visit.gap = nth ? visit.start - end : 0;
    if (nth) x += visit.gap <= 0 ? 10 : 14 + 13 * Math.log2(1 + visit.gap / (0.25 * DAY));
    visit.x0 = x;
    visit.x1 = x += Math.max(14, 12 * Math.sqrt(visit.dots.length));
    end = Math.max(end, visit.end);
  });
  const natural = Math.max(1, x);
  const fitting = (room - LEFT - RIGHT) / natural;
  const scale = Math.min(3.5, close ? Math.max(CLOSE, fitting) : fitting);
  const stops: Place["stops"] = [];
  for (const visit of found) {
    visit.x0 = LEFT + visit.x0 * scale;
    visit.x1 = LEFT + visit.x1 * scale;
    const long = visit.end - visit.start;
    for (const dot of visit.dots) {
      const share = long ? (dot.at - visit.start) / long : 0.5;
      dot.x = visit.x0 + (visit.x1 - visit.x0) * share;
    }
    for (const [at, where] of [
      [visit.start, visit.x0],
      [visit.end, visit.x1],
    ] as const) {
      const last = stops.at(-1);
      if (!last || (at > last.at && where > last.x)) stops.push({ at, x: where });
    }
  }
  const right = found.length ? Math.max(...found.map(({ x1 }) => x1)) : LEFT;
  const width = Math.max(room, right + RIGHT);
  return { visits: found, width, stops, end: right, isTight: fitting < READABLE };
}

/** Where a time lies, and which time lies somewhere: gaps are stretched evenly. */
export function xOf(stops: Place["stops"], at: number): number {
  return between(stops, at, "at", "x");
}
export function timeOf(stops: Place["stops"], x: number): number {
  return between(stops, x, "x", "at");
}

type Key = "at" | "x";
function between(stops: Place["stops"], value: number, from: Key, to: Key): number {
  const first = stops[0];
  const last = stops.at(-1);
  if (!first || !last) return 0;
  if (value <= first[from]) return first[to];
  if (value >= last[from]) return last[to];
  const nth = stops.findIndex((stop) => stop[from] > value);
  const before = stops[nth - 1]!;
  const after = stops[nth]!;
  const share = (value - before[from]) / (after[from] - before[from]);
  return before[to] + (after[to] - before[to]) * share;
}

/** What is theirs at a time as their own events tell it: whatever lies on devices tied by then.
 * For as long as the server has not answered, or where it had not received them yet. */
export function guessed(events: EventRow[], until: number): Set<string> {
  const by = events.filter(({ timestamp }) => Date.parse(timestamp) <= until);
  const tied = new Set(by.filter((event) => event.user_id).map((event) => event.anonymous_id));
  return new Set(by.filter((event) => tied.has(event.anonymous_id)).map((event) => event.event_id));
}

const RANK: State[] = ["known", "claimed", "stranger", "later"];
/** Of a stretch of thread between two: known only where both are. */
export function weaker(one: State, other: State): State {
  return RANK[Math.max(RANK.indexOf(one), RANK.indexOf(other))]!;
}

/** The devices that events themselves tell of, where the person's are not known: what a browser
 * sent once lies on one. */
export function toldDevices(events: EventRow[]): Set<string> {
  const told = events.filter(({ browser, device_type }) => browser || device_type);
  return new Set(told.map(({ anonymous_id }) => anonymous_id));
}

/** The first touch of events in order: the earliest on a page, and only where there is none, for
 * which they have to be the `whole`, the earliest of all. */
export function firstTouchOf(events: EventRow[], whole: boolean): EventRow | undefined {
  const onPage = events.find(({ source_rule_id }) => source_rule_id !== "no_page");
  return onPage ?? (whole ? events[0] : undefined);
}

/** `Viewed /pricing`, `Signed in`, `purchase`. */
export function said(event: EventRow): string {
  if (event.event_name === "$pageview") return `Viewed ${event.path ?? "a page"}`;
  if (event.event_name === "$identify") return "Signed in";
  return event.event_name;
}

/** Where a first touch came from, which is said in any case. */
export const touchOf = (touch: { source: string; medium: string }) =>
  sourceOf(touch) || touch.source;
export function firstFlag(touch: { source: string; medium: string; timestamp: string }): Flag {
  return { at: Date.parse(touch.timestamp), text: touchOf(touch), kind: "first" };
}

/** Where it came from; within the site nothing is to be said. */
export function sourceOf(event: { source: string; medium: string }): string {
  if (event.source === "internal") return "";
  return event.source === event.medium ? event.source : `${event.source} / ${event.medium}`;
}
