// A page to load the client into, and a server that writes down what comes.

import { vi } from "vitest";
import type { Api, Options } from "../src/types";

export interface Sent {
  event: string;
  event_id: string;
  anonymous_id: string;
  user_id?: string;
  url: string;
  referrer: string;
  properties: Record<string, unknown>;
}

export interface Body {
  key: string;
  sent_at: string;
  dropped: number;
  events: Sent[];
}

type Reply = () => Response | Promise<Response>;

export const accept: Reply = () => new Response("{}", { status: 202 });
export const refuse =
  (status: number, details: object = {}, headers: Record<string, string> = {}): Reply =>
  () =>
    new Response(JSON.stringify({ error: "x", details }), { status, headers });
export const offline: Reply = () => Promise.reject(new TypeError("Failed to fetch"));

export class Server {
  bodies: Body[] = [];
  options: RequestInit[] = [];
  reply: Reply = accept;

  constructor() {
    vi.stubGlobal("fetch", async (_url: string, options: RequestInit) => {
      this.options.push(options);
      this.bodies.push(JSON.parse(options.body as string));
      return this.reply();
    });
  }

  get events(): Sent[] {
    return this.bodies.flatMap((body) => body.events);
  }

  names(): string[] {
    return this.events.map(({ event }) => event);
  }
}

/** What the pages before have put onto the window; a page that is left hears nothing any more. */
let listening: [string, EventListener][] = [];
const original = { add: addEventListener, push: history.pushState, replace: history.replaceState };

export function leave(): void {
  for (const [name, listener] of listening) removeEventListener(name, listener, true);
  listening = [];
  history.pushState = original.push;
  history.replaceState = original.replace;
}

/** A page load: a new module, the same storage. */
export async function load(options: Partial<Options> = {}): Promise<Api> {
  leave();
  vi.stubGlobal("addEventListener", (name: string, listener: EventListener) => {
    listening.push([name, listener]);
    original.add.call(window, name, listener, true);
  });
  vi.clearAllTimers();
  vi.resetModules();
  const { client } = await import("../src/client");
  client.init({ key: "pk_live_x", host: "https://t.example", autoPageView: false, ...options });
  return client;
}

export const hide = (hidden: boolean) => {
  vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
  dispatchEvent(new Event("visibilitychange"));
};

export const stored = (start: string) =>
  Object.keys(localStorage).filter((name) => name.startsWith(start));
