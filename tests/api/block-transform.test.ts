import { describe, expect, it } from "vitest";
import { useClient, useTestServer } from "../support/server-hooks.js";
import { connect, runDocument, transform, trigger } from "../support/workflows.js";

const client = useClient(useTestServer());

describe("transform", () => {
  const input = { name: "Ada", n: 5, yes: true, list: [1, { deep: "x" }], object: { a: null }, empty: "" };
  const resultOf = async (template: unknown, variables = {}) => {
    const run = await runDocument(
      client,
      { blocks: [trigger, transform("t", template)], connections: connect("start>t"), variables },
      input,
    );
    expect(run).toMatchObject({ state: "completed", error: null });
    return run.output.outputs.t.result;
  };

  it("keeps the type of a value where a text is one reference", async () => {
    expect(
      await resultOf({
        text: "{{trigger.name}}",
        number: "{{ trigger.n }}",
        boolean: "{{trigger.yes}}",
        list: "{{trigger.list}}",
        object: "{{start.object}}",
        step: "{{trigger.list[1].deep}}",
        whole: ["{{trigger}}"],
      }),
    ).toEqual({
      text: "Ada",
      number: 5,
      boolean: true,
      list: [1, { deep: "x" }],
      object: { a: null },
      step: "x",
      whole: [input],
    });
  });

  it("puts values into longer text: texts as they are, anything else as JSON, nothing for null", async () => {
    expect(
      await resultOf(
        "{{trigger.name}} {{trigger.n}} {{trigger.yes}} {{trigger.list}} [{{trigger.object.a}}]",
      ),
    ).toBe('Ada 5 true [1,{"deep":"x"}] []');
  });

  it("gives null for a path that is not there, and nothing inside longer text", async () => {
    expect(
      await resultOf(["{{trigger.nope.deeper}}", "<{{trigger.nope}}>", "{{trigger.name.length}}"]),
    ).toEqual([null, "<>", null]);
  });

  it("reads variables, and never reads what it put in as a template", async () => {
    const variables = { limit: 3, trick: "{{trigger.name}}", nested: { a: [10, 20] } };
    expect(
      await resultOf(
        ["{{vars.limit}}", "{{vars.trick}}", "<{{vars.trick}}>", "{{vars.nested.a[1]}}"],
        variables,
      ),
    ).toEqual([3, "{{trigger.name}}", "<{{trigger.name}}>", 20]);
  });

  it("knows blocks by name, spaces included, and an id before a name", async () => {
    const run = await runDocument(client, {
      blocks: [
        transform("first", 1, { name: "My first block" }),
        transform("second", 2, { name: "first" }),
        transform(
          "all",
          "{{My first block.result}} {{ first.result }} {{second.result}} {{My first block['result']}}",
        ),
      ],
      connections: connect("first>second>all"),
    });
    expect(run.output.outputs.all).toEqual({ result: "1 1 2 1" });
  });

  it("does not reach what is not the value's own", async () => {
    expect(
      await resultOf(
        ["{{trigger.constructor}}", "{{trigger.__proto__}}", "{{trigger.list.length}}", "{{vars.list.map}}"],
        {
          list: { map: 1 },
        },
      ),
    ).toEqual([null, null, 2, 1]);
  });
});
