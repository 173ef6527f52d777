// The whole SDK, as one module: its names become single letters, which is what keeps it small.
//
// Nothing here may throw into the page: all that is called from outside goes through `safely`.

import type { Api, Options, Properties } from "./types";

const AID = "mm_aid";
const UID = "mm_uid";
const OUT = "mm_out";
/** One for each open page, so that two of them never write over each other's. */
const QUEUE = "mm_q";

const MAX_QUEUE = 500;
/** A request may outlive its page if it is under 64 KB. So many characters and one more event are,
 * also where a character takes several bytes. */
const MAX_REQUEST = 2e4;
/** More than the server takes: it would never get rid of such an event. */
const MAX_EVENT = 2e4;
const MAX_ADDRESS = 2048;

/** What code sends that has no user: it would make one person of everybody. */
const NOBODY =
  /^\s*(undefined|n(ull|one|il|an|ot_authenticated)|true|false|0|-1|guest|anonymous|\[object object]|[0-]{36})?\s*$/i;

const page = document as Document & { prerendering?: boolean };

let key: string | undefined;
let api: string;
let flushIntervalMs: number;
let flushBatchSize: number;
let heedsSignals = true;
let withHash: Options["hash"];
let excluded: string[];

/** Also here, in case that storage is cleared meanwhile. The user is then gone, as after `reset`. */
let anonymousId: string | undefined;

let queueName: string;
/** Ends the event ids, so that those of one page and one millisecond keep their order. */
let count = 1e3;
/** Events as JSON, until the server has taken them. */
let queue: string[] = [];
/** So many of them, from the first, are on their way or wait to go again. */
let flying = 0;
let dropped = 0;
let timer: unknown;
let failures = 0;
let goOn: () => void;
let here: string;
let referrer = page.referrer;

// Storage, or a copy of it in memory from when the browser denies it or it has no room.
let store: Record<string, string> = {};
try {
  store = localStorage;
} catch {}

const set = (name: string, value?: string) => {
  try {
    if (value) store[name] = value;
    else delete store[name];
  } catch {
    store = { ...store, [name]: value! };
  }
};

const safely =
  <A extends unknown[]>(work: (...given: A) => unknown) =>
  (...given: A): any => {
    try {
      return work(...given);
    } catch (error) {
      console.warn(error);
    }
  };

/** On its way down, also what happens to the document passes the window. */
const on = (name: string, work: (event: any) => void) => addEventListener(name, safely(work), true);

const randomId = () => crypto.getRandomValues(new Uint32Array(4)).join("");

/** The visitor does not want to be counted: nothing is sent, nothing is kept. */
const denied = () =>
  store[OUT] ||
  (heedsSignals && (+navigator.doNotTrack! || (navigator as any).globalPrivacyControl));

const setAnonymousId = (id?: string) => {
  if (NOBODY.test(id!)) return;
  anonymousId = id;
  if (!denied()) set(AID, id);
};

const getAnonymousId = () => {
  setAnonymousId(store[AID] || anonymousId || randomId());
  return anonymousId;
};

// Events.

const push = (event: string, properties?: Properties) => {
  if (!key || denied() || excluded.some((path) => location.pathname.startsWith(path))) return;
  // Made ahead, for somebody who may never come.
  if (page.prerendering) return on("prerenderingchange", () => push(event, properties));
  const text = JSON.stringify({
    event,
    event_id: queueName + count++,
    timestamp: new Date(),
    anonymous_id: getAnonymousId(),
    user_id: store[UID],
    url: location.href.slice(0, MAX_ADDRESS),
    referrer: referrer.slice(0, MAX_ADDRESS),
    properties,
  });
  if (text[MAX_EVENT]) throw `no room: ${event}`;
  queue.push(text);
  dropped += queue.splice(0, queue.length - MAX_QUEUE).length;
  keep();
  if (queue.length < flushBatchSize) timer ||= setTimeout(flush, flushIntervalMs);
  else flush();
};

const track = (event: string, properties?: Properties) =>
  push(event, {
    // The server adds what the url says of a campaign.
    viewport: innerWidth + "x" + innerHeight,
    language: navigator.language,
    // The second way keeps a slow phone busy for a tenth of a second.
    timezone:
      (self as any).Temporal?.Now.timeZoneId() || Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...properties,
  });

