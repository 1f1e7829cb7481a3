import { getConnector, listConnectors } from "../server/connectors/service.js";
import { ConnectorDetail, ConnectorList, ConnectorType, ListConnectors } from "./schemas/connector.js";
import { procedure, router } from "./trpc.js";

const transformSummary = {
  type: "transform",
  name: "Transform",
  description: "Makes a JSON value from a template or an expression, without any side effect.",
  category: "data",
  kind: "compute",
};

const transformDetail = {
  ...transformSummary,
  params: {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    type: "object",
    properties: { template: { title: "Template" }, expression: { title: "Expression", type: "string" } },
  },
  subBlocks: [
    { id: "template", title: "Template", type: "code", required: false, isSecretCapable: false },
    { id: "expression", title: "Expression", type: "expression", required: false, isSecretCapable: false },
  ],
  outputs: { result: { type: "any", description: "The filled template, or the value of the expression." } },
  handles: null,
  examples: [{ title: "Pick and greet", params: { template: { greeting: "Hello {{trigger.name}}!" } } }],
};

/** The block types that workflows of this server may use. */
export const connectorsRouter = router({
  list: procedure
    .meta({
      openapi: {
        method: "GET",
        path: "/connectors",
        operationId: "listConnectors",
        summary: "List connectors",
        description: "Every block type of this server, sorted by type.",
        tags: ["connectors"],
      },
      permission: "connectors:read",
      examples: { output: { data: [transformSummary] } },
    })
    .input(ListConnectors)
    .output(ConnectorList)
    .query(({ ctx, input }) => ({ data: listConnectors(ctx.services.catalogue, input.detail) })),

  get: procedure
    .meta({
      openapi: {
        method: "GET",
        path: "/connectors/{type}",
        operationId: "getConnector",
        summary: "Get a connector",
        description: "Parameters, form fields, outputs and examples of one block type.",
        tags: ["connectors"],
      },
      permission: "connectors:read",
      examples: { output: transformDetail },
    })
    .input(ConnectorType)
    .output(ConnectorDetail)
    .query(({ ctx, input }) => getConnector(ctx.services.catalogue, input.type)),
});
