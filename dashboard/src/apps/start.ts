import { type Component, mount } from "svelte";
import "../app.css";
import "./apps.css";
import { url } from "../lib/url.svelte";
import Frame from "./Frame.svelte";
import { host } from "./host.svelte";

/** What an app is given: what the tool found, and what it was called with. */
export interface Given {
  answer: any;
  given: Record<string, unknown>;
}

/** Show a component in a conversation. `name`: what the host is told. */
export function start(name: string, Inner: Component<Given>): void {
  url.keep();
  mount(Frame, { target: document.getElementById("app")!, props: { Inner } });
  host.connect(name);
}
