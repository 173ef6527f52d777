/** What a funnel can be split by, and how the page calls it. */
export const GROUPS: [string, string][] = [
  ["", "nothing"],
  ["source", "source"],
  ["medium", "medium"],
  ["channel", "channel"],
  ["campaign", "campaign"],
  ["country", "country"],
  ["device_type", "device"],
  ["browser", "browser"],
  ["known", "known or not"],
];
