import { asker, type Failure, forgetAnswers, type Result, send } from "./api";
import { url } from "./url.svelte";

export type Role = "owner" | "editor" | "viewer";

export interface Project {
  project_id: string;
  name: string;
  stitch?: string | null;
  timezone?: string;
  currency?: string;
}

/** What `GET /v1/auth/me` says. */
export interface Me {
  member: { email: string; name: string; role: Role } | null;
  projects: Project[];
  setup: boolean;
  oidc: { name: string } | null;
  version: string;
}

const RANK: Role[] = ["viewer", "editor", "owner"];
const LAST_PROJECT = "threadline.project";

class Session {
  me = $state.raw<Me | undefined>();
  error = $state.raw<Failure | undefined>();

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
    return RANK.indexOf(this.role) >= RANK.indexOf(role);
  }

  async load(): Promise<void> {
    this.error = undefined;
    const result = await whoAmI();
    if (result.ok) this.me = result.data;
    else this.error = result.error;
  }

  /** Somebody else from here on, or nobody. */
  async changed(): Promise<void> {
    forgetAnswers();
    await this.load();
  }

  async signOut(everywhere = false): Promise<Result<unknown>> {
    const result = await send("POST", "/v1/auth/sign-out", { everywhere });
    if (result.ok) await this.changed();
    return result;
  }
}

async function whoAmI(): Promise<Result<Me>> {
  const headers: Record<string, string> = asker.token
    ? { Authorization: `Bearer ${asker.token}` }
    : {};
  try {
    const response = await fetch("/v1/auth/me", { headers, credentials: "same-origin" });
    if (response.ok) return { ok: true, data: (await response.json()) as Me };
    const message = `The server answered with status ${response.status}.`;
    return {
      ok: false,
      error: { status: response.status, code: "unknown", message, fieldErrors: {} },
    };
  } catch {
    const message = "The server cannot be reached. Check that it runs, then try again.";
    return { ok: false, error: { status: 0, code: "unreachable", message, fieldErrors: {} } };
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
