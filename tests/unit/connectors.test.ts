import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConnectorList } from "../../router/schemas/connector.js";
import { builtinConnectors } from "../../server/connectors/builtin/index.js";
import { transform } from "../../server/connectors/builtin/transform.js";
import { triggerWebhook } from "../../server/connectors/builtin/trigger-webhook.js";
import { waitDuration } from "../../server/connectors/builtin/wait-duration.js";
import { createCatalogue } from "../../server/connectors/catalogue.js";
import {
  BlockError,
  defineConnector,
  hidden,
  marksOf,
  secret,
} from "../../server/connectors/define-connector.js";
import { describeConnector } from "../../server/connectors/describe-connector.js";
import { getConnector, listConnectors } from "../../server/connectors/service.js";

const catalogue = createCatalogue(
  builtinConnectors({ httpAllowPrivate: false, slackApiUrl: "https://slack.com/api/" }),
);

const sample = defineConnector({
  type: "sample",
  description: "Has every kind of parameter.",
  params: z.object({
    text: z.string().describe("One line."),
    longText: z.string().max(5_000).optional(),
    token: secret(z.string()).optional(),
    level: z.enum(["low", "high"]).default("low"),
    isLoud: z.boolean().default(false),
    retry_count: z.int().optional(),
    ratio: z.number().nullable(),
    items: z.array(z.string()).meta({ title: "Things" }),
    since: z.date().optional(),
    account: z.object({ id: z.string(), key: hidden(z.string()) }).optional(),
    accessToken: hidden(z.string().min(3)).describe("From the server."),
    refreshToken: hidden(z.string()).optional(),
  }),
  outputs: z.object({
    count: z.int(),
    when: z.iso.datetime().nullable().describe("When it was."),
    either: z.union([z.string(), z.number()]),
  }),
  examples: [{ title: "Simple", params: { text: "hi", accessToken: "xoxb" } }],
  run: () => ({ count: 1, when: null, either: "a" }),
});

describe("marks of a parameter", () => {
  it("hold through description, checks and every wrapper", () => {
    const schemas = [
      hidden(z.string()),
      hidden(z.string()).describe("a").min(2),
      hidden(z.string()).optional(),
      hidden(z.string()).default("a").nullable().describe("b"),
      hidden(z.string()).transform(Number),
      secret(hidden(z.string()).optional()),
    ];
    for (const schema of schemas) expect(marksOf(schema).isHidden).toBe(true);
    expect(marksOf(secret(z.string()).optional())).toMatchObject({ isHidden: false, isSecret: true });
  });

  it("do not stick to the schema that was marked", () => {
    const plain = z.string();
    hidden(plain);
    expect(marksOf(plain)).toMatchObject({ isHidden: false, isSecret: false });
  });
});

describe("defineConnector", () => {
  const rest = { description: "", params: z.object({}), outputs: z.object({}), run: () => ({}) };

  it("fills in what an author may leave out", () => {
    expect(defineConnector({ type: "a", ...rest })).toMatchObject({
      kind: "compute",
      name: "a",
      category: "custom",
      effect: "unsafe",
      retry: { maxAttempts: 1 },
      timeoutMs: 60_000,
      examples: [],
    });
  });

  it("refuses a type that is not lower-case words joined by _", () => {
    for (const type of ["", "A", "a-b", "1a", "a__b", "_a", "a_"]) {
      expect(() => defineConnector({ type, ...rest }), type).toThrow(/lower-case words/);
    }
  });

  it("counts an error of another copy of the package as a BlockError", () => {
    const foreign = Object.assign(new Error("no"), { name: "BlockError", code: "x", isRetryable: true });
    expect(foreign).toBeInstanceOf(BlockError);
    expect(new BlockError("x", "no")).toBeInstanceOf(BlockError);
    for (const other of [new Error("no"), null, "BlockError"])
      expect(other instanceof BlockError).toBe(false);
  });
});

