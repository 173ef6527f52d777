import { describe, expect, it } from "vitest";
import {
  inWords,
  readFilters,
  withCondition,
  withoutCondition,
  writeFilters,
} from "../src/lib/filters";

describe("filters", () => {
  it("are read and written as the API has them", () => {
    for (const text of [
      "source==facebook|instagram;country==DE",
      "properties.plan=~^p.*$;path=^/docs/*",
      "did(30d,3)==login;did!=purchase",
      "devices>=2;first.source==(none)",
      "path==a\\;b\\|c\\\\d",
      "traits.name==\\ Ada\\ ",
    ]) {
      expect(writeFilters(readFilters(text))).toBe(text);
    }
  });

  it("keep whatever a value holds", () => {
    for (const value of ["a;b|c\\", " x ", "=~", "<b>;</b>", "\ud800", "‮abc", "", "(x)", "a==b"]) {
      const condition = {
        dimension: "properties.a=b;c",
        operator: "==" as const,
        values: [value, "y"],
      };
      expect(readFilters(writeFilters([condition]))).toEqual([condition]);
    }
  });

  it("leave what cannot be read to the server", () => {
    expect(writeFilters(readFilters("what is this;source==x"))).toBe("what is this;source==x");
  });

  it("take the place of the same dimension's", () => {
    expect(
      withCondition("source==a;country==DE", {
        dimension: "source",
        operator: "==",
        values: ["b"],
      }),
    ).toBe("country==DE;source==b");
    expect(withCondition("path=@a", { dimension: "path", operator: "=@", values: ["b"] })).toBe(
      "path=@a;path=@b",
    );
    expect(withoutCondition("a==1;b==2;c==3", 1)).toBe("a==1;c==3");
  });

  it("are said in words", () => {
    expect(readFilters("first.source!=a|(none);properties.plan_name==pro").map(inWords)).toEqual([
      "first source is not a or absent",
      "plan name is pro",
    ]);
  });
});
