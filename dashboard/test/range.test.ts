import { describe, expect, it } from "vitest";
import { intervalOf, isRange, plusDays, rangeParams, today } from "../src/lib/range";

const NOW = new Date("2026-11-26T23:30:00Z");

describe("ranges", () => {
  it("are whole days by the clocks of the zone", () => {
    expect(today("Asia/Kolkata", NOW)).toBe("2026-11-27");
    expect(rangeParams("30d", "UTC", NOW)).toEqual({ from: "2026-10-28" });
    expect(rangeParams("1d", "Asia/Kolkata", NOW)).toEqual({ from: "2026-11-27" });
  });

  it("hold both dates of a pair", () => {
    expect(rangeParams("2026-02-27..2026-02-28", "UTC", NOW)).toEqual({
      from: "2026-02-27",
      to: "2026-03-01",
    });
    expect(plusDays("2028-02-28", 1)).toBe("2028-02-29");
  });

  it("are what the API takes, or refused", () => {
    expect(rangeParams("mtd", "UTC", NOW)).toEqual({ from: "mtd" });
    expect(rangeParams("all", "UTC", NOW)).toEqual({});
    for (const good of ["7d", "12mo", "24h", "today", "2026-01-01..2026-01-01"])
      expect(isRange(good)).toBe(true);
    for (const bad of ["", "0d", "2026-02-30..2026-03-01", "2026-03-01..2026-02-01", "x", "<b>"]) {
      expect(isRange(bad)).toBe(false);
    }
  });

  it("have an interval that can be read", () => {
    expect(["today", "30d", "ytd", "2020-01-01..2026-01-01"].map(intervalOf)).toEqual([
      "hour",
      "day",
      "week",
      "month",
    ]);
  });
});
