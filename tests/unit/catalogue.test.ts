import { describe, expect, it } from "vitest";
import { z } from "zod";
import { builtinConnectors } from "../../server/connectors/builtin/index.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import { defineConnector } from "../../server/connectors/define-connector.js";

const builtins = builtinConnectors({ httpAllowPrivate: false, slackApiUrl: "https://slack.com/api/" });

describe("the catalogue", () => {
  it("lists every connector once, sorted by type, and finds it by type", () => {
    const catalogue = createCatalogue(builtins);
    expect(catalogue.types()).toEqual([
      "condition",
      "email",
      "for_each",
      "http",
      "postgres_query",
      "slack",
      "transform",
      "trigger_webhook",
      "wait_duration",
      "wait_until",
    ]);
    expect(catalogue.list().map(({ type }) => type)).toEqual(catalogue.types());
    for (const type of catalogue.types()) expect(catalogue.get(type)?.type).toBe(type);
  });

  it("knows no type beside its own", () => {
    const catalogue = createCatalogue(builtins);
    for (const type of ["nope", "", "__proto__", "constructor", "toString"]) {
      expect(catalogue.get(type), type).toBeUndefined();
    }
  });

  it("refuses two connectors of one type and names both", () => {
    const rival = defineConnector({
      type: "http",
      name: "My HTTP",
      description: "Another.",
      params: z.object({}),
      outputs: z.object({}),
      run: () => ({}),
    });
    expect(() => createCatalogue([...builtins, rival])).toThrow(/"http".*"HTTP request".*"My HTTP"/);
  });

  it("says of which outputs any path may be referenced", () => {
    const open = { type: "open", description: "", params: z.object({}), run: () => ({}) };
    const catalogue = createCatalogue([
      ...builtins,
      defineConnector({ ...open, outputs: z.looseObject({}) }),
      defineConnector({ ...open, type: "closed", outputs: z.strictObject({}) }),
    ]);
    const openTypes = catalogue.list().filter(({ hasOpenOutputs }) => hasOpenOutputs);
    expect(openTypes.map(({ type }) => type)).toEqual(["open", "trigger_webhook"]);
  });
});
