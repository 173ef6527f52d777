// The one way to the server: public routes of /openapi.json, and nothing else.

import { changes } from "./changes.svelte";
import type { components, paths } from "./openapi";
import { PREFIX } from "./prefix";

export type Schemas = components["schemas"];

/** Routes that answer a GET with JSON. */
export type Question = {
  [P in keyof paths]: paths[P] extends {
    get: { responses: { 200: { content: { "application/json": unknown } } } };
  }
    ? P
    : never;
}[keyof paths];

type Operation<Q extends Question> = paths[Q] extends { get: infer G } ? G : never;
type In<O, K extends "query" | "path"> = O extends { parameters: { [P in K]?: infer T } }
  ? Exclude<T, undefined>
  : never;

/** What the question takes: its query, and the parts of its path that are named in braces. */
export type Params<Q extends Question> = ([In<Operation<Q>, "query">] extends [never]
  ? unknown
  : Partial<In<Operation<Q>, "query">>) &
  ([In<Operation<Q>, "path">] extends [never] ? unknown : In<Operation<Q>, "path">);

export type AnswerOf<Q extends Question> =
  Operation<Q> extends {
    responses: { 200: { content: { "application/json": infer A } } };
  }
    ? A
    : never;

/** What went wrong, in words that a reader can act on. `status` 0: the server was not reached. */
export interface Failure {
  status: number;
  code: string;
  message: string;
  fieldErrors: Record<string, string[]>;
  retryAfter?: number;
}
export type Result<T> = { ok: true; data: T } | { ok: false; error: Failure };

type Values = Record<string, string | number | boolean | null | undefined>;

/** Who is asking, beside the cookie: which project, and a share link's token. */
export const asker: { project: string; token: string; onSignedOut: () => void } = {
  project: "",
  token: "",
  onSignedOut: () => {},
};

const FRESH_MS = 30_000;
const MOST_KEPT = 200;
const kept = new Map<string, { at: number; data: unknown }>();
const running = new Map<
  string,
  { answer: Promise<Result<unknown>>; stop: () => void; waiting: number }
>();

/** The route with its parts filled in and what is left of the parameters behind it, in one order,
 * so that the same question has one address. */
export function address(path: string, params: Values = {}): string {
  const rest = { ...params };
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = rest[name];
    delete rest[name];
    return encodeURIComponent(String(value));
  });
  const query = new URLSearchParams();
  for (const name of Object.keys(rest).sort()) {
    const value = rest[name];
    if (value !== undefined && value !== null && value !== "") query.set(name, String(value));
  }
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

/** Where a browser can fetch the same as a file: it cannot send headers of its own. */
export function downloadAddress(path: string, params: Values): string {
  return PREFIX + address(path, { ...params, _project: asker.project });
}

/** One question. The same one is not asked twice at once, nor again within half a minute unless
 * `fresh`; it is given up when everybody who waits for it has (`signal`). */
export async function ask<Q extends Question>(
  question: Q,
  params: Params<Q>,
  options: { signal?: AbortSignal; fresh?: boolean } = {},
): Promise<Result<AnswerOf<Q>>> {
  const url = address(question, params as Values);
  const key = `${asker.project} ${asker.token} ${url}`;
  const known = kept.get(key);
  if (known && !options.fresh && Date.now() - known.at < FRESH_MS) {
    return { ok: true, data: known.data as AnswerOf<Q> };
  }
  let flight = running.get(key);
  if (!flight) {
    const control = new AbortController();
    const answer = request("GET", url, undefined, control.signal).then((result) => {
      running.delete(key);
      if (result.ok) keep(key, result.data);
      return result;
    });
    flight = { answer, stop: () => control.abort(), waiting: 0 };
    running.set(key, flight);
  }
  const taken = flight;
  taken.waiting += 1;
  options.signal?.addEventListener("abort", () => {
    taken.waiting -= 1;
    if (taken.waiting === 0 && running.get(key) === taken) {
      running.delete(key);
      taken.stop();
    }
  });
  return (await taken.answer) as Result<AnswerOf<Q>>;
}

/** What is sent only to be told something. */
const TELLS = new Set(["/v1/identity/preview", "/v1/rules/test", "/v1/reclassify"]);

/** Change something. What was answered before may no longer be so: it is forgotten, and what the page
 * shows is asked again. */
export async function send<T = { ok: boolean }>(
  method: "POST" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
): Promise<Result<T>> {
  const result = await request(method, path, body);
  if (!TELLS.has(path)) {
    kept.clear();
    changes.count += 1;
  }
  return result as Result<T>;
}

/** As after sign-out: nothing of the one is shown to the other. */
export function forgetAnswers(): void {
  kept.clear();
}

function keep(key: string, data: unknown): void {
  kept.delete(key);
  kept.set(key, { at: Date.now(), data });
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST_KEPT) break;
    kept.delete(oldest);
  }
}

async function request(
  method: string,
  url: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<Result<unknown>> {
  const headers: Record<string, string> = {};
  if (asker.project) headers["Threadline-Project"] = asker.project;
  if (asker.token) headers.Authorization = `Bearer ${asker.token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const response = await fetch(PREFIX + url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      signal,
    });
    if (response.ok) {
      const text = await response.text();
      return { ok: true, data: text ? JSON.parse(text) : null };
    }
    if (response.status === 401 && !url.startsWith("/v1/auth/") && !asker.token)
      asker.onSignedOut();
    return { ok: false, error: await failure(response) };
  } catch (error) {
    if (signal?.aborted) return { ok: false, error: { ...NOBODY, code: "given_up" } };
    return { ok: false, error: { ...NOBODY, message: unreachable(error) } };
  }
}

const NOBODY: Failure = { status: 0, code: "unreachable", message: "", fieldErrors: {} };

function unreachable(error: unknown): string {
  const reason = error instanceof SyntaxError ? "Its answer is not JSON." : "";
  return `The server cannot be reached. ${reason} Check that it runs, then try again.`.replace(
    "  ",
    " ",
  );
}

/** Every error of the server has this shape; what a proxy before it says has none. */
export async function failure(response: Response): Promise<Failure> {
  const retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  const found: Failure = {
    status: response.status,
    code: `http_${response.status}`,
    message: `The server answered with status ${response.status}.`,
    fieldErrors: {},
    retryAfter,
  };
  try {
    const said = await response.json();
    if (typeof said?.error === "string") found.code = said.error;
    if (typeof said?.details?.message === "string") found.message = said.details.message;
    if (said?.details?.fieldErrors) found.fieldErrors = said.details.fieldErrors;
  } catch {
    // The status says what there is to say.
  }
  return found;
}
