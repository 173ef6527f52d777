// All there is of a person, as it was answered, as a file.

import { ask, type Schemas } from "../../lib/api";
import { download } from "../../lib/download";
import type { Known } from "./known.svelte";

export async function saveEverything({ now, name, policy }: Known, id: string): Promise<void> {
  const profile = now.data;
  const events: Schemas["EventRow"][] = [];
  let cursor: string | undefined;
  do {
    const page = { user_id: id, stitch: policy, limit: 1000, cursor };
    const result = await ask("/v1/users/{user_id}/events", page);
    if (!result.ok) return;
    events.push(...result.data.rows);
    cursor = result.data.next_cursor ?? undefined;
  } while (cursor);
  download(
    `${name.replace(/[^\w.@-]+/g, "_")}.json`,
    "application/json",
    JSON.stringify({ profile, events }, null, 2),
  );
}
