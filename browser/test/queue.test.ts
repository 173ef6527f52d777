import { beforeEach, describe, expect, test, vi } from "vitest";
import { accept, hide, leave, load, offline, refuse, Server, stored } from "./page";

let server: Server;

beforeEach(() => {
  leave();
  vi.spyOn(document, "hidden", "get").mockReturnValue(false);
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

describe("one event that nobody takes", () => {
  const isBad = ({ event }: { event: string }) => event == "bad";
  /** Who has it in a request hears `refusal`, everybody else that all is well. */
  const refuseBad = (refusal: () => Response | Promise<Response>) => {
    server.reply = () => (server.bodies.at(-1)!.events.some(isBad) ? refusal() : accept());
  };
  const taken = () =>
    new Set(server.bodies.filter((body) => !body.events.some(isBad)).flatMap((body) => body.events))
      .size;

  test("goes alone where the server does not say which it is, and is counted", async () => {
    const client = await load();
    refuseBad(refuse(400));
    for (let n = 0; n < 10; n++) client.track(n == 7 ? "bad" : `e${n}`);
    await wait(30_000);
    expect(taken()).toBe(9);
    const said = vi.mocked(console.warn).mock.calls.filter(([what]) => what == "dropped");
    expect(said).toEqual([["dropped", 1, [expect.stringContaining('"bad"')], expect.anything()]]);
    const heard = server.bodies.filter((body) => !body.events.some(isBad));
    expect(heard.reduce((sum, { dropped }) => sum + dropped, 0)).toBe(1);
    expect(stored("mm_q")).toEqual([]);
  });

  test("is told as dropped by the next page, too", async () => {
    const before = await load();
    before.track("bad");
    refuseBad(refuse(400));
    await wait(2000);
    const after = await load();
    after.track("next");
    await wait(2000);
    expect(server.bodies.at(-1)).toMatchObject({ dropped: 1, events: [{ event: "next" }] });
  });

  test("does not hold up the others where no answer can be read", async () => {
    const client = await load();
    refuseBad(offline);
    for (const name of ["bad", "good", "too"]) client.track(name);
    await wait(30_000);
    expect(taken()).toBe(2);
    client.track("later");
    await wait(60_000);
    expect(taken()).toBe(3);
  });

  test("does not go along from page to page for ever", async () => {
    refuseBad(offline);
    (await load()).track("bad");
    let pages = 0;
    for (; pages < 30 && !vi.mocked(console.warn).mock.calls.length; pages++) {
      const client = await load();
      client.track("view");
      await wait(5000);
    }
    expect(pages).toBeLessThan(30);
    expect(console.warn).toHaveBeenCalledWith(
      ...["dropped", 1, [expect.stringContaining('"bad"')], expect.stringContaining("fetch")],
    );
    server.bodies = [];
    (await load()).track("view");
    await wait(60_000);
    expect(server.names()).toEqual(["view"]);
  });

  test("a dead network condemns nobody", async () => {
    server.reply = offline;
    for (let page = 0; page < 10; page++) {
      (await load()).track(`e${page}`);
      await wait(100_000);
    }
    server.reply = accept;
    server.bodies = [];
    dispatchEvent(new Event("online"));
    await wait(30_000);
    expect(new Set(server.names()).size).toBe(10);
    expect(console.warn).not.toHaveBeenCalled();
  });
});

test("what is dropped while a request is open is not forgotten", async () => {
  const client = await load();
  let answer = (_: Response) => {};
  server.reply = () => new Promise((resolve) => (answer = resolve));
  client.track("first");
  client.flush();
  client.track("huge", { text: "x".repeat(30_000) });
  server.reply = accept;
  answer(new Response("{}", { status: 202 }));
  await wait(0);
  client.track("next");
  await wait(2000);
  expect(server.bodies.map(({ dropped }) => dropped)).toEqual([0, 1]);
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

test("a hidden page sends what it says in one task together, and what follows after a while", async () => {
  const client = await load();
  hide(true);
  await wait(1);
  for (let n = 0; n < 25; n++) client.track(`e${n}`);
  await wait(0);
  expect(server.bodies).toHaveLength(1);
  for (let n = 25; n < 40; n++) {
    client.track(`e${n}`);
    await wait(10);
  }
  expect(server.bodies).toHaveLength(1);
  await wait(2000);
  expect(server.bodies).toHaveLength(2);
  expect(server.names()).toHaveLength(40);
});

test("events that keep coming do not become a request each", async () => {
  const client = await load();
  server.reply = () => new Promise((resolve) => setTimeout(() => resolve(accept()), 20));
  for (let n = 0; n < 400; n++) {
    client.track(`e${n}`);
    await wait(25);
  }
  expect(server.bodies.length).toBeLessThan(25);
});

test("a page from the back/forward cache forgets what was open, and sends it again", async () => {
  const client = await load();
  server.reply = () => new Promise(() => {});
  client.track("clicked");
  dispatchEvent(new Event("pagehide"));
  await wait(0);
  server.reply = accept;
  dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  client.track("after_back");
  await wait(2000);
  expect(server.names()).toEqual(["clicked", "clicked", "after_back"]);
  expect(server.events[0]!.event_id).toBe(server.events[1]!.event_id);
});

test("where no request outlives its page, a beacon does, with what is on its way", async () => {
  const beacons: string[] = [];
  vi.stubGlobal("Request", class {});
  navigator.sendBeacon = (_url, body) => beacons.push(body as string) > 0;
  const client = await load();
  server.reply = () => new Promise(() => {});
  client.identify("ada");
  await wait(0);
  client.track("last_words");
  dispatchEvent(new Event("pagehide"));
  expect(beacons).toHaveLength(1);
  const sent = JSON.parse(beacons[0]!);
  expect(sent.key).toBe("pk_live_x");
  expect(sent.events.map(({ event }: { event: string }) => event)).toEqual([
    "$identify",
    "last_words",
  ]);
  vi.unstubAllGlobals();
});

test("a rate limit is waited for, with longer and longer pauses", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const client = await load();
  server.reply = refuse(429, {}, { "Retry-After": "1" });
  client.track("kept");
  await wait(2000 + 60_000);
  expect(server.bodies.length).toBeLessThan(12);
});

test("numbers of any size are sent, and half characters in a way that JSON allows", async () => {
  const client = await load();
  client.track("x", { big: 2n ** 70n, list: [1n], cut: "ab\ud83d" });
  await wait(2000);
  expect(server.events[0]!.properties).toMatchObject({
    big: "1180591620717411303424",
    list: ["1"],
  });
  expect(server.options[0]!.body).toContain("ab\\ud83d");
});

test("storage of the page's own stays as it is", async () => {
  localStorage.comm_queue = localStorage.mm_queue = "theirs";
  await load();
  await wait(2000);
  expect(server.bodies).toEqual([]);
  expect(stored("").sort()).toEqual(["comm_queue", "mm_queue"]);
});

test("a browser whose storage is null", async () => {
  vi.stubGlobal("localStorage", null);
  const client = await load();
  client.identify("ada");
  client.track("x");
  await wait(2000);
  expect(server.events.map(({ user_id }) => user_id)).toEqual(["ada", "ada"]);
  expect(new Set(server.events.map(({ anonymous_id }) => anonymous_id)).size).toBe(1);
  expect(console.warn).not.toHaveBeenCalled();
  vi.unstubAllGlobals();
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
