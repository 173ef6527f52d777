// `$outbound_click`: a link that leads to another host was followed.

import { onLinkClick, type Tracker } from "./site";

export const start = (tracker: Tracker) =>
  onLinkClick((link) => {
    if (/^http/.test(link.protocol) && link.host != location.host)
      tracker.track("$outbound_click", { href: link.href });
  });
