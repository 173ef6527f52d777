import { beforeEach, expect, test, vi } from "vitest";
import { hide, leave, load, Server, stored } from "./page";

let server: Server;

beforeEach(() => {
  leave();
  vi.useFakeTimers();
  vi.spyOn(console, "warn").mockImplementation(() => {});
  localStorage.clear();
  document.head.innerHTML = "";
  document.cookie = "aid=; max-age=0";
  history.replaceState(null, "", "/");
  server = new Server();
});

const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);
const owners = () => server.events.map(({ event, user_id }) => [event, user_id]);

test("one anonymous id, through login, logout, another account and page loads", async () => {
  let client = await load();
  const id = client.getAnonymousId();
  client.track("visit");
  client.identify("ada", { plan: "pro" });
  client.track("use");
  client.reset();
  client.track("look");
  client.identify("bob");
  client = await load();
  expect(client.getAnonymousId()).toBe(id);
  client.track("use");
  await wait(2000);
  expect(new Set(server.events.map(({ anonymous_id }) => anonymous_id))).toEqual(new Set([id]));
  expect(owners()).toEqual([
    ["visit", undefined],
    ["$identify", "ada"],
    ["use", "ada"],
    ["look", undefined],
    ["$identify", "bob"],
    ["use", "bob"],
  ]);
  expect(server.events[1]!.properties).toEqual({ plan: "pro" });
});

test("identify goes at once", async () => {
  const client = await load();
  client.identify("ada");
  await wait(0);
  expect(server.names()).toEqual(["$identify"]);
});

const NOBODY = [
  ...[undefined, null, "", NaN, {}, [], ["a"], () => "ada", new Date(0), true, false, 0, -1],
  ...["undefined", "NULL", "none", "nil", "NaN", "[object Object]", "true", " ", " guest "],
  ...["anonymous", "not_authenticated", "0", "-1", "00000000-0000-0000-0000-000000000000"],
];

test.each(NOBODY.map((id) => [id]))("identify(%j) warns and does nothing", async (id) => {
  const client = await load();
  client.identify("ada");
  client.identify(id as string);
  expect(console.warn).toHaveBeenCalledOnce();
  client.track("x");
  await wait(2000);
  expect(owners()).toEqual([
    ["$identify", "ada"],
    ["x", "ada"],
  ]);
});

test("ids that only look like one of those are ids", async () => {
  const client = await load();
  for (const id of ["nullius", "guest7", "00", 1, "-12", "nan@example.com", " x "])
    client.identify(id);
  expect(console.warn).not.toHaveBeenCalled();
  await wait(2000);
  expect(server.events.map(({ user_id }) => user_id)).toEqual(
    ["nullius", "guest7", "00", "1", "-12", "nan@example.com", " x "], //
  );
});

test("init is for once", async () => {
  const client = await load();
  client.init({ key: "pk_other", host: "https://other.example", autoPageView: false });
  client.track("x");
  await wait(2000);
  expect(server.bodies[0]!.key).toBe("pk_live_x");
});

test("what another tab says of the user counts here, too", async () => {
  const client = await load();
  localStorage.setItem("mm_uid", "ada");
  localStorage.setItem("mm_aid", "theirs");
  client.track("x");
  localStorage.removeItem("mm_uid");
  client.track("y");
  await wait(2000);
  expect(owners()).toEqual([
    ["x", "ada"],
    ["y", undefined],
  ]);
  expect(client.getAnonymousId()).toBe("theirs");
});

test("storage that is cleared takes the user, and leaves the visitor", async () => {
  const client = await load();
  client.identify("ada");
  const id = client.getAnonymousId();
  localStorage.clear();
  client.track("x");
  await wait(2000);
  expect(server.events.at(-1)).toMatchObject({ event: "x", anonymous_id: id });
  expect(server.events.at(-1)!.user_id).toBeUndefined();
  expect(localStorage.getItem("mm_aid")).toBe(id);
});

test("the server's id comes in a tag or a cookie, and wins over an older one", async () => {
  localStorage.setItem("mm_aid", "old");
  document.head.innerHTML = '<meta name="threadline-aid" content="from the server">';
  expect((await load()).getAnonymousId()).toBe("from the server");
  document.head.innerHTML = "";
  document.cookie = "aid=from-the-cookie";
  expect((await load({ cookie: "aid" })).getAnonymousId()).toBe("from-the-cookie");
  document.head.innerHTML = '<meta name="threadline-aid" content="None">';
  expect((await load()).getAnonymousId()).toBe("from-the-cookie");
});

