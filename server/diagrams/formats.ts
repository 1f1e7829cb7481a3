/** What a picture may be asked for as. */
export const diagramFormats = ["mermaid", "svg"] as const;
export type DiagramFormat = (typeof diagramFormats)[number];

/** Media types of the formats. */
export const diagramTypes: Readonly<Record<DiagramFormat, string>> = {
  mermaid: "text/plain",
  svg: "image/svg+xml",
};
