// What can be decided about a person, in the words in which it is asked first.

import type { Decision } from "./decide";

export interface Proposal {
  title: string;
  text: string;
  action: string;
  decision: Decision;
}

/** `device` by its id, and as a reader calls it. */
export function unlinking(name: string, device: string, label: string): Proposal {
  return {
    title: `Was the ${label.toLowerCase()} somebody else's?`,
    text: `What happened there without a user is then no longer ${name}'s. Events that carry the user stay.`,
    action: "Unlink the device",
    decision: { kind: "unlink", given: { anonymous_id: device, user_id: name } },
  };
}
export function linkingAgain(name: string, device: string, label: string): Proposal {
  return {
    title: `Is the ${label.toLowerCase()} ${name}'s, after all?`,
    text: `What happened there without a user may be ${name}'s again, as the policy says.`,
    action: "Link it again",
    decision: { kind: "link_again", given: { anonymous_id: device, user_id: name } },
  };
}
export function joining(name: string, other: string): Proposal {
  return {
    title: `Are ${other} and ${name} one person?`,
    text: `Everything of ${other} is then ${name}'s: one journey, one first touch.`,
    action: "They are one person",
    decision: { kind: "alias", given: { user_id: other, alias_of: name } },
  };
}
export function parting(name: string, other: string): Proposal {
  return {
    title: `Are ${other} and ${name} two people?`,
    text: `Events that carry ${other} are then ${other}'s again.`,
    action: "They are two people",
    decision: { kind: "unalias", given: { user_id: other, alias_of: name } },
  };
}
