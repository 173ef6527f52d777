// What every page shares: which project, when, compared with what, of whom, and whose an untagged
// event is. All of it stands in the address; this reads it, with what holds where it says nothing.

import { DEFAULT_RANGE, isRange, type RangeParams, rangeParams } from "./range";
import { session } from "./session.svelte";
import { url } from "./url.svelte";

export const POLICIES = ["first", "next", "last", "none"] as const;
export type Policy = (typeof POLICIES)[number];
export const POLICY_WORDS: Record<string, string> = {
  any: "every user ever seen on the device",
  first: "the first user seen on the device",
  next: "the next user to sign in on the device",
  last: "the latest user seen on the device",
  none: "nobody: it stays the anonymous visitor's",
};
export const COMPARES: [string, string][] = [
  ["none", "Nothing"],
  ["previous_period", "The time before"],
  ["previous_year", "A year before"],
];

/** What goes into every question about a time and people. */
export interface ViewParams extends RangeParams {
  tz?: string;
  filters?: string;
  stitch?: Policy;
}

class View {
  /** By which clocks days begin: the address's, the project's, else those of the reader. */
  get tz(): string {
    const named = [url.get("tz"), session.project?.timezone];
    return named.find((zone) => zone && isZone(zone)) || readersZone();
  }

  get range(): string {
    const named = url.get("range");
    return isRange(named) ? named : DEFAULT_RANGE;
  }

  /** Empty: nothing was chosen; then figures are compared, and charts and tables are not. */
  get compare(): string {
    return this.isUncompared ? "" : url.get("compare");
  }

  get isUncompared(): boolean {
    return url.get("compare") === "none";
  }

  get filters(): string {
    return url.get("filters");
  }

  /** The policy that holds: the address's, the project's, else the one that counting takes. */
  get policy(): Policy {
    const named = url.get("stitch") || session.project?.stitch || "";
    return (POLICIES as readonly string[]).includes(named) ? (named as Policy) : "next";
  }

  /** Of every question: when, by which clocks, of whom, by which policy. */
  get params(): ViewParams {
    return {
      ...rangeParams(this.range, this.tz),
      tz: this.tz,
      filters: this.filters || undefined,
      stitch: this.policy,
    };
  }

  /** What figures are compared with where nothing was chosen, too: a number alone says little. */
  get figures(): ViewParams & { compare?: string } {
    // A share link shows what its address says, and no more.
    const otherwise = session.shared ? "" : "previous_period";
    const compare = this.range === "all" || this.isUncompared ? "" : this.compare || otherwise;
    return { ...this.params, compare: compare || undefined };
  }

  /** The same, and compared with another time where that was chosen: there is none before all. */
  get compared(): ViewParams & { compare?: string } {
    const compare = this.range === "all" ? "" : this.compare;
    return { ...this.params, compare: compare || undefined };
  }
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat(undefined, { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

function readersZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

export const view = new View();
