import { client } from "./client";

export type { Api, Options, Properties } from "./types";
export const {
  init,
  track,
  identify,
  page,
  flush,
  reset,
  getAnonymousId,
  setAnonymousId,
  optOut,
  optIn,
} = client;
