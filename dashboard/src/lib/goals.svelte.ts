// What counts as a success, and what it is worth: the project's goals, else what its events look
// like. Asked once for all pages.

import { asked } from "./asked.svelte";
import { eventName } from "./format";
import { session } from "./session.svelte";
import { url } from "./url.svelte";

/** Names that events of success have, the likeliest first. */
const LIKELY = ["signup", "sign_up", "signed_up", "user_signed_up", "purchase", "order_completed"];
const WORTH = ["value", "revenue", "amount", "total", "price"];

export interface Worth {
  /** An event, or `goal:NAME`. */
  event: string;
  property: string;
  currencyProperty?: string;
}

/** To be made while a component is set up. */
export class Goals {
  #goals = asked("/v1/goals", () => ({}));
  // A share link shows one goal, which its address has.
  #schema = asked("/v1/schema", () => (session.shared ? null : { limit: 200 }));

  get loading(): boolean {
    return this.#goals.loading || this.#schema.loading;
  }

  get #named() {
    return this.#goals.data?.rows ?? [];
  }

  get #events() {
    return this.#schema.data?.events ?? [];
  }

  /** There is nothing at all yet. */
  get isEmpty(): boolean {
    return this.#schema.data !== undefined && this.#events.length === 0;
  }

  /** Goals, then events, as a menu has them. */
  get options(): [string, string][] {
    const named = this.#named.map(
      ({ name }) => [`goal:${name}`, `${name} (goal)`] as [string, string],
    );
    const events = this.#events.map(({ event }) => [event, eventName(event)] as [string, string]);
    return [...named, ...events];
  }

  /** The address's, else the project's first goal, else the likeliest event; empty: there is none. */
  get current(): string {
    const chosen = url.get("goal");
    if (chosen) return chosen;
    if (this.loading) return "";
    const first = this.#named[0]?.name;
    if (first) return `goal:${first}`;
    const names = this.#events.map(({ event }) => event);
    return (
      LIKELY.find((name) => names.includes(name)) ??
      names.find((name) => !name.startsWith("$")) ??
      ""
    );
  }

  /** The event itself, for questions about one of them. */
  get event(): string {
    const goal = this.#named.find(({ name }) => `goal:${name}` === this.current);
    return (goal?.event ?? this.current).replace(/\{.*$/s, "");
  }

  /** As it is said. */
  get label(): string {
    return eventName(this.current);
  }

  /** What has an amount: the goal itself, else whatever event has one. */
  get worth(): Worth | undefined {
    const goal = this.#named.find(({ name }) => `goal:${name}` === this.current);
    if (goal?.value_property) {
      return {
        event: this.current,
        property: goal.value_property,
        currencyProperty: goal.currency_property || undefined,
      };
    }
    const ofGoal = goal?.event.replace(/[{[].*$/s, "") ?? this.current;
    return (
      this.#worthOf(ofGoal) ?? this.#events.map(({ event }) => this.#worthOf(event)).find(Boolean)
    );
  }

  #worthOf(name: string): Worth | undefined {
    const event = this.#events.find((each) => each.event === name);
    const numbers = event?.properties
      .filter(({ types }) => types[0] === "number")
      .map(({ name }) => name);
    const property = WORTH.find((each) => numbers?.includes(each));
    return property ? { event: name, property } : undefined;
  }
}
