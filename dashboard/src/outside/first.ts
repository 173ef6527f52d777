// The browser key of a project that was just made, until its first event is here. It is no secret:
// every page of the site will have it.

import { SERVER } from "../lib/prefix";

const KEY = "threadline.first-key";

export interface First {
  project_id: string;
  pk: string;
  origin: string;
}

export function remember(first: First): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(first));
  } catch {
    // Then a reload shows the snippet without its key.
  }
}

export function recall(): First | undefined {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** The line for every page of the site. */
export function snippet(pk: string): string {
  return `<script async src="${SERVER}/v1/a.js" data-key="${pk}"></${"script"}>`;
}
