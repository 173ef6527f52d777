// The lines of a thread, from where `thread.ts` has placed its visits. Pure: tested without a page.

import { day, duration } from "../../lib/format";
import {
  type Dot,
  type Lane,
  LEFT,
  type Place,
  type State,
  type Visit,
  weaker,
  xOf,
} from "./thread";

/** Above the first lane, from lane to lane, and where the cord runs. */
const ROOF = 92;
const STEP = 60;
export const CORD = 68;
/** How far right of its knot a strand is a part of the cord. */
export const INTO = 24;

export const isCompact = (width: number) => width > 0 && width < 620;
/** How wide the names of lanes are, and what that leaves of the card for the rest. */
export const gutterOf = (compact: boolean) => (compact ? 86 : 132);
export const roomOf = (width: number) => Math.max(240, width - gutterOf(isCompact(width)) - 2);
export const laneY = (nth: number) => ROOF + nth * STEP;
/** Above the first lane is the cord: what would lie on it goes below. */
export const isFirstLane = (y: number) => y <= ROOF;
/** So far to the right, words run to the left. */
export const turns = (x: number, place: Place) => x > place.width - 130;

export interface Knot {
  /** Of its lane. */
  id: string;
  x: number;
  y: number;
  lane: number;
  at: number;
}
/** Where a person became known on each device, from left to right. */
export function knotsOf(lanes: Lane[]): Knot[] {
  return lanes
    .flatMap((lane, nth) =>
      lane.tie && lane.kind !== "server"
        ? [{ id: lane.id, x: lane.tie.x, y: laneY(nth), lane: nth, at: lane.tie.at }]
        : [],
    )
    .sort((one, other) => one.x - other.x);
}

/** Where the cord ends: with what was known at the time, of which `cut` is the place. */
export function cordEnd(place: Place, knots: Knot[], cut: number | undefined): number {
  const end = place.end + 26;
  return cut === undefined ? end : Math.min(end, Math.max(cut, (knots.at(-1)?.x ?? 0) + 30));
}
export const strand = (knot: Knot) =>
  `M${knot.x} ${knot.y - 8}C${knot.x} ${(knot.y + CORD) / 2},${knot.x + 2} ${CORD},${knot.x + INTO} ${CORD}`;
/** Lines across the cord, so that what is of several threads looks it. */
export function twist(from: number, to: number, width: number): string {
  let path = "";
  for (let x = from; x < to - 3; x += 6) path += `M${x} ${CORD + width / 2 - 0.5}l3 ${1 - width}`;
  return path;
}

export interface Mark {
  x: number;
  text: string;
}
/** The days, where there is room to name them. */
export function daysOf(place: Place, tz: string): Mark[] {
  const found: Mark[] = [];
  let last = "";
  let lastX = -99;
  for (const visit of place.visits) {
    const text = day(visit.start, tz);
    if (text !== last && visit.x0 - lastX > 54) {
      found.push({ x: visit.x0, text });
      lastX = visit.x0;
    }
    last = text;
  }
  return found;
}
/** Where nothing happened for long, the time is folded away. */
export function foldsOf(place: Place): Mark[] {
  const found: Mark[] = [];
  let before = LEFT;
  for (const visit of place.visits) {
    if (visit.gap > 1.5 * 86_400_000 && visit.x0 - before > 40)
      found.push({ x: (before + visit.x0) / 2, text: duration(visit.gap / 1000, "long") });
    before = Math.max(before, visit.x1);
  }
  return found;
}

export interface Piece {
  key: string;
  x0: number;
  x1: number;
  state: State;
}
/** The thread between visits. */
export function piecesOf(lane: Lane): Piece[] {
  return lane.visits.slice(1).map((visit, nth) => {
    const before = lane.visits[nth]!;
    const state = weaker(before.dots.at(-1)!.state, visit.dots[0]!.state);
    return { key: visit.dots[0]!.event.event_id, x0: before.x1 + 3, x1: visit.x0 - 3, state };
  });
}
/** Of a thread that is tight, strokes are beads. */
export const half = (visit: Visit) => Math.min(14, Math.max(8, visit.x1 - visit.x0 + 6)) / 2;
/** A visit in which somebody became known is dyed from there on; empty: this is none. */
export function dyed({ tie }: Lane, visit: Visit): string {
  if (!tie || visit.end <= tie.at || visit.start >= tie.at) return "";
  const right = visit.x1 + 3;
  const r = half(visit);
  return `M${tie.x} ${-r}H${Math.max(tie.x, right - r)}a${r} ${r} 0 0 1 0 ${2 * r}H${tie.x}`;
}
export const toneOf = ({ tie }: Lane, visit: Visit): State =>
  tie && visit.start < tie.at && visit.end > tie.at
    ? visit.dots[0]!.state
    : visit.dots.at(-1)!.state;

export interface Spot {
  dot: Dot;
  y: number;
}
/** The dot that a pointer means: the nearest, unless all are far away. */
export function nearest(spots: Spot[], x: number, y: number): Spot | undefined {
  let best: Spot | undefined;
  let least = 26;
  for (const each of spots) {
    const far = Math.hypot(each.dot.x - x, (each.y - y) * 0.8);
    if (far < least) [least, best] = [far, each];
  }
  return best;
}

/** Of a long text as many letters as there is room for. */
export function short(text: string, most = 26): string {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}
/** Where another person's first event on a device lies. */
export const seenAt = (place: Place, time: string) => xOf(place.stops, Date.parse(time));
