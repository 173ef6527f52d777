import { parquetReadObjects } from "hyparquet";
import { describe, expect, it } from "vitest";
import { fileName } from "../src/lib/download";
import { parquet } from "../src/lib/parquet";

const read = (file: ArrayBuffer) => parquetReadObjects({ file });

describe("a table as Parquet", () => {
  it("keeps texts, whole and other numbers, truth and what is not there", async () => {
    const file = parquet(
      ["Name", "People", "Share", "Known", "Nothing"],
      [
        ["=1+1", 3, 0.5, true, null],
        ["\u202eänd 🧶", null, 2, false, undefined],
      ],
    );
    expect(await read(file)).toEqual([
      { Name: "=1+1", People: 3n, Share: 0.5, Known: true, Nothing: null },
      { Name: "\u202eänd 🧶", People: null, Share: 2, Known: false, Nothing: null },
    ]);
  });
  it("takes mixed columns as text, and two of one name", async () => {
    const file = parquet(
      ["a", "a"],
      [
        [1, "x"],
        ["b", null],
      ],
    );
    expect(await read(file)).toEqual([
      { a: "1", "a 2": "x" },
      { a: "b", "a 2": null },
    ]);
  });
  it("has 100,000 rows", async () => {
    const rows = Array.from({ length: 100_000 }, (_, nth) => [`user_${nth}`, nth]);
    const found = await read(parquet(["Who", "N"], rows));
    expect(found).toHaveLength(100_000);
    expect(found.at(-1)).toEqual({ Who: "user_99999", N: 99_999n });
  });
});

it("names files by what they are", () => {
  expect(fileName("People a day")).toBe("people-a-day");
  expect(fileName("Größe: /pricing?")).toBe("größe-pricing");
  expect(fileName("…")).toBe("table");
});
