import { z } from "zod";
import { defineConnector, expression } from "../define-connector.js";

/** Shapes data: by a template, which comes with its references filled, or by an expression. */
export const transform = defineConnector({
  type: "transform",
  name: "Transform",
  description:
    "Makes a JSON value from a template with references or from a JSONata expression, without any side effect. Give exactly one of the two.",
  category: "data",
  effect: "pure",
  params: z
    .object({
      template: z.unknown().optional().meta({
        title: "Template",
        description:
          "Any JSON value. A string that is one reference keeps the value's type; inside longer text it is interpolated.",
      }),
      expression: expression(z.string().min(1).max(10_000)).optional().meta({
        title: "Expression",
        description:
          "JSONata over trigger, vars and the blocks upstream, such as $sum(fetch.body.items.price) or {{fetch.status}} = 200. Put a list into [ ]: without, a single match is the match itself and no match null.",
      }),
    })
    .superRefine((params, context) => {
      if (params.expression === undefined && params.template === undefined) {
        context.addIssue({ code: "custom", message: "give either template or expression" });
      }
      if (params.expression !== undefined && params.template !== undefined) {
        context.addIssue({
          code: "custom",
          path: ["expression"],
          message: "give either template or expression, not both",
        });
      }
    }),
  outputs: z.object({ result: z.unknown().describe("The filled template, or the value of the expression.") }),
  examples: [
    {
      title: "Pick and greet",
      params: { template: { id: "{{trigger.customer.id}}", greeting: "Hello {{trigger.customer.name}}!" } },
    },
    {
      title: "Compute",
      params: { expression: "$sum(trigger.items.(price * quantity))" },
    },
    {
      title: "Filter; a list even of one match or none",
      params: { expression: "[trigger.items[price > 10]]" },
    },
  ],
  run: async ({ template, expression }, { evaluate }) => ({
    result: expression === undefined ? template : await evaluate(expression),
  }),
});
