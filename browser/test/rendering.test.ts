// @vitest-environment node

import { expect, test, vi } from "vitest";

test("a server that renders pages may import the package, and call it", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  const { init, track } = await import("../src/index");
  init({ key: "pk_live_x", host: "https://t.example" });
  track("x");
  expect(console.warn).toHaveBeenCalledTimes(2);
});
