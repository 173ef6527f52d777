// What is known of a person, as one looks at them: under a policy, as of a time and, where they are
// compared, under each policy. All that the page asks about them is asked here.

import { asked } from "../../lib/asked.svelte";
import { writeFilters } from "../../lib/filters";
import { Goals } from "../../lib/goals.svelte";
import { session } from "../../lib/session.svelte";
import { url } from "../../lib/url.svelte";
import { POLICIES, type Policy } from "../../lib/view.svelte";
import { Journey } from "./journey.svelte";
import { aliasesOf, inOrder, movingOf } from "./owned";
import { type EventRow, type Flag, firstFlag, guessed, lanes as lanesOf } from "./thread";

export type Any = Policy | "any";
export const ALL: Any[] = ["any", ...POLICIES];

/** To be made while a component is set up. */
export class Known {
  readonly goals = new Goals();
  /** Where the slider of time is while it is moved. */
  dragged = $state<{ at: number | undefined } | undefined>();
  readonly #id: () => string;

  policy = $derived.by<Any>(() => {
    const named = url.get("stitch") || session.project?.stitch || "any";
    return ALL.find((each) => each === named) ?? "any";
  });
  asOf = $derived(Number.isNaN(Date.parse(url.get("as_of"))) ? undefined : url.get("as_of"));
  isCompared = $derived(url.get("policies") === "compared");

  readonly now = asked("/v1/users/{user_id}", () => this.#wanted(this.policy));
  readonly past = asked("/v1/users/{user_id}", () =>
    this.asOf ? this.#wanted(this.policy, this.asOf) : null,
  );
  readonly journeyNow = new Journey(() => this.#wanted(this.policy));
  readonly journeyThen = new Journey(() =>
    this.asOf ? this.#wanted(this.policy, this.asOf) : null,
  );
  readonly under = ALL.map((policy) => {
    const wanted = () => (this.isCompared ? this.#wanted(policy, this.asOf) : null);
    return { policy, journey: new Journey(wanted), asked: asked("/v1/users/{user_id}", wanted) };
  });
  profile = $derived(this.asOf ? this.past.data : this.now.data);
  name = $derived.by(() => this.now.data?.user_id ?? this.#id());
  journey = $derived(this.asOf ? this.journeyThen : this.journeyNow);

  /** Known of the server as of then; else what their own events tell. */
  isUnknownThen = $derived(this.asOf !== undefined && this.journeyThen.error?.status === 404);
  readonly #received = asked("/v1/identity/explain", () => {
    const first = this.journeyNow.events[0];
    return this.isUnknownThen &&
      first &&
      this.asOf &&
      Date.parse(first.timestamp) <= Date.parse(this.asOf)
      ? { event_id: first.event_id, anonymous_id: first.anonymous_id, as_of: this.asOf }
      : null;
  });
  isLateArrival = $derived(this.#received.error?.status === 404);

  readonly #converted = asked("/v1/users", () => {
    if (!this.goals.current || !this.now.data) return null;
    return {
      filters: writeFilters([{ dimension: "user_id", operator: "==", values: [this.name] }]),
      conversion: this.goals.current,
      stitch: this.policy,
      as_of: this.asOf,
      limit: 1,
    };
  });
  conversion = $derived(this.#converted.data?.rows[0]);
  readonly #shared = asked("/v1/identity/shared-devices", () =>
    this.now.data?.shared_devices.length ? { user_id: this.name, limit: 1000 } : null,
  );
  /** Who else was seen on a device, by device. */
  others = $derived(
    new Map(
      (this.#shared.data?.rows ?? []).map((row) => [
        row.anonymous_id,
        row.users.filter((user) => user.user_id !== this.name),
      ]),
    ),
  );
  companions = $derived([
    ...new Set(
      (this.profile?.shared_devices ?? []).flatMap((device) =>
        (this.others.get(device) ?? []).map((user) => user.user_id),
      ),
    ),
  ]);
  aliases = $derived(aliasesOf(this.journeyNow.events, this.name));
  isAsking = $derived(
    (this.asOf ? this.past : this.now).loading ||
      this.#converted.loading ||
      this.goals.loading ||
      this.#received.loading,
  );

  until = $derived(
    this.dragged ? this.dragged.at : this.asOf === undefined ? undefined : Date.parse(this.asOf),
  );
  /** Everything that is, was, or under another policy would be theirs. */
  drawn = $derived(
    inOrder([
      ...this.journeyNow.events,
      ...this.journeyThen.events,
      ...(this.isCompared ? this.under.flatMap(({ journey }) => journey.events) : []),
    ]),
  );
  theirs = $derived.by(() => {
    if (this.until === undefined) return this.journeyNow.ids;
    if (this.dragged || this.journeyThen.loading || this.isUnknownThen)
      return guessed(this.journeyNow.events, this.until);
    return this.journeyThen.ids;
  });
  /** Not theirs under each policy that gives events to anybody. */
  moving = $derived.by(() => {
    const owned = this.under.filter(
      ({ policy, journey }) => policy !== "none" && !journey.loading && !journey.error,
    );
    if (!this.isCompared || owned.length < 4) return new Set<string>();
    return movingOf(
      this.drawn,
      owned.map(({ journey }) => journey.ids),
    );
  });
  lanes = $derived(
    lanesOf({
      events: this.drawn,
      theirs: this.theirs,
      moving: this.moving,
      devices: new Set(this.now.data?.devices.map((device) => device.anonymous_id)),
      until: this.until,
      visitTimeoutMs: (session.project?.visit_timeout_minutes ?? 30) * 60_000,
    }),
  );
  flags = $derived.by(() => {
    const found = new Map<string, Flag>();
    const at = this.conversion?.converted_at;
    const isThen = (event: EventRow) => event.timestamp === at;
    const goal = at
      ? (this.drawn.find((each) => isThen(each) && !each.event_name.startsWith("$")) ??
        this.drawn.find(isThen))
      : undefined;
    if (goal)
      found.set(goal.event_id, {
        at: Date.parse(goal.timestamp),
        text: this.goals.label,
        kind: "goal",
      });
    const touch = this.profile?.first_touch;
    if (touch) found.set(touch.event_id, firstFlag(touch));
    return found;
  });

  constructor(id: () => string) {
    this.#id = id;
  }

  /** Look at them as of then, or as of now. */
  lookAt(at: number | undefined): void {
    this.dragged = undefined;
    url.set({ as_of: at === undefined ? null : new Date(at).toISOString() });
  }

  #wanted(stitch: Any, as_of?: string) {
    return { user_id: this.#id(), stitch, as_of };
  }
}
