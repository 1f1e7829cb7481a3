import { z } from "zod";

/** What a list of connectors shows. */
export const ConnectorSummary = z
  .object({
    type: z.string().describe("What a block names as its type."),
    name: z.string(),
    description: z.string(),
    category: z.string(),
    kind: z
      .enum(["trigger", "compute", "wait"])
      .describe("A trigger starts a run, compute does work, wait parks the run."),
  })
  .meta({ id: "ConnectorSummary" });

/** One field of a form: a visible parameter. */
export const SubBlock = z
  .object({
    id: z.string().describe("Key in the block's params."),
    title: z.string(),
    type: z
      .enum(["short-input", "long-input", "dropdown", "switch", "number", "code", "expression"])
      .describe("How a form asks for it; code takes JSON, expression JSONata."),
    required: z.boolean(),
    isSecretCapable: z.boolean().describe("Whether {{secrets.NAME}} is allowed in it."),
    description: z.string().optional(),
    options: z.array(z.string()).optional().describe("The values of a dropdown."),
    default: z.unknown().optional().describe("What an absent parameter means."),
  })
  .meta({ id: "SubBlock" });

/** One output that later blocks may reference. */
export const OutputField = z
  .object({
    type: z.enum(["string", "number", "integer", "boolean", "object", "array", "any"]),
    description: z.string().optional(),
  })
  .meta({ id: "OutputField" });

/** Everything a client needs to fill in a block of this type. */
export const ConnectorDetail = z
  .object({
    ...ConnectorSummary.shape,
    params: z.record(z.string(), z.unknown()).describe("JSON Schema (2020-12) of the block's params."),
    subBlocks: z.array(SubBlock),
    outputs: z.record(z.string(), OutputField).describe("What later blocks may reference, by name."),
    handles: z
      .array(z.string())
      .nullable()
      .describe(
        "What connections from such a block may have as sourceHandle, beside names that its params give, as the branches of a condition do; null: any.",
      ),
    examples: z.array(z.object({ title: z.string(), params: z.record(z.string(), z.unknown()) })),
  })
  .meta({ id: "ConnectorDetail" });

/** How much of each connector a list shows. */
export const ListConnectors = z.object({
  detail: z
    .enum(["summary", "full"])
    .default("summary")
    .describe("full adds params, subBlocks, outputs, handles and examples."),
});

/** Every connector of the server; the list is short, so it has no pages. */
export const ConnectorList = z
  .object({ data: z.array(z.union([ConnectorDetail, ConnectorSummary])) })
  .meta({ id: "ConnectorList" });

/** The type of one connector. */
export const ConnectorType = z.object({
  type: z.string().describe("Type of the connector, http for example."),
});
