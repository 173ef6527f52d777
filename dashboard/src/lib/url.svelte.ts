// Where we are: the path and every state of a page, in the address, so that a link shows what its
// sender saw, and Back works.

import { PREFIX } from "./prefix";

export const BASE = `${PREFIX}/dashboard`;

export type Query = Record<string, string>;
export type Change = Record<string, string | number | boolean | null | undefined>;

/** What goes along from page to page; the rest belongs to one. */
export const SHARED = [
  "project",
  "range",
  "tz",
  "compare",
  "filters",
  "stitch",
  "goal",
  "currency",
];

function read(): { path: string; query: Query } {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : "";
  const query = Object.fromEntries(new URLSearchParams(location.search));
  return { path: `/${path.replace(/^\/+|\/+$/g, "")}`, query };
}

class Url {
  #now = $state.raw(read());
  #fixed = $state.raw<Query>({});
  #isKept = false;

  /** Below `/dashboard`, as it was sent: parts are percent-encoded. */
  get path(): string {
    return this.#now.path;
  }

  get query(): Query {
    return { ...this.#now.query, ...this.#fixed };
  }

  get(name: string, otherwise = ""): string {
    return this.query[name] ?? otherwise;
  }

  /** The address of a page with what goes along, and with `change` made to that. */
  href(path: string, change: Change = {}): string {
    const along: Query = {};
    for (const name of SHARED) {
      const value = this.#now.query[name];
      if (value !== undefined) along[name] = value;
    }
    return written(path, changed(along, change));
  }

  /** The address of this page in another state. */
  here(change: Change): string {
    return written(this.path, changed(this.#now.query, change));
  }

  /** The state that a share link has, whatever its own address says. */
  fix(query: Query): void {
    this.#fixed = query;
  }

  /** From here on the state is kept here only: what a conversation shows has no address. */
  keep(): void {
    this.#isKept = true;
  }

  /** Another state of this page: a step that Back takes back, or with `replace` none. */
  set(change: Change, replace = false): void {
    if (this.#isKept) this.#now = { ...this.#now, query: changed(this.#now.query, change) };
    else this.go(this.here(change), replace);
  }

  /** To an address that `href` or `here` wrote. */
  go(address: string, replace = false): void {
    if (address === location.pathname + location.search) return;
    const isOtherPage = address.split("?")[0] !== location.pathname;
    history[replace ? "replaceState" : "pushState"](null, "", address);
    this.#now = read();
    if (isOtherPage) scrollTo(0, 0);
  }

  /** Follow clicks on links of ours without loading the page anew, and the browser's Back. */
  listen(): void {
    addEventListener("popstate", () => {
      this.#now = read();
    });
    addEventListener("click", (event) => {
      if (event.defaultPrevented || event.button !== 0) return;
      if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
      const link = (event.target as Element | null)?.closest?.("a");
      if (!link || link.target || link.hasAttribute("download")) return;
      if (link.origin !== location.origin || !isOurs(link.pathname) || link.hash) return;
      event.preventDefault();
      this.go(link.pathname + link.search);
    });
  }
}

function isOurs(path: string): boolean {
  return path === BASE || path.startsWith(`${BASE}/`);
}

function changed(query: Query, change: Change): Query {
  const found = { ...query };
  for (const [name, value] of Object.entries(change)) {
    if (value === null || value === undefined || value === "" || value === false)
      delete found[name];
    else found[name] = String(value);
  }
  return found;
}

function written(path: string, query: Query): string {
  const text = new URLSearchParams(query).toString();
  return `${BASE}${path}${text ? `?${text}` : ""}`;
}

export const url = new Url();
