/** Whatever JSON can say. */
export type Properties = Record<string, unknown>;

export interface Options {
  /** The project's browser key, `pk_…`. */
  key: string;
  /** Where Threadline is: `https://stats.example.com`. Default: where the page is. */
  host?: string;
  /** Where events go, if not to `HOST/v1/batch`: a path of your own that leads there. */
  api?: string;
  /** Send `$pageview` on load and on every navigation inside the page. Default: true. */
  autoPageView?: boolean;
  /** The same, as the snippet says it: `data-auto="false"`. */
  auto?: string;
  /** For sites that keep their routes behind the `#`. */
  hash?: boolean | string;
  /** Paths on which nothing is sent, and all that begin with them: `["/admin", "/preview/"]`. */
  exclude?: string[] | string;
  /** Events wait this long for others to go with them. Default: 2000. */
  flushIntervalMs?: number;
  /** With so many waiting, they go at once. Default: 20. */
  flushBatchSize?: number;
  /** Send and keep nothing where the browser asks for it (Do Not Track, Global Privacy Control).
   * Default: true. */
  respectDnt?: boolean;
  /** A cookie in which your server keeps the anonymous id. */
  cookie?: string;
}

/** Nothing of this ever throws: what is wrong is said with `console.warn`. */
export interface Api {
  /** Once; later calls do nothing. */
  init(options: Options): void;
  track(event: string, properties?: Properties): void;
  /** Says who the visitor is: from now on, on every page, until `reset` or another user. Ids that
   * are none (empty, `undefined`, `"guest"`, objects …) are refused. */
  identify(userId: string | number, traits?: Properties): void;
  /** A `$pageview` by hand. */
  page(name?: string, properties?: Properties): void;
  /** Send what waits, now. */
  flush(): void;
  /** Forgets the user, and keeps the anonymous id. */
  reset(): void;
  getAnonymousId(): string;
  setAnonymousId(id: string): void;
  /** Send and keep nothing, on this device, until `optIn`. */
  optOut(): void;
  optIn(): void;
}
