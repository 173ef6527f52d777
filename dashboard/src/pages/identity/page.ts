import type { Page } from "../../pages";

export const identity: Page = {
  path: "/identity",
  title: "Identity",
  icon: "M8 8.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6ZM2.5 14c.6-2.6 2.8-4 5.5-4s4.9 1.4 5.5 4",
  group: "watch",
  order: 80,
  key: "i",
  keywords: "known share, shared devices, suspicious, placeholders, bots, dead letters, jobs",
  load: () => import("./Identity.svelte"),
};
