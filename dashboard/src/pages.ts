// Every page there is. One that is added has a folder of its own below `pages/`, with a `page.ts`
// that exports its `Page` (or several); nothing else has to know of it.

import type { Component } from "svelte";

export interface Page {
  /** Below `/dashboard`; a part such as `:id` is given to the page as a property of its name. */
  path: string;
  title: string;
  /** The `d` of strokes in a square of 16. */
  icon: string;
  /** Where it stands: those that ask, those that watch and set up, or nowhere. */
  group: "ask" | "watch" | "hidden";
  order: number;
  /** `g` and this key lead here. */
  key?: string;
  load: () => Promise<{ default: Component<any> }>;
  /** Words that search finds it by, too. */
  keywords?: string;
}

const found = import.meta.glob<Record<string, Page | Page[]>>("./pages/*/page.ts", { eager: true });

export const PAGES: Page[] = Object.values(found)
  .flatMap((module) => Object.values(module).flat())
  .sort((one, other) => one.order - other.order);

export interface Match {
  page: Page;
  params: Record<string, string>;
}

/** The page at a path, and the parts that it names. Paths without names are found first. */
export function match(path: string, pages: Page[] = PAGES): Match | undefined {
  const parts = path.split("/");
  const named = [...pages].sort((one, other) => names(one) - names(other));
  for (const page of named) {
    const wanted = page.path.split("/");
    if (wanted.length !== parts.length) continue;
    const params: Record<string, string> = {};
    const fits = wanted.every((part, at) => {
      if (!part.startsWith(":")) return part === parts[at];
      params[part.slice(1)] = decoded(parts[at]!);
      return parts[at] !== "";
    });
    if (fits) return { page, params };
  }
  return undefined;
}

function names(page: Page): number {
  return page.path.split("/:").length;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