describe("the description of a connector", () => {
  const description = describeConnector(sample);
  const field = (id: string) => description.subBlocks.find((subBlock) => subBlock.id === id);

  it("shows no trace of hidden parameters, nested ones included", () => {
    const text = JSON.stringify(description);
    for (const word of ["accessToken", "refreshToken", "xoxb", '"key"', "From the server", "x-hidden"]) {
      expect(text).not.toContain(word);
    }
    expect(description.params.required).toEqual(["text", "ratio", "items"]);
    expect(text).toContain('"account"');
  });

  it("derives each form field from its schema", () => {
    const types = Object.fromEntries(description.subBlocks.map(({ id, type }) => [id, type]));
    expect(types).toEqual({
      text: "short-input",
      longText: "long-input",
      token: "short-input",
      level: "dropdown",
      isLoud: "switch",
      retry_count: "number",
      ratio: "number",
      items: "code",
      since: "code",
      account: "code",
    });
    expect(field("text")).toEqual({
      id: "text",
      title: "Text",
      type: "short-input",
      required: true,
      isSecretCapable: false,
      description: "One line.",
    });
    expect(field("level")).toMatchObject({ options: ["low", "high"], default: "low", required: false });
    expect(field("token")).toMatchObject({ isSecretCapable: true, required: false });
    expect(field("isLoud")).toMatchObject({ title: "Is loud", default: false });
    expect(field("retry_count")?.title).toBe("Retry count");
    expect(field("items")?.title).toBe("Things");
  });

  it("names the JSON type of each output, any where there are several", () => {
    expect(description.outputs).toEqual({
      count: { type: "integer" },
      when: { type: "string", description: "When it was." },
      either: { type: "any" },
    });
  });

  it("holds what clients rely on for every built-in", () => {
    const shapes = catalogue.list().map((connector) => {
      const { type, kind, subBlocks, outputs } = describeConnector(connector);
      const params = subBlocks.map(({ id, required }) => (required ? id : `${id}?`));
      return [type, kind, params, Object.keys(outputs)];
    });
    expect(shapes).toEqual([
      ["condition", "compute", ["branches?", "mode?", "expression?"], ["branch", "matched", "result"]],
      [
        "email",
        "compute",
        ["to", "cc?", "bcc?", "replyTo?", "from?", "subject", "text?", "html?"],
        ["messageId", "accepted", "rejected"],
      ],
      [
        "for_each",
        "wait",
        ["items", "parallelism?", "onItemError?", "maxItems?"],
        ["results", "errors", "count", "succeeded", "failed"],
      ],
      [
        "http",
        "compute",
        ["url", "method?", "headers?", "body?", "timeoutMs?"],
        ["status", "body", "headers"],
      ],
      [
        "postgres_query",
        "compute",
        ["connectionUrl", "query", "values?", "readOnly?", "maxRows?", "timeoutMs?"],
        ["rows", "rowCount", "truncated"],
      ],
      ["slack", "compute", ["channel", "text", "threadTs?"], ["ok", "ts", "channel"]],
      ["transform", "compute", ["template?", "expression?"], ["result"]],
      ["trigger_webhook", "trigger", [], []],
      ["wait_duration", "wait", ["duration", "unit"], ["resumedAt"]],
      ["wait_until", "wait", ["at", "timezone?"], ["resumedAt"]],
    ]);
  });

  it("matches the contract's schema in both details, and its examples match its parameters", () => {
    for (const detail of ["summary", "full"] as const) {
      const answer = { data: listConnectors(catalogue, detail) };
      expect(ConnectorList.parse(answer)).toEqual(answer);
    }
    expect(Object.keys(listConnectors(catalogue, "summary")[0] ?? {})).toEqual([
      "type",
      "name",
      "description",
      "category",
      "kind",
    ]);
    for (const { type, params, examples } of catalogue.list()) {
      const names = new Set(Object.keys(params.shape));
      for (const example of examples) {
        expect(
          Object.keys(example.params).filter((name) => !names.has(name)),
          type,
        ).toEqual([]);
      }
    }
  });

  it("of an unknown type is not_found", () => {
    expect(getConnector(catalogue, "http").type).toBe("http");
    for (const type of ["nope", "__proto__", "x".repeat(500)]) {
      expect(() => getConnector(catalogue, type)).toThrow(
        expect.objectContaining({ errorCode: "not_found" }),
      );
    }
  });
});

describe("the built-in blocks", () => {
  const now = new Date("2026-03-01T10:00:00.000Z");
  const wait = (duration: number, unit: string) =>
    waitDuration.waitMs(waitDuration.params.parse({ duration, unit }), now);

  it("wait_duration knows every unit by its short and its long names", () => {
    const lengths: [number, string[]][] = [
      [1, ["ms", "millisecond", "milliseconds"]],
      [1_000, ["s", "second", "seconds"]],
      [60_000, ["m", "minute", "minutes"]],
      [3_600_000, ["h", "hour", "hours"]],
      [86_400_000, ["d", "day", "days"]],
      [604_800_000, ["w", "week", "weeks"]],
    ];
    for (const [milliseconds, units] of lengths) {
      for (const unit of units) expect(wait(2, unit), unit).toBe(2 * milliseconds);
    }
    expect(wait(1.5, "h")).toBe(5_400_000);
    expect(wait(0, "s")).toBe(0);
    expect(waitDuration.params.safeParse({ duration: 1, unit: "months" }).success).toBe(false);
    expect(waitDuration.params.safeParse({ duration: -1, unit: "s" }).success).toBe(false);
    expect(waitDuration.params.safeParse({ duration: "1", unit: "s" }).success).toBe(false);
  });

  it("wait_duration waits 365 days at most and says so", () => {
    expect(wait(365, "d")).toBe(31_536_000_000);
    for (const [duration, unit] of [
      [365.001, "d"],
      [53, "w"],
      [1e300, "ms"],
    ] as const) {
      expect(() => wait(duration, unit)).toThrow(/duration: .* longer than one year/);
    }
  });

  it("wait_duration answers when the run went on", () => {
    expect(waitDuration.outputs.parse(waitDuration.resume(now))).toEqual({ resumedAt: now.toISOString() });
  });

  it("transform takes any JSON template and needs one", () => {
    for (const template of [null, 0, "", [1], { a: { b: [] } }]) {
      expect(transform.params.parse({ template })).toEqual({ template });
    }
    expect(transform.params.safeParse({}).success).toBe(false);
    expect(transform.effect).toBe("pure");
  });

  it("trigger_webhook gives out whatever the run's input holds", () => {
    expect(triggerWebhook.outputs.parse({ a: { b: 1 } })).toEqual({ a: { b: 1 } });
  });
});
