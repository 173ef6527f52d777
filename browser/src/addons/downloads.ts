// `$file_download`: a link to a file was followed.

import { onLinkClick, type Tracker } from "./site";

const FILE =
  /\.(7z|apk|avi|csv|deb|dmg|docx?|epub|exe|flac|gz|ics|iso|jar|key|mov|mp[34]|mpe?g|msi|odp|ods|odt|ogg|pdf|pkg|pptx?|rar|rpm|rtf|tar|tgz|txt|wav|webm|wma|wmv|xlsx?|xz|zip)$/i;

export const start = (tracker: Tracker) =>
  onLinkClick((link) => {
    const extension = link.pathname.match(FILE)?.[1]?.toLowerCase();
    if (extension || link.hasAttribute("download"))
      tracker.track("$file_download", { href: link.href, extension });
  });
