// What `GET /v1/a.js` serves: reads its own script tag, then what was called before it was there.

import { client } from "./client";

const page = self as any;
const script = document.currentScript as HTMLScriptElement;
const calls = page.mm ? page.mm.q : [];

// Twice in a page, it counts once.
if (!page.threadline?.init) {
  page.threadline = client;
  client.init({ host: script.src.split("/v1/")[0], ...(script.dataset as any) });
  // It may be the page's: a variable, or an element with that id.
  if (calls?.map) {
    page.mm = client;
    for (const [name, ...given] of calls) (client as any)[name]?.(...given);
  } else console.warn("mm taken, use threadline");
}
