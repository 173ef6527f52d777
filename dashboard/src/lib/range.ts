// A stretch of time as an address has it (`30d`, `mtd`, `2026-05-01..2026-05-31`), as the API takes
// it, and in words.

export interface RangeParams {
  from?: string;
  to?: string;
}
export const DEFAULT_RANGE = "30d";
export const PRESETS: [string, string][] = [
  ["today", "Today"],
  ["yesterday", "Yesterday"],
  ["7d", "Last 7 days"],
  ["30d", "Last 30 days"],
  ["60d", "Last 60 days"],
  ["90d", "Last 90 days"],
  ["mtd", "This month"],
  ["ytd", "This year"],
  ["12mo", "Last 12 months"],
  ["all", "All time"],
];

const DAYS = /^([1-9]\d{0,4})d$/;
const DATES = /^(\d{4}-\d{2}-\d{2})\.\.(\d{4}-\d{2}-\d{2})$/;
const OTHER = /^(today|yesterday|mtd|ytd|all|[1-9]\d{0,4}(h|w|mo|y))$/;

/** Today's date by the clocks of that zone. */
export function today(tz: string, now = new Date()): string {
  return new Intl.DateTimeFormat("en-CA", { timeZone: tz, dateStyle: "short" }).format(now);
}

/** The date so many days later. */
export function plusDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

export function isRange(range: string): boolean {
  const dates = DATES.exec(range);
  if (dates) return isDate(dates[1]!) && isDate(dates[2]!) && dates[1]! <= dates[2]!;
  return DAYS.test(range) || OTHER.test(range);
}

function isDate(text: string): boolean {
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** What the API is asked: the last 30 days are today and the 29 before it, whole days, so that the
 * first bar of a chart is as high as that day was. Both dates of a pair are meant. */
export function rangeParams(range: string, tz: string, now = new Date()): RangeParams {
  const dates = DATES.exec(range);
  if (dates) return { from: dates[1], to: plusDays(dates[2]!, 1) };
  const days = DAYS.exec(range);
  if (days) return { from: plusDays(today(tz, now), 1 - Number(days[1])) };
  if (range === "all") return {};
  return { from: OTHER.test(range) ? range : DEFAULT_RANGE };
}

/** The interval that gives a series a readable number of points. */
export function intervalOf(range: string): "hour" | "day" | "week" | "month" {
  const dates = DATES.exec(range);
  const days = dates
    ? (Date.parse(dates[2]!) - Date.parse(dates[1]!)) / 86_400_000 + 1
    : range === "today" || range === "yesterday" || /h$/.test(range)
      ? 1
      : range === "mtd"
        ? 31
        : range === "ytd" || range === "12mo"
          ? 365
          : range === "all"
            ? 180
            : Number(DAYS.exec(range)?.[1] ?? 30);
  if (days <= 2) return "hour";
  if (days <= 130) return "day";
  return days <= 800 ? "week" : "month";
}

export function rangeLabel(range: string, locale?: string): string {
  const preset = PRESETS.find(([name]) => name === range);
  if (preset) return preset[1];
  const dates = DATES.exec(range);
  if (dates) {
    const format = new Intl.DateTimeFormat(locale, {
      day: "numeric",
      month: "short",
      year: "numeric",
      timeZone: "UTC",
    });
    return format.formatRange(new Date(dates[1]!), new Date(dates[2]!));
  }
  const days = DAYS.exec(range);
  return days ? `Last ${days[1]} days` : range;
}
