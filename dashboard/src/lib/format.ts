// Numbers, amounts, dates and lengths of time as the reader's locale has them; days and hours by
// the clocks of the project.

const made = new Map<string, Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>();

function once<T extends Intl.NumberFormat | Intl.DateTimeFormat | Intl.RelativeTimeFormat>(
  key: string,
  make: () => T,
): T {
  const known = made.get(key);
  if (known) return known as T;
  const fresh = make();
  made.set(key, fresh);
  return fresh;
}

function numbers(options: Intl.NumberFormatOptions): Intl.NumberFormat {
  return once(`n${JSON.stringify(options)}`, () => new Intl.NumberFormat(undefined, options));
}

function dates(tz: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const make = (timeZone: string) => new Intl.DateTimeFormat(undefined, { ...options, timeZone });
  return once(`d${tz}${JSON.stringify(options)}`, () => {
    try {
      return make(tz);
    } catch {
      return make("UTC");
    }
  });
}

export const NOTHING = "–";

/** `4,662`; parts of a conversion with one digit, from a hundred on whole. `least`: digits that are
    there even where they are noughts. */
export function number(value: number | null | undefined, digits?: number, least = 0): string {
  if (value === null || value === undefined) return NOTHING;
  const most = digits ?? (Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : 1);
  // Sums of parts may come out as nought from below, which nobody writes as `-0`.
  return numbers({ minimumFractionDigits: least, maximumFractionDigits: most }).format(value + 0);
}

/** For axes: `1.2K`. */
export function compact(value: number): string {
  return numbers({ notation: "compact", maximumFractionDigits: 1 }).format(value);
}

/** `21%` of a share of 0.21; below a tenth with one digit. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined) return NOTHING;
  const digits = share !== 0 && Math.abs(share) < 0.0995 ? 1 : 0;
  return numbers({ style: "percent", maximumFractionDigits: digits }).format(share);
}

/** `+12%`, `−3%`. */
export function change(share: number | null | undefined): string {
  if (share === null || share === undefined) return NOTHING;
  const digits = share !== 0 && Math.abs(share) < 0.0995 ? 1 : 0;
  return numbers({
    style: "percent",
    signDisplay: "exceptZero",
    maximumFractionDigits: digits,
  }).format(share);
}

/** `+4.8`. */
export function difference(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : 1;
  return numbers({ signDisplay: "exceptZero", maximumFractionDigits: digits }).format(value);
}

/** An amount in its currency; an unknown code stands behind the number. */
export function money(value: number, currency: string): string {
  const digits = Math.abs(value) >= 1000 || Number.isInteger(value) ? 0 : 2;
  if (!currency || currency === "none") return number(value, digits);
  try {
    return numbers({
      style: "currency",
      currency,
      currencyDisplay: "narrowSymbol",
      minimumFractionDigits: digits,
      maximumFractionDigits: digits,
    }).format(value);
  } catch {
    return `${number(value, digits)} ${currency}`;
  }
}

/** The API's amounts: one number, or one for each currency. The greatest first. */
export function amounts(value: unknown): { currency: string; value: number }[] {
  if (typeof value === "number") return [{ currency: "", value }];
  if (!value || typeof value !== "object") return [];
  return Object.entries(value as Record<string, number>)
    .map(([currency, amount]) => ({ currency, value: amount }))
    .sort((one, other) => other.value - one.value);
}

/** `€2,676 + $87`. */
export function moneys(value: unknown): string {
  const found = amounts(value);
  return found.length ? found.map((part) => money(part.value, part.currency)).join(" + ") : NOTHING;
}

const UNITS: [Intl.NumberFormatOptions["unit"], number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** `3.9 days`, `4 min`; `narrow`: `3.9d`. */
export function duration(
  seconds: number | null | undefined,
  display: "short" | "narrow" | "long" = "short",
): string {
  if (seconds === null || seconds === undefined) return NOTHING;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS[3]!;
  const value = seconds / size;
  return numbers({
    style: "unit",
    unit,
    unitDisplay: display,
    maximumFractionDigits: unit === "day" || unit === "hour" ? (value < 10 ? 1 : 0) : 0,
  }).format(value);
}

/** `26 Sept`; with `year` where it is not this one. */
export function day(time: string | number | Date, tz = "UTC"): string {
  return dates(tz, { day: "numeric", month: "short" }).format(new Date(time));
}

/** `Friday 30 October 2026`. */
export function longDay(time: string | number | Date, tz = "UTC"): string {
  return dates(tz, { weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(
    new Date(time),
  );
}

/** `23:04`. */
export function clock(time: string | number | Date, tz = "UTC"): string {
  return dates(tz, { hour: "2-digit", minute: "2-digit" }).format(new Date(time));
}

/** How many characters a time of day has at most: as many as a column of them has to be wide. */
export function clockLength(): number {
  return clock("2000-12-20T22:44:00Z").length;
}

/** `30 Oct 2026, 23:04`. */
export function dateTime(time: string | number | Date, tz = "UTC"): string {
  return dates(tz, { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

/** `30 Oct 2026`. */
export function date(time: string | number | Date, tz = "UTC"): string {
  return dates(tz, { dateStyle: "medium" }).format(new Date(time));
}

/** The start of an interval in a series: `14:00`, `30 Oct`, `week of 30 Oct`, `October 2026`. */
export function bucket(time: string, interval: string, tz = "UTC"): string {
  if (interval === "hour")
    return dates(tz, { weekday: "short", hour: "2-digit", minute: "2-digit" }).format(
      new Date(time),
    );
  if (interval === "month")
    return dates(tz, { month: "long", year: "numeric" }).format(new Date(time));
  if (interval === "week") return `week of ${day(time, tz)}`;
  return dates(tz, { weekday: "short", day: "numeric", month: "short" }).format(new Date(time));
}

/** `3 days ago`. */
export function ago(time: string | number | Date, now = Date.now()): string {
  const seconds = (new Date(time).getTime() - now) / 1000;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? UNITS[3]!;
  const words = once("r", () => new Intl.RelativeTimeFormat(undefined, { numeric: "auto" }));
  return words.format(Math.round(seconds / size), unit as Intl.RelativeTimeFormatUnit);
}

/** An ISO country as the reader's language names it. */
export function country(code: string | null | undefined): string {
  if (!code) return "unknown";
  try {
    return new Intl.DisplayNames(undefined, { type: "region" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** `$pageview` as it is said. */
export function eventName(name: string): string {
  return name === "$pageview" ? "Page view" : name.replace(/^goal:/, "");
}
