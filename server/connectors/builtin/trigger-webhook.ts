import { z } from "zod";
import type { TriggerConnector } from "../define-connector.js";

/** Starts a workflow; its output is the run's input, `{}` when none is given. */
export const triggerWebhook: TriggerConnector = {
  kind: "trigger",
  type: "trigger_webhook",
  name: "Webhook trigger",
  description:
    "Starts the workflow. Its output is the run's input: read it as {{trigger.path}} or {{block_id.path}}.",
  category: "triggers",
  params: z.object({}),
  outputs: z.looseObject({}),
  examples: [{ title: "Start with whatever the caller sends", params: {} }],
};
