import type { ApprovalService } from "../../approvals/service.js";
import type { ChildRuns } from "../../runs/child-runs.js";
import type { SignalService } from "../../signals/service.js";
import type { Connector } from "../define-connector.js";
import { addressRule } from "./address-guard.js";
import { condition } from "./condition.js";
import { emailConnector } from "./email.js";
import { forEach } from "./for-each.js";
import { guardedAgent } from "./guarded-agent.js";
import { httpConnector } from "./http.js";
import { humanApproval } from "./human-approval.js";
import { postgresQueryConnector } from "./postgres-query.js";
import { runWorkflow } from "./run-workflow.js";
import { slackConnector } from "./slack.js";
import { transform } from "./transform.js";
import { triggerWebhook } from "./trigger-webhook.js";
import { waitDuration } from "./wait-duration.js";
import { waitForEvent } from "./wait-for-event.js";
import { waitUntil } from "./wait-until.js";

/** The connectors that every server has. `httpAllowPrivate` lets blocks reach private addresses. */
export function builtinConnectors(options: {
  readonly httpAllowPrivate: boolean;
  readonly slackApiUrl: string;
}): readonly Connector[] {
  const isAllowed = addressRule(options.httpAllowPrivate);
  return [
    triggerWebhook,
    transform,
    condition,
    forEach,
    httpConnector(guardedAgent(isAllowed)),
    slackConnector(options.slackApiUrl),
    emailConnector(isAllowed),
    postgresQueryConnector({ allowsPrivate: options.httpAllowPrivate }),
    waitDuration,
    waitUntil,
  ];
}

/** The blocks that wait for what other nouns keep. */
export function awaitingConnectors(services: {
  readonly signals: SignalService;
  readonly approvals: ApprovalService;
  readonly children: Pick<ChildRuns, "start" | "find">;
}): readonly Connector[] {
  const { signals, approvals, children } = services;
  return [waitForEvent(signals), humanApproval(approvals), runWorkflow(children)];
}
