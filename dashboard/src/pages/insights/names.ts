// Events and steps as one types them, proposed from what has been sent.

import { ask } from "../../lib/api";
import { number } from "../../lib/format";
import type { Option } from "../../lib/ui/Combobox.svelte";
import { events, matching } from "../../lib/vocabulary";

/** A letter that has a meaning in a step is meant as it is. */
const escaped = (text: string) => text.replace(/[\\;|,={}]/g, "\\$&");
const name = (text: string) => text.replace(/[\\,|{}]/g, "\\$&").replace(/\?$/, "\\?");

/** Names of events alone, as a goal is made of. */
export async function eventNames(text: string): Promise<Option[]> {
  const found = await ask("/v1/schema", { limit: 200 });
  const all = found.ok ? (found.data.events ?? []) : [];
  return matching(
    all.map(({ event, count }) => ({ value: name(event), hint: number(count) })),
    text,
  );
}

/** The page view of one path, as a step. */
export const pageStep = (path: string): string => `$pageview{path=${escaped(path)}}`;

/** Goals, events, and pages by their path. */
export async function steps(text: string): Promise<Option[]> {
  const [named, paths] = await Promise.all([
    events(text),
    ask("/v1/schema", { values_of: "path", search: text || undefined, limit: 12 }),
  ]);
  const pages = paths.ok ? (paths.data.values?.rows ?? []) : [];
  return [
    ...named.map((option) =>
      option.value.startsWith("goal:") ? option : { ...option, value: name(option.value) },
    ),
    ...pages.map(({ value, count }) => ({
      value: pageStep(String(value)),
      label: String(value),
      hint: `page, ${number(count)}`,
    })),
  ];
}

/** Steps between commas that stand in no braces and are not escaped. */
export function readSteps(text: string): string[] {
  const found: string[] = [];
  let part = "";
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]!;
    if (letter === "\\") part += letter + (text[++at] ?? "");
    else if (letter === "," && depth === 0) {
      found.push(part);
      part = "";
    } else {
      if (letter === "{") depth++;
      if (letter === "}") depth = Math.max(0, depth - 1);
      part += letter;
    }
  }
  return [...found, part].map((step) => step.trim()).filter(Boolean);
}

/** `$pageview{path=/pricing}` as it is said: `/pricing`. */
export function stepName(step: string): string {
  const page = /^\$pageview\{path==?(?!\^|~|@)((?:\\.|[^\\;|}])*)\}(\??)$/.exec(step);
  if (page) return page[1]!.replace(/\\(.)/g, "$1") + (page[2] ? " (optional)" : "");
  const plain = step.replace(/^goal:/, "").replace(/\?$/, " (optional)");
  return plain.replace(/^\$pageview\b/, "Page view").replace(/\\(.)/g, "$1");
}
