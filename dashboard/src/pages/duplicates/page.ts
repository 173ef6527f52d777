import type { Page } from "../../pages";

export const duplicates: Page = {
  path: "/duplicates",
  title: "Likely duplicates",
  icon: "M6 7.5A2.5 2.5 0 1 0 6 2.5a2.5 2.5 0 0 0 0 5M1.5 14c.3-2.7 2-4.2 4.5-4.2s4.2 1.5 4.5 4.2M10 2.7a2.5 2.5 0 0 1 0 4.7M12 10.2c1.400.7 2.200 2 2.5 3.800",
  group: "hidden",
  order: 32,
  keywords: "same e-mail, same person, merge, join, alias",
  load: () => import("./Duplicates.svelte"),
};
