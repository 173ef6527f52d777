import type { Page } from "../../pages";
import { SECTIONS } from "./sections";

/** Each section is a page of its own, so that search and links lead straight to it. */
export const settings: Page[] = SECTIONS.map(({ path, title, keywords }, nth) => ({
  path,
  title: nth === 0 ? "Settings" : title,
  icon: "M2 4.5h5M11 4.5h3M9 2.5v4M2 11.5h2M8 11.5h6M6 9.5v4",
  group: nth === 0 ? "watch" : "hidden",
  order: 90 + nth,
  key: nth === 0 ? "s" : undefined,
  keywords: `${title}, ${keywords}`,
  load: () => import("./Settings.svelte"),
}));
