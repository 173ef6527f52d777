import { describe, expect, it } from "vitest";
import { address } from "../src/lib/api";
import { csv } from "../src/lib/csv";
import { amounts, duration, money, number, percent } from "../src/lib/format";
import { every, ticks } from "../src/lib/ui/scale";
import { sorted, visible } from "../src/lib/ui/table";
import { match, type Page } from "../src/pages";

describe("address", () => {
  it("is one for the same question", () => {
    expect(address("/v1/stats", { b: 2, a: "x y", c: undefined, d: "" })).toBe(
      "/v1/stats?a=x+y&b=2",
    );
  });

  it("has parts of its path percent-encoded", () => {
    expect(address("/v1/users/{user_id}/events", { user_id: "a/b ?#", limit: 1 })).toBe(
      "/v1/users/a%2Fb%20%3F%23/events?limit=1",
    );
  });
});

describe("csv", () => {
  it("has no formulas, and leaves numbers alone", () => {
    expect(
      csv(
        ["a", "b"],
        [
          ["=1+1", -5],
          ['say "x"', null],
          ["@x", true],
          ["\tx", "-2"],
        ],
      ),
    ).toBe('a,b\r\n\'=1+1,-5\r\n"say ""x""",\r\n\'@x,true\r\n\'\tx,\'-2\r\n');
  });
});

describe("figures", () => {
  it("are as the locale has them", () => {
    expect(number(-0)).toBe("0");
    expect([number(4662), number(225.4), number(4.84), number(null)]).toEqual([
      "4,662",
      "225",
      "4.8",
      "–",
    ]);
    expect([percent(0.214), percent(0.0123), percent(0), percent(null)]).toEqual([
      "21%",
      "1.2%",
      "0%",
      "–",
    ]);
    expect([duration(336960), duration(254), duration(59), duration(0)]).toEqual([
      "3.9 days",
      "4 min",
      "59 sec",
      "0 sec",
    ]);
  });

  it("have a currency, known or not", () => {
    expect(money(12, "EUR")).toBe("€12");
    expect(money(0.5, "USD")).toBe("$0.50");
    expect(money(3, "<b>")).toBe("3 <b>");
    expect(amounts({ USD: 1, EUR: 5 })).toEqual([
      { currency: "EUR", value: 5 },
      { currency: "USD", value: 1 },
    ]);
  });
});

describe("axes", () => {
  it("have round steps up to the greatest", () => {
    expect(ticks(184)).toEqual([0, 50, 100, 150]);
    expect(ticks(3)).toEqual([0, 1, 2, 3]);
    expect(ticks(0)).toEqual([0]);
    expect(every(60, 600, 60)).toBe(7);
  });
});

describe("tables", () => {
  const columns = [
    { key: "name", title: "", value: (row: { name: string; count: number | null }) => row.name },
    { key: "count", title: "", value: (row: { name: string; count: number | null }) => row.count },
  ];
  const rows = [
    { name: "b10", count: 2 },
    { name: "b9", count: null },
    { name: "a", count: 11 },
  ];

  it("are sorted by numbers as numbers, with what is absent last", () => {
    expect(sorted(rows, columns, "count").map(({ name }) => name)).toEqual(["b10", "a", "b9"]);
    expect(sorted(rows, columns, "-count").map(({ name }) => name)).toEqual(["a", "b10", "b9"]);
    expect(sorted(rows, columns, "name").map(({ name }) => name)).toEqual(["a", "b9", "b10"]);
    expect(sorted(rows, columns, "")).toBe(rows);
  });

  it("draw what is in sight", () => {
    expect(visible(100_000, 36, 0, 720)).toEqual({ first: 0, last: 32 });
    expect(visible(100_000, 36, 3_599_000, 720)).toEqual({ first: 99_960, last: 100_000 });
  });
});

describe("pages", () => {
  const page = (path: string): Page => ({ path }) as Page;
  const pages = [page("/"), page("/people/:id"), page("/people/duplicates"), page("/people")];

  it("are found by their path, plain ones first", () => {
    expect(match("/", pages)?.page.path).toBe("/");
    expect(match("/people/duplicates", pages)?.page.path).toBe("/people/duplicates");
    expect(match("/people/a%2Fb", pages)).toEqual({ page: pages[1], params: { id: "a/b" } });
    expect(match("/people/%E0%A4", pages)?.params.id).toBe("%E0%A4");
    expect(match("/people/a/b", pages)).toBeUndefined();
  });
});
