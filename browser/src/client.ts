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
/** A request may outlive its page if it is under 64 KB. So many characters are, also where one takes
 * several bytes. */
const MAX_REQUEST = 2e4;
/** More than the server takes: it would never get rid of such an event. */
const MAX_EVENT = 2e4;
const MAX_ADDRESS = 2048;

/** What code sends that has no user: it would make one person of everybody. */
const NOBODY =
  /^\s*(undefined|n(ull|one|il|an|ot_authenticated)|true|false|0|-1|guest|anonymous|\[object object]|[0-]{36})?\s*$/i;

// Absent where a server renders pages: that may import this, and never call it.
const page = globalThis.document as Document & { prerendering?: boolean };

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
/** How many events are gone for good, until the server has been told. */
let dropped = 0;
let timer: unknown;
/** The page was hidden or left just now. */
let leaving: boolean;
let failures = 0;
/** So many characters go together: half after a failure that may be one event's fault, `MAX_REQUEST`
 * once the server has answered well, and not before. */
let limit = 1e4;
let here: string;
let referrer = page?.referrer;

// Storage, or a copy of it in memory from when the browser denies it or it has no room.
let store: Record<string, string> = {};
try {
  // Firefox without storage and WebViews have null there.
  store = localStorage || store;
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
  // What cannot be written down throws, and is gone.
  dropped++;
  const text = JSON.stringify(
    {
      event,
      event_id: queueName + count++,
      timestamp: new Date(),
      anonymous_id: getAnonymousId(),
      user_id: store[UID],
      url: location.href.slice(0, MAX_ADDRESS),
      referrer: referrer.slice(0, MAX_ADDRESS),
      properties,
    },
    (_, value) => (typeof value == "bigint" ? "" + value : value),
  );
  if (text[MAX_EVENT]) throw `no room: ${event}`;
  queue.push(text);
  dropped += queue.splice(0, queue.length - MAX_QUEUE).length - 1;
  keep();
  // A hidden page may be gone before the time is up: what is the first for long goes at once.
  schedule(leaving || (page.hidden && !timer));
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
  schedule(true);
};

// Delivery. What was sent stays in the queue, and in storage, until the server has answered: if a
// page is left before, it goes again from the next one. Event ids make it count once.

const keep = () => set(queueName, (dropped ? [dropped, ...queue] : queue).join("\n"));

/** Send what waits: now, which is at the end of the task with all that it has to say, or later. */
const schedule = (now?: unknown) => {
  if (now || queue.length - flying >= flushBatchSize) queueMicrotask(flush);
  else flushLater();
};

const flushLater = () => {
  timer ||= setTimeout(() => {
    timer = 0;
    flush();
  }, flushIntervalMs);
};

const flush: () => void = safely(() => {
  if (denied()) queue.length = dropped = 0;
  keep();
  if (flying && !leaving) return;
  let room = leaving ? MAX_REQUEST : limit;
  const batch = queue.slice(flying).filter((event, at) => (room -= event.length) > 0 || !at);
  if (!batch[0]) return;
  flying += batch.length;
  // In a hidden page, what comes soon after waits for others.
  if (page.hidden) flushLater();
  send(batch);
  // What is left may be gone the next moment: then all of it goes now.
  if (leaving) flush();
});

const write = (events: string[]) =>
  `{"events":[${events}],${JSON.stringify({ key, sent_at: new Date(), dropped }).slice(1)}`;

const send = async (batch: string[]) => {
  const more = queue[flying];
  let told = dropped;
  let gone: string[] = [];
  let why: string | undefined;
  let pauseS = 0;
  const body = write(batch);
  dropped = 0;
  try {
    const answer = await fetch(api, {
      method: "POST",
      // Without a header of ours, browsers do not ask first whether they may.
      body,
      // Where other requests have used up what may outlive a page, the second try is a plain one.
      keepalive: leaving || !failures,
    });
    if (answer.ok) {
      failures = told = 0;
      limit = MAX_REQUEST;
      gone = batch;
    } else {
      const refusal = await answer.text();
      // One bad event fails them all: it goes, the others go again.
      const bad = answer.status == 400 && batch[batch[1] ? JSON.parse(refusal).details.index : 0];
      if (!bad) {
        console.warn(refusal);
        throw answer.headers.get("Retry-After");
      }
      gone = [bad];
      why = refusal;
    }
  } catch (reason) {
    const askedS = +(reason as string) || 0;
    // No answer, or none that says which or when: it may be the fault of one of them.
    if (!askedS) {
      const text = "" + batch;
      // If others got through just now, it is not the network: the event is marked, by a blank that
      // is kept with it, and goes with the sixth.
      if (limit == MAX_REQUEST && !batch[1])
        if (text < "    {") {
          gone = batch;
          why = "" + reason;
        } else queue[queue.indexOf(text)] = " " + text;
      limit = text.length / 2;
    }
    // A second longer each time, and up to one by chance, so that not all come at once.
    pauseS = Math.max(askedS, ++failures) + Math.random();
  }
  queue = queue.filter((other) => !gone.includes(other));
  dropped += told;
  if (why) console.warn("dropped", ++dropped, gone, why);
  keep();
  const settle = () => {
    // What failed goes after the others.
    if (pauseS) queue.push(...queue.splice(0, batch.length));
    flying = Math.max(0, flying - batch.length);
    schedule(more || pauseS || why);
  };
  if (pauseS) setTimeout(settle, pauseS * 1e3);
  else settle();
};

/** Nobody may ever hear of what was on its way: the ids make it count once. */
const startAnew = () => {
  flying = 0;
  flush();
};

const leave = (event: Event) => {
  // By the alphabet: `pagehide`, and not `visibilitychange`.
  leaving = event.type < "v" || page.hidden;
  flush();
  // In an old Firefox, what is on its way dies with the page. Nobody hears a beacon's answer, so the
  // events stay, and go again if the page does.
  if (leaving && queue[0] && !("keepalive" in Request.prototype))
    navigator.sendBeacon(api, write(queue));
  // What the page itself says on leaving belongs to it, too.
  setTimeout(() => {
    leaving = false;
  });
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
  if (denied()) console.warn("Threadline off: globalPrivacyControl, doNotTrack, optOut");
  // The server may know the visitor already.
  setAnonymousId(
    (page.getElementsByName("threadline-aid")[0] as HTMLMetaElement)?.content ||
      page.cookie.match(`\\b${given.cookie}=([^;]+)`)?.[1],
  );
  // What earlier pages could not send, and how much of it they had to drop.
  queueName = QUEUE + randomId();
  for (const name in store)
    if (/^mm_q\d/.test(name)) {
      for (const line of store[name]!.split("\n"))
        if (+line) dropped += +line;
        else queue.push(line);
      set(name);
    }
  flush();
  const auto = !/false/.test([given.auto, given.autoPageView] as any);
  on("pagehide", leave);
  on("visibilitychange", leave);
  on("online", startAnew);
  on("pageshow", (event) => {
    if (!event.persisted) return;
    if (auto) view();
    startAnew();
  });
  if (!auto) return;
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = (...state) => {
      original.apply(history, state);
      moved(name[9] && "?");
    };
  }
  on("popstate", moved);
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
