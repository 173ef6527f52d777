import type { Page } from "../../pages";

export const people: Page = {
  path: "/people",
  title: "People",
  icon: "M8 7.5a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5ZM2.75 14c.4-2.9 2.5-4.5 5.25-4.5s4.85 1.6 5.25 4.5",
  group: "ask",
  order: 30,
  key: "p",
  keywords: "users, customers, accounts, segments, journey, who",
  load: () => import("./People.svelte"),
};
