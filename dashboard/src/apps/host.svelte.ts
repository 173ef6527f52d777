// The conversation around us, as MCP Apps has it (`io.modelcontextprotocol/ui`, 2026-01-26): JSON-RPC
// by `postMessage`. We introduce ourselves; the host then sends what the tool was called with and
// what it found. Nothing is asked of the host, or of anybody else.

import { version } from "../../package.json";

const PROTOCOL = "2026-01-26";
const INITIALIZE = 1;
const NO_METHOD = -32601;

/** What a tool call came to. `structuredContent`: as the server's output schema has it. */
export interface ToolResult {
  content?: { type: string; text?: string }[];
  structuredContent?: unknown;
  isError?: boolean;
}
interface Context {
  theme?: string;
  timeZone?: string;
  styles?: { variables?: Record<string, string | undefined> };
}
interface Message {
  jsonrpc: "2.0";
  id?: number | string;
  method?: string;
  params?: any;
  result?: any;
  error?: any;
}

class Host {
  arguments = $state.raw<Record<string, unknown>>({});
  result = $state.raw<ToolResult | undefined>();
  isCancelled = $state(false);
  /** By whose clocks the reader lives. */
  zone = $state("");
  #height = 0;

  /** Say that we are here, and follow what the host says from then on. */
  connect(name: string): void {
    addEventListener("message", ({ source, data }) => {
      // Frames beside us, and pages that opened us, may write, too.
      if (source === parent && source !== window && data?.jsonrpc === "2.0") this.#heard(data);
    });
    this.#send({
      id: INITIALIZE,
      method: "ui/initialize",
      params: {
        protocolVersion: PROTOCOL,
        appInfo: { name, version },
        appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
      },
    });
  }

  #heard({ id, method, params, result }: Message): void {
    if (method === undefined) {
      if (id === INITIALIZE && result) this.#begin(result.hostContext);
    } else if (id !== undefined) {
      // A host asks whether we are there, and says before it removes us: we have nothing to lose.
      const isKnown = method === "ping" || method === "ui/resource-teardown";
      this.#send(
        isKnown
          ? { id, result: {} }
          : { id, error: { code: NO_METHOD, message: `There is no ${method} here.` } },
      );
    } else if (method === "ui/notifications/tool-input") {
      this.arguments = params?.arguments ?? {};
    } else if (method === "ui/notifications/tool-result") {
      this.result = params ?? {};
    } else if (method === "ui/notifications/tool-cancelled") {
      this.isCancelled = true;
    } else if (method === "ui/notifications/host-context-changed") {
      this.#follow(params);
    }
  }

  #begin(context: Context | undefined): void {
    this.#follow(context);
    this.#send({ method: "ui/notifications/initialized", params: {} });
    new ResizeObserver(() => this.#measure()).observe(document.body);
    this.#measure();
  }

  /** Colours are ours, in light and dark: only together can they be told apart. */
  #follow(context: Context | undefined): void {
    const root = document.documentElement;
    const theme = context?.theme;
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    const font = context?.styles?.variables?.["--font-sans"];
    if (font) root.style.setProperty("--sans", `${font}, system-ui, sans-serif`);
    if (context?.timeZone) this.zone = context.timeZone;
  }

  #measure(): void {
    const height = Math.ceil(document.body.getBoundingClientRect().height);
    if (height === this.#height) return;
    this.#height = height;
    this.#send({ method: "ui/notifications/size-changed", params: { height } });
  }

  /** To whomever we are shown by: an origin of their own they mostly do not have, and there is
   * nothing in it but our name and how high we are. */
  #send(message: Omit<Message, "jsonrpc">): void {
    parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  }
}

export const host = new Host();
