// `group(accountId, traits)`: which account (company, team) the visitor is of, and what it is like.

import type { Properties } from "../types";
import type { Tracker } from "./site";

export const start =
  (tracker: Pick<Tracker, "track">) => (accountId: string | number, traits?: Properties) =>
    tracker.track("$group", { ...traits, account_id: accountId });

/** In a page: beside what the client has. */
export const addTo = (client: any, tracker: Pick<Tracker, "track">) => {
  client.group = start(tracker);
};
