import type { Snippet } from "svelte";
import type { Cell } from "../csv";
import { number } from "../format";

/** A column of a `Table`. */
export interface Column<Row> {
  key: string;
  title: string;
  /** What it is sorted and exported by. */
  value: (row: Row) => Cell;
  /** As it is shown; without it, as `value` is. */
  text?: (row: Row) => string;
  /** Shown instead of the text, such as twin dots. */
  cell?: Snippet<[Row]>;
  /** In the place of the title. */
  head?: Snippet;
  align?: "left" | "right";
  /** Share of the width, in `fr`, or a fixed one in pixels such as `300px`. */
  width?: string;
  soft?: boolean;
  strong?: boolean;
  sortable?: boolean;
  /** Left out where the screen is narrow. */
  wideOnly?: boolean;
}

/** `key` or `-key`: descending. */
export function sorted<Row>(rows: Row[], columns: Column<Row>[], order: string): Row[] {
  const descending = order.startsWith("-");
  const column = columns.find(({ key }) => key === order.replace(/^-/, ""));
  if (!column) return rows;
  const collator = new Intl.Collator(undefined, { numeric: true });
  const compare = (one: Cell, other: Cell): number => {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return collator.compare(String(one), String(other));
  };
  return rows
    .map((row) => ({ row, value: column.value(row) }))
    .sort((one, other) => {
      // What is not there is last, whichever way.
      const absent = Number(isAbsent(one.value)) - Number(isAbsent(other.value));
      if (absent) return absent;
      const by = compare(one.value, other.value);
      return descending ? -by : by;
    })
    .map(({ row }) => row);
}

function isAbsent(value: Cell): boolean {
  return value === null || value === undefined || value === "";
}

/** Which rows of so many are to be drawn where so much was scrolled. */
export function visible(count: number, row: number, top: number, height: number, spare = 12) {
  const first = Math.max(0, Math.floor(top / row) - spare);
  const last = Math.min(count, Math.ceil((top + height) / row) + spare);
  return { first: Math.min(first, Math.max(0, count - 1)), last };
}

/** The order after a click: numbers begin with the largest, and a second click turns it around. */
export function nextOrder<Row>(order: string, { key, align }: Column<Row>): string {
  if (order === `-${key}`) return key;
  return order === key || align === "right" ? `-${key}` : key;
}

export function directionOf<Row>(order: string, { key }: Column<Row>) {
  if (order === key) return "ascending";
  return order === `-${key}` ? "descending" : undefined;
}

export function textOf<Row>(column: Column<Row>, row: Row): string {
  if (column.text) return column.text(row);
  const value: Cell = column.value(row);
  return typeof value === "number" ? number(value) : String(value ?? "–");
}

/** Narrower than this, names are not to be read: then one scrolls sideways, in the table alone. */
const NAME = "90px";
export const widthOf = <Row>(of: Column<Row>[]) =>
  `calc(${of.map(({ width }) => (width && !width.endsWith("%") ? width : NAME)).join(" + ")})`;

/** How many rows down each key leads. */
export const STEPS: Record<string, number> = {
  ArrowDown: 1,
  ArrowUp: -1,
  PageDown: 15,
  PageUp: -15,
  Home: -Infinity,
  End: Infinity,
};

/** How far to scroll so that the row at that height is in sight, with one beside it. */
export function scrolledTo(
  at: number,
  row: number,
  { scrollTop, clientHeight }: Pick<Element, "scrollTop" | "clientHeight">,
): number {
  if (at < scrollTop + row) return Math.max(0, at - row);
  return Math.max(scrollTop, at + 2 * row - clientHeight);
}
