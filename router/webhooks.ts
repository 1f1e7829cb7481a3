import { Nothing } from "./schemas/common.js";
import * as schemas from "./schemas/webhook.js";
import { procedure, router } from "./trpc.js";

const tags = ["webhooks"];
const exampleWebhook = {
  id: "whk_6f1d0c2b9a8e4f7380c5d1e2a3b4c5d6",
  url: "http://localhost:3000/hooks/whk_6f1d0c2b9a8e4f7380c5d1e2a3b4c5d6",
  name: "Orders",
  workflowId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  workflowVersion: null,
  verification: { type: "standard_webhooks" },
  enabled: true,
  stoppedReason: null,
  inputMapping: { orderId: "{{request.body.data.id}}" },
  filter: 'request.body.type = "order.paid"',
  deliveryKey: null,
  allowWait: false,
  rateLimitPerMinute: 600,
  previousSecretEndsAt: null,
  version: 1,
  createdAt: "2026-11-22T09:00:00.000Z",
  updatedAt: "2026-11-22T09:00:00.000Z",
};
const { inputMapping: _, ...exampleSummary } = exampleWebhook;
const exampleSecret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const exampleDelivery = {
  id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b50",
  webhookId: exampleWebhook.id,
  verdict: "accepted",
  reason: null,
  deliveryKey: "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W",
  repeats: null,
  runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
  contentType: "application/json",
  bodyBytes: 44,
  remoteAddress: "203.0.113.7",
  receivedAt: "2026-11-22T09:00:00.000Z",
};
const { workflowId, name, inputMapping, filter } = exampleWebhook;

