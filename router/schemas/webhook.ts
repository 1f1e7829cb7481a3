import { z } from "zod";
import { deliveryVerdicts } from "../../server/webhooks/verdicts.js";
import { MAX_SECRET_LENGTH, Verification, VerificationInput } from "../../server/webhooks/verification.js";
import { ExpectedVersion, Id, Instant, pageInput, pageOf, Version } from "./common.js";

const InputMapping = z
  .union([z.record(z.string(), z.json()), z.string().max(10_000)], {
    error: "must be an object, or a text of at most 10000 characters",
  })
  .meta({
    description:
      "What becomes the run's input, with references such as {{request.body.user.id}}, {{request.headers.x-event}} and {{request.query.page}}. Absent or null: the body; what is not an object stands under `body`.",
  });

const Filter = z.string().min(1).max(10_000).meta({
  description:
    'A JSONata expression over `request`; only deliveries for which it holds start a run, such as request.body.type = "order.paid".',
});

const DeliveryKey = z.string().min(1).max(500).meta({
  description:
    "The sender's own id of a delivery, such as {{request.body.event.id}}; the same id starts one run. Absent or null: webhook-id, the id of the Stripe event, X-GitHub-Delivery, Slack's event_id, else the header Idempotency-Key.",
});

const WorkflowVersion = Version.meta({ description: "The version that runs. Absent or null: the newest." });

const settings = {
  name: z.string().max(100).optional(),
  enabled: z.boolean().optional().meta({ description: "Off: senders see 404." }),
  allowWait: z
    .boolean()
    .optional()
    .meta({ description: "Whether senders may wait for the end of the run with ?wait=30s." }),
  rateLimitPerMinute: z.int().min(1).max(60_000).optional().meta({
    description: "Verified deliveries per minute, and as many of one address that are not. Absent: 600.",
  }),
  workflowVersion: WorkflowVersion.nullish(),
  inputMapping: InputMapping.nullish(),
  filter: Filter.nullish(),
  deliveryKey: DeliveryKey.nullish(),
};

const Secret = z
  .string()
  .min(1)
  .max(MAX_SECRET_LENGTH)
  .optional()
  .meta({ description: "The sender's secret, such as the one that Stripe shows. One is made when absent." });

export const CreateWebhookInput = z.object({
  workflowId: Id,
  verification: VerificationInput,
  secret: Secret,
  ...settings,
});

export const UpdateWebhookInput = z.object({
  id: Id,
  workflowId: Id.optional(),
  verification: VerificationInput.optional(),
  secret: z
    .never({ error: "cannot be changed here; put a new one in place with POST …/rotate-secret" })
    .optional()
    .meta({ description: "Refused: rotate-secret puts a new secret in place." }),
  ...settings,
  expectedVersion: ExpectedVersion,
});

export const RotateSecretInput = z.object({
  id: Id,
  secret: Secret,
  overlapSeconds: z
    .int()
    .min(0)
    .max(604_800)
    .default(86_400)
    .meta({ description: "How long the secret before works beside the new one." }),
  expectedVersion: ExpectedVersion,
});

export const Webhook = z
  .object({
    id: z.string(),
    url: z.string().meta({ description: "Where senders deliver." }),
    name: z.string(),
    workflowId: z.uuid(),
    workflowVersion: Version.nullable(),
    verification: Verification,
    enabled: z.boolean(),
    stoppedReason: z.string().nullable().meta({ description: "Why the server switched it off." }),
    inputMapping: z.unknown(),
    filter: z.string().nullable(),
    deliveryKey: z.string().nullable(),
    allowWait: z.boolean(),
    rateLimitPerMinute: z.int(),
    previousSecretEndsAt: Instant.nullable().meta({
      description: "Until when the secret before works too; null when it does not.",
    }),
    version: Version,
    createdAt: Instant,
    updatedAt: Instant,
  })
  .meta({ id: "Webhook" });

export const WebhookWithSecret = Webhook.extend({
  secret: z
    .string()
    .nullable()
    .meta({ description: "Shown in this answer only; null when you gave it or there is none." }),
}).meta({ id: "WebhookWithSecret" });

export const ListWebhooksInput = z.object({ workflowId: Id.optional(), ...pageInput });

export const WebhookSummary = Webhook.omit({ inputMapping: true }).meta({ id: "WebhookSummary" });

export const WebhookPage = pageOf(WebhookSummary);

export const WebhookIdInput = z.object({ id: Id });

const Verdict = z.enum(deliveryVerdicts).meta({
  description:
    "accepted: started a run; duplicate: its key had one; filtered: not for the workflow; rejected: not verified or not readable; failed: in order, but no run could start.",
});

const Delivery = z
  .object({
    id: z.uuid(),
    webhookId: z.string(),
    verdict: Verdict,
    reason: z.string().nullable(),
    deliveryKey: z.string().nullable().meta({ description: "The sender's own id." }),
    repeats: z.uuid().nullable().meta({
      description: "The first delivery with this key, or the one that was delivered again.",
    }),
    runId: z.uuid().nullable(),
    contentType: z.string().nullable(),
    bodyBytes: z.int(),
    remoteAddress: z.string().nullable(),
    receivedAt: Instant,
  })
  .meta({ id: "WebhookDelivery" });

export const ListDeliveriesInput = z.object({ id: Id, verdict: Verdict.optional(), ...pageInput });

export const DeliveryPage = pageOf(Delivery);

export const DeliveryIdInput = z.object({ id: Id, deliveryId: Id });

export const DeliveryDetail = Delivery.extend({
  headers: z.record(z.string(), z.string()).meta({ description: "Without credentials and signatures." }),
  query: z.record(z.string(), z.union([z.string(), z.array(z.string())])),
  body: z.string().meta({
    description: "At most 65,536 characters; the values of fields that look like credentials are replaced.",
  }),
  isBodyTruncated: z.boolean(),
}).meta({ id: "WebhookDeliveryDetail" });

export const RedeliverInput = DeliveryIdInput.extend({
  idempotencyKey: z.string().min(1).max(255).optional().meta({
    description: "Same key, same delivery: same run. Over REST also the Idempotency-Key header.",
  }),
});

export const Redelivery = z
  .object({
    runId: z.uuid(),
    deliveryId: z.uuid(),
    repeats: z.uuid().meta({ description: "The delivery that was delivered again." }),
  })
  .meta({ id: "WebhookRedelivery" });