test("who asks not to be tracked is not, and nothing is kept", async () => {
  vi.stubGlobal("navigator", { ...navigator, doNotTrack: "1", language: "en" });
  let client = await load({ autoPageView: true });
  client.identify("ada");
  client.track("x");
  expect(client.getAnonymousId()).toBe(client.getAnonymousId());
  await wait(2000);
  expect(server.bodies).toEqual([]);
  expect(stored("mm_")).toEqual([]);
  expect(console.warn).toHaveBeenCalledOnce();
  expect(console.warn).toHaveBeenCalledWith(expect.stringContaining("doNotTrack"));
  vi.stubGlobal("navigator", { ...navigator, doNotTrack: null, globalPrivacyControl: true });
  client = await load({ autoPageView: true });
  await wait(2000);
  expect(server.bodies).toEqual([]);
  await load({ autoPageView: true, respectDnt: false });
  await wait(2000);
  expect(server.names()).toEqual(["$pageview"]);
  vi.unstubAllGlobals();
});

test("optOut ends it, on later pages too, until optIn", async () => {
  let client = await load();
  client.identify("ada");
  await wait(0);
  const id = client.getAnonymousId();
  client.track("waiting");
  client.optOut();
  client.track("x");
  await wait(2000);
  expect(stored("mm_")).toEqual(["mm_out"]);
  client = await load();
  client.track("y");
  await wait(2000);
  expect(server.names()).toEqual(["$identify"]);
  client.optIn();
  client.track("z");
  await wait(2000);
  expect(owners().at(-1)).toEqual(["z", undefined]);
  expect(client.getAnonymousId()).not.toBe(id);
});

test("pages that are left out send nothing, but remember who is there", async () => {
  history.replaceState(null, "", "/admin/users");
  let client = await load({ exclude: "/preview*, /admin/*", autoPageView: true });
  client.identify("ada");
  client.track("x");
  await wait(2000);
  expect(server.bodies).toEqual([]);
  leave();
  history.replaceState(null, "", "/administrators");
  client = await load({ exclude: ["/admin/"] });
  client.track("y");
  await wait(2000);
  expect(owners()).toEqual([["y", "ada"]]);
});

test("pages inside of a page count, with the one before as their referrer", async () => {
  vi.spyOn(document, "referrer", "get").mockReturnValue("https://search.example/");
  await load({ autoPageView: true });
  history.pushState(null, "", "/a?x=1");
  history.replaceState(null, "", "/a?x=2");
  history.replaceState(null, "", "/a?x=2#top");
  history.pushState(null, "", "/a?x=2#bottom");
  history.replaceState(null, "", "/b");
  history.pushState(null, "", "/b");
  history.pushState(null, "", "/b?page=2");
  await wait(2000);
  const base = location.origin;
  expect(server.events.map(({ url, referrer }) => [url, referrer])).toEqual([
    [`${base}/`, "https://search.example/"],
    [`${base}/a?x=1`, `${base}/`],
    [`${base}/b`, `${base}/a?x=2`],
    [`${base}/b?page=2`, `${base}/b`],
  ]);
  dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true }));
  dispatchEvent(new PageTransitionEvent("pageshow", { persisted: false }));
  await wait(2000);
  expect(server.events.at(-1)!.referrer).toBe(`${base}/b?page=2`);
  expect(server.events).toHaveLength(5);
});

test("routes behind the # count where a site says so", async () => {
  await load({ autoPageView: true, hash: true });
  history.pushState(null, "", "/#/a");
  history.pushState(null, "", "/#/a");
  await wait(2000);
  expect(server.events.map(({ url }) => url.split("/").slice(3).join("/"))).toEqual(["", "#/a"]);
});

test("pages by hand", async () => {
  const client = await load();
  client.page("Prices", { tier: 2 });
  client.page();
  await wait(2000);
  expect(server.events[0]!.properties).toMatchObject({ name: "Prices", tier: 2 });
  expect(server.names()).toEqual(["$pageview", "$pageview"]);
});

test("a page made ahead counts when it is shown, or never", async () => {
  const made = document as Document & { prerendering?: boolean };
  made.prerendering = true;
  await load({ autoPageView: true });
  await wait(10_000);
  hide(false);
  expect(server.bodies).toEqual([]);
  expect(stored("mm_q")).toEqual([]);
  made.prerendering = false;
  document.dispatchEvent(new Event("prerenderingchange"));
  await wait(2000);
  expect(server.names()).toEqual(["$pageview"]);
});

test("nothing that a page does wrong comes back to it", async () => {
  const client = await load();
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  client.track("x", circle);
  client.identify(Symbol("id") as unknown as string);
  client.init(undefined as never);
  (client.track as () => void)();
  expect(console.warn).toHaveBeenCalled();
  client.track("fine");
  await wait(2000);
  expect(server.names()).toContain("fine");
});
