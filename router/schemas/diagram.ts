import { z } from "zod";
import { diagramFormats } from "../../server/diagrams/formats.js";

/** Which format a picture is wanted in. */
export const Format = z.enum(diagramFormats).optional().meta({
  description:
    "One format only. Over REST the answer is then the picture itself: text/plain or image/svg+xml.",
});

export const Diagram = z
  .object({
    mermaid: z.string().optional().meta({ description: "Mermaid flowchart." }),
    svg: z.string().optional().meta({ description: "An SVG document that needs nothing else." }),
  })
  .meta({ id: "Diagram" });

/** Example of a picture in both formats. */
export const exampleDiagram = {
  mermaid: 'flowchart TB\n  b0(["start<br/>trigger_webhook"])\n',
  svg: '<svg xmlns="http://www.w3.org/2000/svg" role="img">…</svg>\n',
};
