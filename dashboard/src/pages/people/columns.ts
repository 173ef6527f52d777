// What can be shown of people, and how each column is asked for.

import type { Cell } from "../../lib/csv";
import { nameOf } from "../../lib/filters";
import { date, duration, moneys, number } from "../../lib/format";

/** A row as the API has it, with the columns that were asked for. */
export type PersonRow = Record<string, unknown> & { user_id: string };

interface Known {
  title: string;
  /** How the API sorts by it; without one it does not. */
  order?: string;
  align?: "right";
  text?: (value: unknown, tz: string) => string;
  value?: (value: unknown) => Cell;
  width: string;
}
interface Touch {
  source: string;
  medium: string;
}

const when = (value: unknown, tz: string) => (value ? date(String(value), tz) : "–");
const touch = (value: unknown) => {
  const { source, medium } = value as Touch;
  return source === medium ? source : `${source} / ${medium}`;
};

export const KNOWN: Record<string, Known> = {
  known_since: { title: "Known since", order: "known_since", text: when, width: "116px" },
  first_seen: { title: "First seen", order: "first_seen", text: when, width: "116px" },
  last_seen: { title: "Last seen", order: "last_seen", text: when, width: "116px" },
  first_touch: { title: "First touch", text: touch, value: touch, width: "20%" },
  devices: {
    title: "Devices",
    align: "right",
    text: (value) => number(value as number),
    width: "76px",
  },
  converted_at: { title: "Goal", text: when, width: "116px" },
  seconds_to_conversion: {
    title: "Time to goal",
    align: "right",
    text: (value) => duration(value as number | null),
    width: "116px",
  },
  value: { title: "Value", order: "value", align: "right", text: moneys, width: "116px" },
};
export const DEFAULT = ["first_touch", "known_since", "last_seen", "devices"];
/** These have to be asked with a goal, and the last with its amounts, too. */
export const OF_GOAL = ["converted_at", "seconds_to_conversion", "value"];

/** A trait, or a dimension of people, as a column. */
export function columnOf(name: string): Known {
  const said = nameOf(name);
  return (
    KNOWN[name] ?? {
      title: said.charAt(0).toUpperCase() + said.slice(1),
      text: (value) => (value === null || value === undefined ? "–" : String(value)),
      width: "18%",
    }
  );
}
