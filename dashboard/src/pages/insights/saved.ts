// Insights: a question with its parameters under a name; how they come from the address of a page,
// and lead back there.

import type { Schemas } from "../../lib/api";
import { plusDays, type RangeParams, rangeParams } from "../../lib/range";
import { type Change, url } from "../../lib/url.svelte";

export type Insight = Schemas["Insight"];
type Params = Record<string, string>;

/** Which page shows a question. */
export const PAGE_OF: Record<string, string> = {
  funnel: "/funnels",
  retention: "/retention",
  paths: "/paths",
  attribution: "/attribution",
};

const DATES = /^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$/;

/** The time of a page as a question has it: what is relative stays so. */
export function timeOf(range: string): Params {
  const dates = DATES.exec(range);
  if (dates) return { from: dates[1]!, to: plusDays(dates[2]!, 1) };
  return range === "all" ? {} : { from: range };
}

/** And back; empty where a page has no such time. */
export function rangeOf({ from, to }: Params): string {
  if (!from) return to ? "" : "all";
  if (!to) return from;
  return DATES.test(`${from}..${to}`) ? `${from}..${plusDays(to, -1)}` : "";
}

/** What is asked of an insight: its own parameters, its time as a page would take it. */
export function questionOf(insight: Insight, tz: string): Params {
  const { from, to, ...rest } = (insight.params ?? {}) as Params;
  const zone = rest.tz || tz;
  const range = rangeOf({ ...(from ? { from } : {}), ...(to ? { to } : {}) } as Params);
  const time: RangeParams = range ? rangeParams(range, zone) : { from, to };
  return {
    ...rest,
    tz: zone,
    ...Object.fromEntries(Object.entries(time).filter(([, value]) => value)),
  } as Params;
}

/** Where it can be looked at as a whole. */
export function addressOf(insight: Insight): string | undefined {
  const page = PAGE_OF[insight.question];
  if (!page) return undefined;
  const { from = "", to = "", conversion, ...rest } = (insight.params ?? {}) as Params;
  const range = rangeOf({ from, to });
  const change: Change = { filters: null, stitch: null, ...rest, range: range || null };
  if (conversion) change.goal = conversion;
  return url.href(page, change);
}
