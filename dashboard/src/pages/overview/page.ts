import type { Page } from "../../pages";

export const overview: Page = {
  path: "/",
  title: "Overview",
  icon: "M2 13.5h12M3.5 11V8M6.5 11V4.5M9.5 11V6.5M12.5 11V2.5",
  group: "ask",
  order: 10,
  key: "o",
  keywords: "people, visits, sources, countries, devices, campaigns, home",
  load: () => import("./Overview.svelte"),
};
