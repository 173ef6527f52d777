// What can be filtered by and counted: dimensions, events, properties, values. From /v1/schema, as
// the reader types.

import { ask } from "./api";
import { number } from "./format";
import type { Option } from "./ui/Combobox.svelte";

const OF_EVENTS =
  "event path url host referrer source medium campaign channel term content country device_type browser os confidence rule";
const OF_VISITS =
  "visit.source visit.medium visit.campaign visit.channel visit.entry_path visit.exit_path visit.bounce";
const OF_PEOPLE =
  "first.source first.medium first.campaign first.channel first.path first.country last.source last.medium last.campaign last.channel last.path last.country known user_id devices account did segment";

const HINTS: [string, string][] = [
  [OF_EVENTS, "of events"],
  [OF_VISITS, "of visits"],
  [OF_PEOPLE, "of people"],
];
const FIXED: Record<string, string[]> = {
  known: ["true", "false"],
  "visit.bounce": ["true", "false"],
  devices: ["1", "2", "3"],
};

/** Dimensions whose name holds the text: those that always are, and the project's own. */
export async function dimensions(text: string): Promise<Option[]> {
  const fixed = HINTS.flatMap(([names, hint]) =>
    names.split(" ").map((value) => ({ value, hint })),
  );
  const schema = await ask("/v1/schema", { limit: 100 });
  const keys = new Map<string, string>();
  if (schema.ok) {
    for (const event of schema.data.events ?? []) {
      for (const { name } of event.properties) keys.set(`properties.${name}`, "of events");
    }
    for (const { name } of schema.data.traits ?? []) keys.set(`traits.${name}`, "of people");
  }
  const own = [...keys].map(([value, hint]) => ({ value, hint }));
  return matching([...fixed, ...own], text);
}

/** Names of events, and of goals before them. */
export async function events(text: string): Promise<Option[]> {
  const [schema, goals] = await Promise.all([
    ask("/v1/schema", { limit: 200 }),
    ask("/v1/goals", {}),
  ]);
  const named = goals.ok
    ? goals.data.rows.map(({ name }) => ({ value: `goal:${name}`, hint: "goal" }))
    : [];
  const found = schema.ok
    ? (schema.data.events ?? []).map(({ event, count }) => ({ value: event, hint: number(count) }))
    : [];
  return matching([...named, ...found], text);
}

/** Values of a dimension that begin so, the most frequent first. */
export async function values(dimension: string, text: string): Promise<Option[]> {
  const name = dimension.replace(/\(.*\)$/, "");
  if (FIXED[name])
    return matching(
      FIXED[name].map((value) => ({ value })),
      text,
    );
  if (name === "did") return events(text);
  if (name === "segment") {
    const segments = await ask("/v1/segments", {});
    return segments.ok
      ? matching(
          segments.data.rows.map((row) => ({ value: row.name ?? "" })),
          text,
        )
      : [];
  }
  const found = await ask("/v1/schema", { values_of: name, search: text, limit: 50 });
  if (!found.ok) return [];
  const rows = found.data.values?.rows ?? [];
  return rows.map((row) => ({ value: String(row.value), hint: number(row.count) }));
}

/** Those that begin so before those that hold it. */
export function matching(options: Option[], text: string): Option[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return options;
  const holds = options.filter(({ value, label }) =>
    `${value} ${label ?? ""}`.toLowerCase().includes(wanted),
  );
  const begins = (option: Option) => option.value.toLowerCase().startsWith(wanted);
  return [...holds.filter(begins), ...holds.filter((option) => !begins(option))];
}
