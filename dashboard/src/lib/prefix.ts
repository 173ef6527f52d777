// Where the server is below its own name: `https://shop.example/stats`. The page says it, because the
// server wrote it there.

/** What stands before every path of the server, such as `/stats`; mostly nothing. */
export const PREFIX = (
  globalThis.document?.getElementById("app")?.dataset.root ?? "/dashboard/"
).replace(/\/dashboard\/$/, "");

/** The server, as others have to name it. */
export const SERVER = `${globalThis.location?.origin ?? ""}${PREFIX}`;
