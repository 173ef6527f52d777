import { describe, expect, test } from "vitest";
import { layOut } from "../src/pages/insights/flow";
import { pageStep, readSteps, stepName } from "../src/pages/insights/names";
import { holds, type Row, warningsOf } from "../src/pages/live/checks";

describe("steps of a funnel", () => {
  test.each([
    ["$pageview,signup", ["$pageview", "signup"]],
    ["$pageview{path=/a,/b},x?", ["$pageview{path=/a,/b}", "x?"]],
    ["a\\,b, c ,", ["a\\,b", "c"]],
    ["a{b\\},c},d", ["a{b\\},c}", "d"]],
    ["", []],
  ])("%s", (text, steps) => expect(readSteps(text)).toEqual(steps));

  test.each([
    ["$pageview", "Page view"],
    ["$pageview{path=/pricing}", "/pricing"],
    ["$pageview{path=^/docs/*}", "Page view{path=^/docs/*}"],
    ["goal:won?", "won (optional)"],
    ["a\\,b", "a,b"],
  ])("%s is said %s", (step, name) => expect(stepName(step)).toBe(name));

  test("a path is one step, whatever is in it", () => {
    const path = "/a,b;c|d}e=f";
    expect(readSteps(`x,${pageStep(path)}`)).toHaveLength(2);
    expect(stepName(pageStep(path))).toBe(path);
  });
});

describe("the drawing of paths", () => {
  const flow = [
    { step: 1, from: "/b", to: "signup", persons: 6 },
    { step: 1, from: "/c", to: "signup", persons: 4 },
    { step: 2, from: "/a", to: "/b", persons: 5 },
  ];
  test("before an event, it is on the right", () => {
    const { nodes, bands } = layOut(flow, "signup", 10, true, 650, 100, 150);
    const x = Object.fromEntries(nodes.map((node) => [node.name, node.x]));
    expect(x["/a"]).toBe(0);
    expect(x["/b"]! < x.signup!).toBe(true);
    expect(bands.map(({ from, to, persons }) => [from.name, to.name, persons])).toEqual([
      ["/b", "signup", 6],
      ["/a", "/b", 5],
      ["/c", "signup", 4],
    ]);
  });
  test("many in one column are folded, and nobody is lost", () => {
    const many = Array.from({ length: 20 }, (_, at) => ({
      step: 1,
      from: "signup",
      to: `/${at}`,
      persons: 20 - at,
    }));
    const { nodes } = layOut(many, "signup", 300, false, 650, 100, 150);
    const column = nodes.filter((node) => node.column === 1);
    expect(column).toHaveLength(8);
    expect(column.at(-1)!.folded).toBe(13);
    expect(column.reduce((sum, node) => sum + node.persons, 0)).toBe(210);
  });
  test("nothing is drawn of nothing", () => {
    expect(layOut([], "signup", 0, false, 650, 100, 150).nodes).toEqual([]);
  });
});

describe("what is odd about an event", () => {
  const now = Date.parse("2026-05-01T12:00:00Z");
  const row = (change: Partial<Row>): Row =>
    ({
      timestamp: "2026-05-01T11:59:59Z",
      event_id: "1",
      event_name: "signup",
      anonymous_id: "d",
      user_id: null,
      source: "google",
      source_confidence: "high",
      url: null,
      properties: "{}",
      ...change,
    }) as Row;
  test.each([
    [{}, 0],
    [{ user_id: "null" }, 1],
    [{ user_id: "user_1" }, 0],
    [{ event_name: "Signed Up" }, 1],
    [{ event_name: "$pageview" }, 1],
    [{ url: "https://a.example/?mail=ada%40shop.example" }, 1],
    [{ url: "https://a.example/%" }, 0],
    [{ source: "direct", source_confidence: "low" }, 0],
    [{ timestamp: "2026-05-01T13:00:00Z" }, 1],
    [{ timestamp: "2026-04-01T13:00:00Z", is_bot: true }, 2],
  ])("%j", (change, count) => expect(warningsOf(row(change), now)).toHaveLength(count));

  test("is found by any of its words", () => {
    expect(holds(row({ user_id: "Ada" }), "ada GOOGLE")).toBe(true);
    expect(holds(row({}), "ada google")).toBe(false);
  });
});
