import { Nothing } from "./schemas/common.js";
import * as schemas from "./schemas/secret.js";
import { procedure, router } from "./trpc.js";

const tags = ["secrets"];
const exampleSecret = {
  name: "SLACK_BOT_TOKEN",
  createdAt: "2026-11-22T09:00:00.000Z",
  updatedAt: "2026-11-22T09:00:00.000Z",
};

export const secretsRouter = router({
  set: procedure
    .meta({
      permission: "secrets:write",
      openapi: {
        method: "PUT",
        path: "/secrets/{name}",
        operationId: "setSecret",
        summary: "Set a secret",
        description:
          "Creates the secret or replaces its value. Blocks that start from now on use it; the value is never returned.",
        tags,
      },
      examples: { body: { value: "xoxb-your-token" }, output: exampleSecret },
    })
    .input(schemas.SetSecretInput)
    .output(schemas.Secret)
    .mutation(({ ctx, input }) => ctx.services.secrets.set(ctx.principal, input)),

  list: procedure
    .meta({
      permission: "secrets:read",
      openapi: {
        method: "GET",
        path: "/secrets",
        operationId: "listSecrets",
        summary: "List secrets",
        description: "Names and dates, newest first; never a value.",
        tags,
      },
      examples: { output: { data: [exampleSecret], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListSecretsInput)
    .output(schemas.SecretPage)
    .query(({ ctx, input }) => ctx.services.secrets.list(ctx.principal, input)),

  remove: procedure
    .meta({
      permission: "secrets:write",
      openapi: {
        method: "DELETE",
        path: "/secrets/{name}",
        operationId: "removeSecret",
        summary: "Delete a secret",
        description: "Runs that need it fail from now on; new ones are refused with dispatch_failed.",
        tags,
      },
      rest: { status: 204 },
    })
    .input(schemas.SecretNameInput)
    .output(Nothing)
    .mutation(({ ctx, input }) => ctx.services.secrets.remove(ctx.principal, input.name)),
});
