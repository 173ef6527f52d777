// What people decide about identity, and how it is taken back.

import { type Result, type Schemas, send } from "../../lib/api";
import { toasts } from "../../lib/toasts.svelte";

export type Preview = Schemas["Preview"];
export type Decision =
  | { kind: "unlink" | "link_again"; given: { anonymous_id: string; user_id: string } }
  | { kind: "alias"; given: { user_id: string; alias_of: string } }
  | { kind: "unalias"; given: { user_id: string; alias_of: string } };

const ROUTES = {
  unlink: ["DELETE", "/v1/identity/links"],
  link_again: ["PUT", "/v1/identity/links"],
  alias: ["PUT", "/v1/identity/aliases"],
  unalias: ["DELETE", "/v1/identity/aliases"],
} as const;
const INVERSE = {
  unlink: "link_again",
  link_again: "unlink",
  alias: "unalias",
  unalias: "alias",
} as const;
const DONE = {
  unlink: "The device is unlinked.",
  link_again: "The device is linked again.",
  alias: "They are one person now.",
  unalias: "They are two people again.",
};

/** What the server takes of it: an alias that is taken back needs no second name. */
function body(decision: Decision): Record<string, string> {
  return decision.kind === "unalias" ? { user_id: decision.given.user_id } : decision.given;
}

export function preview(decision: Decision, stitch: string): Promise<Result<Preview>> {
  return send<Preview>("POST", "/v1/identity/preview", { [decision.kind]: body(decision), stitch });
}

/** Do it, and offer to take it back. */
export async function decide(decision: Decision, isUndo = false): Promise<Result<unknown>> {
  const [method, path] = ROUTES[decision.kind];
  const result = await send<Schemas["Decided"]>(method, path, body(decision));
  if (!result.ok) {
    if (isUndo) toasts.say(result.error.message, { tone: "error" });
    return result;
  }
  const inverse = { ...decision, kind: INVERSE[decision.kind] } as Decision;
  if (isUndo) toasts.say("Taken back.");
  else if (!result.data.changed) toasts.say("It was so already: nothing changed.");
  else
    toasts.say(DONE[decision.kind], {
      action: { label: "Undo", run: () => void decide(inverse, true) },
    });
  return result;
}
