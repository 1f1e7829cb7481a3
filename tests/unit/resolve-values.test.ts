import { describe, expect, it } from "vitest";
import { BlockError } from "../../server/connectors/define-connector.js";
import {
  MAX_RESOLVED_CHARACTERS,
  resolveValue,
  type ValueScope,
} from "../../server/engine/blocks/resolve-values.js";

const scope: ValueScope = {
  trigger: { customer: { id: 7, name: "Ada" }, tags: ["a", "b"], "odd key": true, empty: null },
  vars: { base: "https://example.com", nested: { "{{trigger.customer.id}}": 1 } },
  outputs: { fetch: { status: 200, body: { items: [{ id: 1 }, { id: 2 }] } }, later: null, text: "plain" },
  nameToId: { "Fetch orders": "fetch", text: "fetch" },
};

describe("a string that is one reference", () => {
  it("keeps the type of the value", () => {
    expect(resolveValue("{{trigger.customer.id}}", scope)).toBe(7);
    expect(resolveValue("{{ trigger.tags }}", scope)).toEqual(["a", "b"]);
    expect(resolveValue("{{trigger['odd key']}}", scope)).toBe(true);
    expect(resolveValue("{{trigger}}", scope)).toBe(scope.trigger);
    expect(resolveValue("{{vars.base}}", scope)).toBe("https://example.com");
    expect(resolveValue("{{fetch.body.items[1].id}}", scope)).toBe(2);
    expect(resolveValue("{{fetch}}", scope)).toBe(scope.outputs.fetch);
  });

  it("finds a block by its id first, then by its name", () => {
    expect(resolveValue("{{Fetch orders.status}}", scope)).toBe(200);
    expect(resolveValue("{{text}}", scope)).toBe("plain");
  });

  it("is null when what it names is missing", () => {
    for (const path of [
      "trigger.nope.deeper",
      "trigger.empty",
      "vars.nope",
      "nobody.x",
      "later.x",
      "fetch.body[9]",
    ]) {
      expect(resolveValue(`{{${path}}}`, scope), path).toBeNull();
    }
  });
});

describe("a reference inside longer text", () => {
  it("is interpolated: text as it is, missing and null as nothing, the rest as JSON", () => {
    expect(resolveValue("Hello {{trigger.customer.name}}, {{fetch.status}}!", scope)).toBe("Hello Ada, 200!");
    expect(resolveValue("<{{trigger.nope}}{{trigger.empty}}>", scope)).toBe("<>");
    expect(resolveValue("tags: {{trigger.tags}} {{trigger.customer}}", scope)).toBe(
      'tags: ["a","b"] {"id":7,"name":"Ada"}',
    );
    expect(resolveValue(" {{trigger.customer.id}}", scope)).toBe(" 7");
  });

  it("that cannot be read stays as it is", () => {
    expect(resolveValue("{{}} and {{trigger.", scope)).toBe("{{}} and {{trigger.");
  });
});

describe("a resolved value", () => {
  it("is never read as a template again", () => {
    const trigger = { a: "{{vars.base}}", half: "{{vars." };
    expect(resolveValue("{{trigger.a}}", { ...scope, trigger })).toBe("{{vars.base}}");
    expect(resolveValue("x {{trigger.a}}", { ...scope, trigger })).toBe("x {{vars.base}}");
    expect(resolveValue("{{trigger.half}}base}}", { ...scope, trigger })).toBe("{{vars.base}}");
  });

  it("is a new value with untouched keys, whatever the depth", () => {
    const value = {
      list: ["{{trigger.customer.id}}", 1, null, { deep: "{{vars.base}}/x" }],
      "{{vars.base}}": false,
    };
    const before = structuredClone(value);
    expect(resolveValue(value, scope)).toEqual({
      list: [7, 1, null, { deep: "https://example.com/x" }],
      "{{vars.base}}": false,
    });
    expect(value).toEqual(before);
  });

  it("reaches own properties only", () => {
    for (const key of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
      expect(resolveValue(`{{trigger.${key}}}`, scope), key).toBeNull();
      expect(resolveValue(`{{vars.${key}}}`, scope), key).toBeNull();
      expect(resolveValue(`{{${key}}}`, scope), key).toBeNull();
      expect(resolveValue(`{{fetch.body.${key}.name}}`, scope), key).toBeNull();
    }
    expect(resolveValue("{{text.length}}", scope)).toBeNull();
    expect(resolveValue("{{process.env.PATH}}{{env.PATH}}", scope)).toBe("");
  });

  it("keeps a __proto__ key as a plain key", () => {
    const resolved = resolveValue(JSON.parse('{"__proto__":{"polluted":"{{trigger.customer.id}}"}}'), scope);
    expect(JSON.stringify(resolved)).toBe('{"__proto__":{"polluted":7}}');
    expect(Object.getPrototypeOf(resolved)).toBe(Object.prototype);
    expect({}).not.toHaveProperty("polluted");
  });

  it("cannot be made huge by a small document", () => {
    const big = "x".repeat(MAX_RESOLVED_CHARACTERS / 4);
    const fits = ["{{trigger}}", "{{trigger}}", "{{trigger}}"];
    const outgrown = [
      Array(5).fill("{{trigger}}"),
      "{{trigger}}".repeat(5),
      "{{trigger}}".repeat(1_000),
      { a: [Array(5).fill("{{trigger}}")] },
    ];
    expect(resolveValue(fits, { ...scope, trigger: big })).toHaveLength(3);
    for (const trigger of [big, [big], { [big]: 1 }, { a: { b: [big] } }]) {
      for (const value of outgrown) {
        expect(() => resolveValue(value, { ...scope, trigger })).toThrow(BlockError);
      }
    }
  });
});

describe("a secret", () => {
  const secrets = (name: string) => `<${name}>`;

  it("resolves only where the scope gives secrets", () => {
    expect(resolveValue("Bearer {{secrets.TOKEN}}", { ...scope, secrets })).toBe("Bearer <TOKEN>");
    expect(resolveValue("{{secrets.TOKEN}}", scope)).toBeNull();
    expect(resolveValue("Bearer {{secrets.TOKEN}}", scope)).toBe("Bearer ");
  });
});