const identify = (id: unknown, traits?: Properties) => {
  if (id instanceof Object || NOBODY.test(id as string)) throw `no id: ${id}`;
  if (denied()) return;
  set(UID, "" + id);
  push("$identify", traits);
  flush();
};

// Delivery. What was sent stays in the queue, and in storage, until the server has answered: if a
// page is left before, it goes again from the next one. Event ids make it count once.

const keep = () => set(queueName, queue[0] && queue.join("\n"));

const flush = async () => {
  timer = 0;
  if (denied()) queue = [];
  keep();
  let room = MAX_REQUEST;
  const batch = queue.slice(flying).filter((event) => room > 0 && (room -= event.length));
  if (!batch[0] || (flying && !page.hidden)) return;
  flying += batch.length;
  try {
    const sending = fetch(api, {
      method: "POST",
      // Without a header of ours, browsers do not ask first whether they may.
      body: `{"events":[${batch}],${JSON.stringify({ key, sent_at: new Date(), dropped }).slice(1)}`,
      // Where other requests have used up what may outlive a page, the second try is a plain one.
      keepalive: !failures,
    });
    // What is hidden may be gone the next moment: then all of it goes now.
    flush();
    const answer = await sending;
    let bad: string | undefined;
    if (!answer.ok) {
      const refusal = await answer.text();
      console.warn(refusal);
      if (answer.status > 400) throw answer.headers.get("Retry-After");
      // One bad event fails them all: it goes, the others go again.
      bad = batch[JSON.parse(refusal).details.index];
    }
    queue = queue.filter((event) => !(bad ? [bad] : batch).includes(event));
    failures = dropped = 0;
  } catch (seconds) {
    // A second longer each time, and up to one by chance, so that not all come at once.
    const pauseS = (+(seconds as string) || ++failures) + Math.random();
    await new Promise<void>((wake) => setTimeout((goOn = wake), pauseS * 1e3));
  }
  flying -= batch.length;
  flush();
};

// Pages. Inside of one, the address before is the referrer of the next, also where it is the same:
// a page that is come back to was not reached from outside again.

const address = () => location.href.split(withHash ? " " : "#")[0]!;

const view = (name?: string, properties?: Properties) => {
  referrer = here || referrer;
  here = address();
  track("$pageview", { name, ...properties });
};

/** What comes before `end` has to be another address: pages write their state into the query. */
const moved = (end: any) => {
  if (here.split(end)[0] != address().split(end)[0]) view();
  here = address();
};

const init = (given: Options) => {
  if (key || !given.key) return;
  ({
    key,
    api = [given.host] + "/v1/batch",
    flushIntervalMs = 2000,
    flushBatchSize = 20,
    hash: withHash,
  } = given);
  heedsSignals = !/false/.test(given.respectDnt as any);
  excluded = ("" + given.exclude).match(/[^*, ]+/g)!;
  // The server may know the visitor already.
  setAnonymousId(
    (page.getElementsByName("threadline-aid")[0] as HTMLMetaElement)?.content ||
      page.cookie.match(`\\b${given.cookie}=([^;]+)`)?.[1],
  );
  // What earlier pages could not send.
  queueName = QUEUE + randomId();
  for (const name in store)
    if (name.match(QUEUE)) {
      queue.push(...store[name]!.split("\n"));
      set(name);
    }
  flush();
  on("pagehide", flush);
  on("visibilitychange", flush);
  on("online", () => goOn?.());
  if (/false/.test([given.auto, given.autoPageView] as any)) return;
  for (const [name, end] of [
    ["pushState", " "],
    ["replaceState", "?"],
  ] as const) {
    const original = history[name];
    history[name] = (...state) => {
      original.apply(history, state);
      moved(end);
    };
  }
  on("popstate", moved);
  on("pageshow", (event) => event.persisted && view());
  view();
};

export const client = {
  init,
  track,
  identify,
  page: view,
  flush,
  reset: () => set(UID),
  getAnonymousId,
  setAnonymousId,
  optOut: () => {
    set(OUT, "1");
    set(UID);
    anonymousId = "";
    set(AID);
    flush();
  },
  optIn: () => set(OUT),
} as Api;
for (const name in client) (client as any)[name] = safely((client as any)[name]);
