// One visitor on several domains of yours: links between them carry the anonymous id.
//
// The parameter is signed with the project's browser key, the browser's own name and the minute, so
// that a link which was shared, kept or changed by hand is worth nothing. Whoever reads the page's
// source can sign, too: nothing but the anonymous id may ever rest on it.

const PARAMETER = "mm_x";
const AID = "mm_aid";
const OUT = "mm_out";
const MAX_AGE_S = 120;

export interface CrossDomain {
  /** The project's browser key, the same on all of them. */
  key: string;
  /** All of them: `["shop.example", "shop.de"]`, subdomains included. */
  domains: string[] | string;
}

/** 64 bits of FNV-1a, in two halves with starts of their own. */
const hash = (text: string) =>
  [0x811c9dc5, 0x01000193]
    .map((half) => {
      for (const byte of new TextEncoder().encode(text)) half = Math.imul(half ^ byte, 0x01000193);
      return (half >>> 0).toString(36);
    })
    .join("");

const sign = (key: string, id: string, at: string) =>
  hash([key, navigator.userAgent, id, at, key].join("\n"));

const nowS = () => Math.floor(Date.now() / 1000);

const read = (name: string): string | null => {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
};

/** Take over the id of the page before, if this one was reached by such a link. */
const arrive = (key: string) => {
  const address = new URL(location.href);
  const given = address.searchParams.get(PARAMETER);
  if (!given) return;
  address.searchParams.delete(PARAMETER);
  history.replaceState(history.state, "", address);
  const [at = "", signature, ...rest] = given.split(".");
  const id = rest.join(".");
  const age = nowS() - parseInt(at, 36);
  if (signature != sign(key, id, at) || !(age >= 0 && age <= MAX_AGE_S) || read(OUT)) return;
  try {
    localStorage.setItem(AID, id);
  } catch {}
};

/** Before the client starts, so that the first page view has the id. */
export const start = ({ key, domains }: CrossDomain) => {
  arrive(key);
  const listed = `${domains}`.split(/[\s,]+/).filter(Boolean);
  const ours = (host: string) =>
    listed.some((domain) => host == domain || host.endsWith(`.${domain}`));

  const depart = (event: Event) => {
    const link = event.target instanceof Element && event.target.closest("a");
    const id = read(AID);
    // Without a kept id the visitor does not want one, or the browser has no room for it.
    if (!link || !id || link.hostname == location.hostname || !ours(link.hostname)) return;
    const at = nowS().toString(36);
    const address = new URL(link.href);
    address.searchParams.set(PARAMETER, [at, sign(key, id, at), id].join("."));
    link.href = address.href;
  };
  // Before the click itself, so that every way to open a link has it, also the menu's.
  for (const name of ["mousedown", "touchstart", "click"])
    addEventListener(name, depart, { capture: true, passive: true });
};