export const webhooksRouter = router({
  create: procedure
    .meta({
      permission: "webhooks:write",
      errors: ["workflow_not_found"],
      openapi: {
        method: "POST",
        path: "/webhooks",
        operationId: "createWebhook",
        summary: "Create a webhook",
        description:
          "Gives a workflow an address at which others deliver. Every delivery is verified and counted once.",
        tags,
      },
      rest: { status: 201, location: (output: { id: string }) => `/webhooks/${output.id}`, hasEtag: true },
      examples: {
        body: { workflowId, name, verification: "standard_webhooks", inputMapping, filter },
        output: { ...exampleWebhook, secret: exampleSecret },
      },
    })
    .input(schemas.CreateWebhookInput)
    .output(schemas.WebhookWithSecret)
    .mutation(({ ctx, input }) => ctx.services.webhooks.create(ctx.principal, input)),

  list: procedure
    .meta({
      permission: "webhooks:read",
      openapi: {
        method: "GET",
        path: "/webhooks",
        operationId: "listWebhooks",
        summary: "List webhooks",
        description: "Newest first, without their mappings.",
        tags,
      },
      examples: { output: { data: [exampleSummary], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListWebhooksInput)
    .output(schemas.WebhookPage)
    .query(({ ctx, input }) => ctx.services.webhooks.list(ctx.principal, input)),

  get: procedure
    .meta({
      permission: "webhooks:read",
      openapi: {
        method: "GET",
        path: "/webhooks/{id}",
        operationId: "getWebhook",
        summary: "Get a webhook",
        description: "The webhook without its secrets.",
        tags,
      },
      rest: { hasEtag: true },
      examples: { output: exampleWebhook },
    })
    .input(schemas.WebhookIdInput)
    .output(schemas.Webhook)
    .query(({ ctx, input }) => ctx.services.webhooks.get(ctx.principal, input.id)),

  update: procedure
    .meta({
      permission: "webhooks:write",
      errors: ["workflow_not_found"],
      openapi: {
        method: "PATCH",
        path: "/webhooks/{id}",
        operationId: "updateWebhook",
        summary: "Change a webhook",
        description:
          "Changes what is given; null goes back to the default. The type of the verification stays, its options may change.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: {
        body: { enabled: false, filter: null },
        output: { ...exampleWebhook, enabled: false, filter: null, version: 2 },
      },
    })
    .input(schemas.UpdateWebhookInput)
    .output(schemas.Webhook)
    .mutation(({ ctx, input }) => ctx.services.webhooks.update(ctx.principal, input)),

  remove: procedure
    .meta({
      permission: "webhooks:write",
      openapi: {
        method: "DELETE",
        path: "/webhooks/{id}",
        operationId: "removeWebhook",
        summary: "Delete a webhook",
        description: "Its deliveries go with it; runs it has started go on.",
        tags,
      },
      rest: { status: 204 },
    })
    .input(schemas.WebhookIdInput)
    .output(Nothing)
    .mutation(({ ctx, input }) => ctx.services.webhooks.remove(ctx.principal, input.id)),

  rotateSecret: procedure
    .meta({
      permission: "webhooks:write",
      errors: ["conflict"],
      openapi: {
        method: "POST",
        path: "/webhooks/{id}/rotate-secret",
        operationId: "rotateWebhookSecret",
        summary: "Replace the secret",
        description: "The new secret works at once, the one before until the overlap ends.",
        tags,
      },
      rest: { hasEtag: true, readsIfMatch: true },
      examples: {
        body: { overlapSeconds: 3600 },
        output: {
          ...exampleWebhook,
          previousSecretEndsAt: "2026-11-22T10:00:00.000Z",
          version: 2,
          secret: exampleSecret,
        },
      },
    })
    .input(schemas.RotateSecretInput)
    .output(schemas.WebhookWithSecret)
    .mutation(({ ctx, input }) => ctx.services.webhooks.rotateSecret(ctx.principal, input)),

  deliveries: procedure
    .meta({
      permission: "webhooks:read",
      openapi: {
        method: "GET",
        path: "/webhooks/{id}/deliveries",
        operationId: "listWebhookDeliveries",
        summary: "List deliveries",
        description:
          "Newest first, without what was sent. Accepted ones are kept; of the others about the newest 100 rejected, and 1,000 of each other verdict with 64 MiB of bodies at most.",
        tags,
      },
      examples: { output: { data: [exampleDelivery], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListDeliveriesInput)
    .output(schemas.DeliveryPage)
    .query(({ ctx, input }) => ctx.services.deliveries.list(ctx.principal, input)),

  delivery: procedure
    .meta({
      permission: "webhooks:read",
      openapi: {
        method: "GET",
        path: "/webhooks/{id}/deliveries/{deliveryId}",
        operationId: "getWebhookDelivery",
        summary: "Get a delivery",
        description: "What was sent, without credentials, and what became of it.",
        tags,
      },
      examples: {
        output: {
          ...exampleDelivery,
          headers: { "content-type": "application/json", "webhook-signature": "[redacted]" },
          query: {},
          body: '{"type":"order.paid","data":{"id":"ord_42"}}',
          isBodyTruncated: false,
        },
      },
    })
    .input(schemas.DeliveryIdInput)
    .output(schemas.DeliveryDetail)
    .query(({ ctx, input }) => ctx.services.deliveries.get(ctx.principal, input)),

  redeliver: procedure
    .meta({
      permission: "webhooks:write",
      errors: ["conflict", "delivery_failed", "dispatch_failed"],
      openapi: {
        method: "POST",
        path: "/webhooks/{id}/deliveries/{deliveryId}/redeliver",
        operationId: "redeliverWebhookDelivery",
        summary: "Deliver again",
        description:
          "Starts a new run from what was sent, with the webhook's settings of now and past its filter. Rejected and duplicate deliveries cannot be delivered again.",
        tags,
      },
      rest: {
        status: 202,
        location: (output: { runId: string }) => `/runs/${output.runId}`,
        readsIdempotencyKey: true,
      },
      examples: {
        output: {
          runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b51",
          deliveryId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b52",
          repeats: exampleDelivery.id,
        },
      },
    })
    .input(schemas.RedeliverInput)
    .output(schemas.Redelivery)
    .mutation(({ ctx, input }) => ctx.services.deliveries.redeliver(ctx.principal, input)),
});
