// What can be set, in the order in which it stands: of the project, of its words, of people.

import type { Role } from "../../lib/session.svelte";

export interface Section {
  path: string;
  title: string;
  group: "This project" | "Definitions" | "People";
  keywords: string;
  /** Whoever is less is told so instead. */
  role: Role;
}

export const SECTIONS: Section[] = [
  {
    path: "/settings",
    title: "Project",
    group: "This project",
    keywords: "projects, origins, name, policy, visit timeout",
    role: "viewer",
  },
  {
    path: "/settings/snippet",
    title: "Snippet",
    group: "This project",
    keywords: "install, script, a.js, tracking code",
    role: "viewer",
  },
  {
    path: "/settings/keys",
    title: "Keys",
    group: "This project",
    keywords: "api keys, secret, rotate, revoke",
    role: "owner",
  },
  {
    path: "/settings/sources",
    title: "Sources",
    group: "Definitions",
    keywords: "rules, classify, reclassify, dry run, utm, referrer",
    role: "viewer",
  },
  {
    path: "/settings/goals",
    title: "Goals",
    group: "Definitions",
    keywords: "conversions, value, currency",
    role: "viewer",
  },
  {
    path: "/settings/segments",
    title: "Segments",
    group: "Definitions",
    keywords: "filters, audiences, cohorts",
    role: "viewer",
  },
  {
    path: "/settings/annotations",
    title: "Annotations",
    group: "Definitions",
    keywords: "notes, releases, dates",
    role: "viewer",
  },
  {
    path: "/settings/members",
    title: "Members",
    group: "People",
    keywords: "invite, roles, owner, editor, viewer",
    role: "owner",
  },
  {
    path: "/settings/sessions",
    title: "Your sessions",
    group: "People",
    keywords: "password, sign out everywhere, devices",
    role: "viewer",
  },
  {
    path: "/settings/share-links",
    title: "Share links",
    group: "People",
    keywords: "embed, iframe, public, revoke",
    role: "editor",
  },
  {
    path: "/settings/forget",
    title: "Forget a person",
    group: "People",
    keywords: "privacy, gdpr, erase, export, receipt",
    role: "owner",
  },
];
