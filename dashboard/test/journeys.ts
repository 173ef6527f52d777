// Events of a journey for tests.
import type { EventRow } from "../src/pages/person/thread";

export const HOUR = 3_600_000;
export const BEGIN = Date.parse("2026-05-01T08:00:00Z");

/** `kind`: of device; null: none, a server's. */
export function event(
  id: string,
  hours: number,
  device: string,
  user: string | null = null,
  kind: string | null = "desktop",
): EventRow {
  return {
    event_id: id,
    timestamp: new Date(BEGIN + hours * HOUR).toISOString(),
    event_name: "$pageview",
    anonymous_id: device,
    user_id: user,
    device_type: kind,
    browser: kind && "chrome",
    source: "direct",
    medium: "direct",
  } as EventRow;
}
