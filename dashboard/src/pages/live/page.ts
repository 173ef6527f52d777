import type { Page } from "../../pages";

export const live: Page = {
  path: "/live",
  title: "Live",
  icon: "M2 8h2.5l2-5 3 10 2-5H14",
  group: "watch",
  order: 70,
  key: "l",
  keywords: "events, debugger, refusals, warnings, realtime, now",
  load: () => import("./Live.svelte"),
};
