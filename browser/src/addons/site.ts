// What the add-ons share: how they reach the client, and what a click was on.

import type { Api } from "../types";

/** The part of the client that add-ons need. */
export type Tracker = Pick<Api, "track" | "flush">;

/** The closest element around what an event happened on, if any is of this kind. */
export const around = <Kind extends Element>(event: Event, selector: string): Kind | null =>
  event.target instanceof Element ? event.target.closest<Kind>(selector) : null;

/** Both ways to follow a link: a click, and the middle button that opens another tab. */
export const onLinkClick = (work: (link: HTMLAnchorElement) => void) => {
  const clicked = (event: Event) => {
    const link = around<HTMLAnchorElement>(event, "a[href]");
    if (link && (event as MouseEvent).button < 2) work(link);
  };
  // Before the page's own handlers, which may stop the event.
  addEventListener("click", clicked, true);
  addEventListener("auxclick", clicked, true);
};
