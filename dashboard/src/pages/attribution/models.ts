// The six models, and what a page says of a conversion by its name.

import { amounts } from "../../lib/format";

export const MODELS = [
  ["first_touch", "First"],
  ["last_touch", "Last"],
  ["last_non_direct", "Last non-direct"],
  ["linear", "Linear"],
  ["position_based", "Position"],
  ["time_decay", "Time decay"],
] as const;
export type Model = (typeof MODELS)[number][0];
export const ALL_MODELS = MODELS.map(([name]) => name).join(",");

export const BY = [
  ["source,medium", "source, medium"],
  ["source", "source"],
  ["channel", "channel"],
  ["campaign", "campaign"],
  ["landing_path", "landing page"],
  ["first_country", "first country"],
] as const;

export const LOOKBACKS = [
  ["", "30 days"],
  ["7", "7 days"],
  ["90", "90 days"],
  ["365", "a year"],
] as const;

/** `1,000 signups`, `1 signup`; of a name that is no simple word `1,000 × order_completed`. */
export function counted(count: string, name: string, isOne: boolean): string {
  if (isOne) return `${count} ${name}`;
  if (/^[a-z]+$/i.test(name) && !/(ed|s)$/.test(name)) return `${count} ${name}s`;
  return `${count} × ${name}`;
}

/** A credit: whole from a hundred on. */
export function digits(value: number): number {
  return Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : 1;
}

/** What a model gives to a group. */
export interface Credit {
  conversions: number;
  value?: unknown;
}

/** What there is to show of a total: conversions, or what they are worth in one currency. */
export function measuresOf(value: unknown): [string, string][] {
  return [
    ["conversions", "conversions"],
    ...amounts(value).map(
      ({ currency }) =>
        [`value:${currency}`, currency ? `value in ${currency}` : "value"] as [string, string],
    ),
  ];
}

/** The currency of a measure; none: conversions are counted. */
export function currencyOf(measure: string): string | undefined {
  return measure.startsWith("value:") ? measure.slice(6) : undefined;
}

export function worthOf(found: Credit | undefined, currency: string | undefined): number {
  if (!found) return 0;
  if (currency === undefined) return found.conversions;
  return amounts(found.value).find((each) => each.currency === currency)?.value ?? 0;
}

/** What a group is called, by its columns. */
export function groupName(row: Record<string, unknown>, columns: string[]): string {
  return (
    columns
      .map((column) => row[column] || (columns.length > 1 ? "" : "(none)"))
      .filter(Boolean)
      .join(" / ") || "(none)"
  );
}

/** The group as the API takes it back. */
export function groupText(row: Record<string, unknown>, columns: string[]): string {
  return columns
    .map((column) => {
      const value = row[column];
      return value === null || value === undefined || value === ""
        ? "(none)"
        : String(value).replace(/[\\,]/g, "\\$&");
    })
    .join(",");
}
