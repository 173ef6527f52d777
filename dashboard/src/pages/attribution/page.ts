import type { Page } from "../../pages";

export const attribution: Page = {
  path: "/attribution",
  title: "Attribution",
  icon: "M2 4h4M2 8h4M2 12h4M6 4c4 0 3 4 7 4M6 8h7M6 12c4 0 3-4 7-4",
  group: "ask",
  order: 20,
  key: "a",
  keywords: "credit, models, first touch, last touch, value, time lag",
  load: () => import("./Attribution.svelte"),
};
