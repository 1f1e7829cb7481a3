import type { Connector } from "../define-connector.js";
import { guardedAgent, isPublicAddress } from "./guarded-agent.js";
import { httpConnector } from "./http.js";
import { transform } from "./transform.js";
import { triggerWebhook } from "./trigger-webhook.js";
import { waitDuration } from "./wait-duration.js";

/** The connectors that every server has. `httpAllowPrivate` lets the http block reach private addresses. */
export function builtinConnectors(options: { readonly httpAllowPrivate: boolean }): readonly Connector[] {
  const agent = guardedAgent(options.httpAllowPrivate ? () => true : isPublicAddress);
  return [triggerWebhook, transform, httpConnector(agent), waitDuration];
}
