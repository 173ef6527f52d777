import { ask, type Failure, forgetAnswers, type Result, type Schemas, send } from "./api";
import { url } from "./url.svelte";

export type Me = Schemas["Me"];
export type Project = Schemas["MemberProject"];
export type Role = "owner" | "editor" | "viewer";

const RANK: Role[] = ["viewer", "editor", "owner"];
const LAST_PROJECT = "threadline.project";

class Session {
  me = $state.raw<Me | undefined>();
  error = $state.raw<Failure | undefined>();
  /** What a share link shows, where the page was opened by one: nobody is signed in then. */
  get shared(): Schemas["SharedPage"] | null {
    return this.me?.shared ?? null;
  }

  /** The project that the address names, else the one looked at last, else the first. */
  get project(): Project | undefined {
    const projects = this.me?.projects ?? [];
    const named = url.get("project") || remembered();
    return projects.find((project) => project.project_id === named) ?? projects[0];
  }

  get role(): Role {
    return this.me?.member?.role ?? "viewer";
  }

  /** Whether whoever is signed in may do what takes this role. */
  may(role: Role): boolean {
    return !!this.me?.member && RANK.indexOf(this.role) >= RANK.indexOf(role);
  }

  async load(): Promise<void> {
    this.error = undefined;
    const result = await ask("/v1/auth/me", {}, { fresh: true });
    if (result.ok) this.me = result.data;
    else this.error = result.error;
  }

  /** Somebody else from here on, or nobody. */
  become(me: Me): void {
    forgetAnswers();
    this.me = me;
  }

  async signOut(everywhere = false): Promise<Result<unknown>> {
    const result = await send("POST", "/v1/auth/sign-out", { everywhere });
    if (result.ok) await this.load();
    return result;
  }
}

function remembered(): string {
  try {
    return localStorage.getItem(LAST_PROJECT) ?? "";
  } catch {
    return "";
  }
}

export function rememberProject(id: string): void {
  try {
    localStorage.setItem(LAST_PROJECT, id);
  } catch {
    // Then the first one comes up again.
  }
}

export const session = new Session();
