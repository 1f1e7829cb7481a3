import { z } from "zod";
import { defineConnector } from "../define-connector.js";

/** Shapes data: the template comes with its references resolved, so the result is the template itself. */
export const transform = defineConnector({
  type: "transform",
  name: "Transform",
  description: "Builds a JSON value from a template with references, without any side effect.",
  category: "data",
  effect: "pure",
  params: z.object({
    template: z.unknown().meta({
      title: "Template",
      description:
        "Any JSON value. A string that is one reference keeps the value's type; inside longer text it is interpolated.",
    }),
  }),
  outputs: z.object({ result: z.unknown().describe("The template with every reference resolved.") }),
  examples: [
    {
      title: "Pick and greet",
      params: { template: { id: "{{trigger.customer.id}}", greeting: "Hello {{trigger.customer.name}}!" } },
    },
  ],
  run: ({ template }) => ({ result: template }),
});
