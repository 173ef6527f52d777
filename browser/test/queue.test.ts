import { beforeEach, describe, expect, test, vi } from "vitest";
import { accept, hide, leave, load, offline, refuse, Server, stored } from "./page";

let server: Server;

beforeEach(() => {
  leave();
  vi.useFakeTimers();
  vi.spyOn(console, "warn").mockImplementation(() => {});
  localStorage.clear();
  server = new Server();
});

const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);

test("events wait two seconds for others, and go together", async () => {
  const client = await load();
  client.track("one");
  client.track("two", { plan: "pro" });
  await wait(1999);
  expect(server.bodies).toEqual([]);
  await wait(1);
  expect(server.bodies).toHaveLength(1);
  const [body] = server.bodies;
  expect(body).toMatchObject({ key: "pk_live_x", dropped: 0 });
  expect(Date.parse(body!.sent_at)).toBe(Date.now());
  expect(server.names()).toEqual(["one", "two"]);
  expect(server.events[1]!.properties).toMatchObject({ plan: "pro", language: "en-US" });
  expect(new Set(server.events.map(({ event_id }) => event_id)).size).toBe(2);
  // No header of ours: browsers ask nobody before.
  expect(server.options[0]!.headers).toBeUndefined();
  expect(server.options[0]!.keepalive).toBe(true);
  expect(stored("mm_q")).toEqual([]);
});

test("twenty do not wait", async () => {
  const client = await load();
  for (let n = 0; n < 20; n++) client.track(`e${n}`);
  await wait(0);
  expect(server.names()).toHaveLength(20);
});

test("one request at a time; what comes meanwhile goes in the next", async () => {
  const client = await load();
  let answer = (_: Response) => {};
  server.reply = () => new Promise((resolve) => (answer = resolve));
  client.track("first");
  client.flush();
  for (let n = 0; n < 30; n++) client.track(`e${n}`);
  await wait(10_000);
  expect(server.bodies).toHaveLength(1);
  server.reply = accept;
  answer(new Response("{}", { status: 202 }));
  await wait(0);
  expect(server.names()).toHaveLength(31);
});

test("no request is larger than what may outlive a page", async () => {
  const client = await load();
  for (let n = 0; n < 30; n++) client.track("big", { text: "x".repeat(8000) });
  await wait(0);
  for (const { body } of server.options)
    expect(new Blob([body as string]).size).toBeLessThan(64_000);
  expect(server.names()).toHaveLength(30);
});

describe("when the server refuses", () => {
  test.each([
    ["is busy", refuse(503)],
    ["limits the rate", refuse(429)],
    ["does not know the key, which may change", refuse(401)],
    ["is not to be reached", offline],
  ])("because it %s, the same events go again, with longer and longer pauses", async (_, reply) => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const client = await load();
    server.reply = reply;
    client.track("kept");
    await wait(2000);
    for (let tries = 1; tries <= 5; tries++) {
      expect(server.bodies).toHaveLength(tries);
      const pause = 1000 * tries;
      await wait(pause - 1);
      expect(server.bodies).toHaveLength(tries);
      await wait(1);
    }
    expect(new Set(server.events.map(({ event_id }) => event_id)).size).toBe(1);
    server.reply = accept;
    await wait(32_000);
    expect(stored("mm_q")).toEqual([]);
    // The second try is a plain one: perhaps there was no room left for what outlives a page.
    expect(server.options.map(({ keepalive }) => keepalive).slice(0, 2)).toEqual([true, false]);
  });

  test("it says how long to wait", async () => {
    const client = await load();
    server.reply = refuse(429, {}, { "Retry-After": "7" });
    client.track("kept");
    await wait(2000);
    server.reply = accept;
    await wait(6999);
    expect(server.bodies).toHaveLength(1);
    await wait(1002);
    expect(server.bodies).toHaveLength(2);
  });

  test("a page that comes online again waits no longer", async () => {
    const client = await load();
    server.reply = offline;
    client.track("kept");
    await wait(60_000);
    const tries = server.bodies.length;
    server.reply = accept;
    dispatchEvent(new Event("online"));
    await wait(0);
    expect(server.bodies).toHaveLength(tries + 1);
    expect(stored("mm_q")).toEqual([]);
  });

  test("one bad event goes, the others go again", async () => {
    const client = await load();
    for (const name of ["good", "bad", "good too"]) client.track(name);
    server.reply = refuse(400, { index: 1 });
    client.flush();
    server.reply = accept;
    await wait(0);
    expect(server.bodies.map((body) => body.events.map(({ event }) => event))).toEqual([
      ["good", "bad", "good too"],
      ["good", "good too"],
    ]);
  });

  test("a refusal of all of them ends it", async () => {
    const client = await load();
    client.track("odd");
    server.reply = refuse(400);
    client.flush();
    await wait(60_000);
    expect(server.bodies).toHaveLength(1);
  });
});

test("an event that no server takes is not kept", async () => {
  const client = await load();
  client.track("huge", { text: "x".repeat(30_000) });
  client.track("fine");
  await wait(2000);
  expect(server.names()).toEqual(["fine"]);
  expect(console.warn).toHaveBeenCalledWith("no room: huge");
});

test("what a page could not send goes from the next, under the same ids", async () => {
  server.reply = offline;
  const before = await load();
  for (let n = 0; n < 3; n++) before.track(`e${n}`);
  await wait(5000);
  const ids = server.bodies[0]!.events.map(({ event_id }) => event_id);
  server.bodies = [];
  server.reply = accept;
  const after = await load();
  after.track("next");
  await wait(2000);
  expect(server.names()).toEqual(["e0", "e1", "e2", "next"]);
  expect(server.events.slice(0, 3).map(({ event_id }) => event_id)).toEqual(ids);
  expect(stored("mm_q")).toEqual([]);
});

test("at most 500 wait; the oldest go, and are counted", async () => {
  server.reply = offline;
  const client = await load();
  for (let n = 0; n < 510; n++) client.track(`e${n}`);
  server.bodies = [];
  server.reply = accept;
  await wait(10_000);
  expect(server.names()).toHaveLength(500);
  expect(server.names()[0]).toBe("e10");
  expect(server.bodies[0]!.dropped).toBe(10);
  client.track("later");
  await wait(2000);
  expect(server.bodies.at(-1)!.dropped).toBe(0);
});

test("a page that is hidden or left sends all of it at once, once", async () => {
  const client = await load();
  server.reply = () => new Promise(() => {});
  for (let n = 0; n < 19; n++) client.track(`e${n}`, { text: "x".repeat(4000) });
  hide(true);
  dispatchEvent(new Event("pagehide"));
  expect(server.bodies.length).toBeGreaterThan(2);
  expect(server.names()).toEqual(Array.from({ length: 19 }, (_, n) => `e${n}`));
  // Nobody has answered: the next page has them, too.
  expect(localStorage[stored("mm_q")[0]!].split("\n")).toHaveLength(19);
});

test("without storage, and with full storage, memory has to do", async () => {
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  vi.stubGlobal(
    "localStorage",
    new Proxy({} as Storage, {
      set: () => {
        throw new DOMException("full", "QuotaExceededError");
      },
    }),
  );
  const client = await load();
  client.identify("user_1");
  client.track("x");
  await wait(2000);
  expect(server.events.map(({ user_id }) => user_id)).toEqual(["user_1", "user_1"]);
  expect(new Set(server.events.map(({ anonymous_id }) => anonymous_id)).size).toBe(1);
  vi.unstubAllGlobals();
});
