import { z } from "zod";
import type { ApprovalService } from "../../approvals/service.js";
import { type AwaitConnector, BlockError, type JsonObject } from "../define-connector.js";
import { TimeoutHours, toTimeoutMs } from "./timeout-hours.js";

/** Largest `details`, in bytes of JSON. */
const MAX_DETAILS_BYTES = 65_536;

const Approvers = z.strictObject({
  roles: z
    .array(z.enum(["owner", "admin", "member"]))
    .max(3)
    .optional()
    .meta({ description: "Roles in the organization." }),
  members: z
    .array(z.string().min(1).max(320))
    .max(100)
    .optional()
    .meta({ description: "Members by user id or e-mail." }),
});

const Params = z
  .object({
    prompt: z.string().min(1).max(4_000).meta({ title: "Prompt", description: "What is asked." }),
    details: z
      .unknown()
      .meta({
        title: "Details",
        description: "Any JSON value that approvers see beside the prompt; 64 KiB at most.",
      })
      .optional(),
    approvers: Approvers.optional().meta({
      title: "Approvers",
      description:
        "Who may decide: members with one of the roles or named. API keys may not then. Absent: everybody and every key with approvals:write.",
    }),
    quorum: z.int().min(1).max(100).default(1).meta({
      title: "Quorum",
      description: "How many different people must approve. One rejection rejects.",
    }),
    allowSelfApproval: z.boolean().default(true).meta({
      title: "Allow self-approval",
      description:
        "Whether whoever started the run may decide on it. When not, API keys may not decide either: they do not tell who uses them.",
    }),
    timeoutHours: TimeoutHours.positive().optional().meta({
      title: "Timeout (hours)",
      description: "How long to wait at most; fractions are fine. Absent: one year.",
    }),
    onTimeout: z.enum(["continue", "reject", "approve", "fail"]).default("continue").meta({
      title: "On timeout",
      description:
        "What a timeout counts as. continue: not approved, exit timed_out. reject: a rejection, exit rejected. approve: an approval, exit approved. fail: the block fails with approval_timed_out. The output says timedOut in any case.",
    }),
  })
  .superRefine(({ approvers, quorum }, context) => {
    if (approvers === undefined || (approvers.roles?.length ?? 0) > 0) return;
    const named = new Set(approvers.members).size;
    if (named >= Math.max(1, quorum)) return;
    context.addIssue({
      code: "custom",
      path: ["approvers", "members"],
      message: `must name at least ${quorum} (the quorum), because no role may approve`,
    });
  });
type Params = z.output<typeof Params>;

const Outcome = z.enum(["approved", "rejected", "timed_out"]);
type Outcome = z.output<typeof Outcome>;

const Outputs = z.object({
  approved: z.boolean(),
  outcome: Outcome.describe("The exit that is taken."),
  by: z
    .string()
    .nullable()
    .describe("Names of those whose decisions settled it, joined by a comma; null after a timeout."),
  note: z.string().nullable().describe("The note of the decision that settled it."),
  timedOut: z.boolean(),
  decisions: z
    .array(
      z.object({
        by: z.object({ kind: z.enum(["user", "api_key", "link"]), id: z.string(), name: z.string() }),
        decision: z.enum(["approved", "rejected"]),
        note: z.string().nullable(),
        decidedAt: z.iso.datetime(),
      }),
    )
    .describe("Everything that was said, oldest first."),
});

const onTimeout: Record<Exclude<Params["onTimeout"], "fail">, Outcome> = {
  continue: "timed_out",
  reject: "rejected",
  approve: "approved",
};

/** Asks people for a decision and waits for it. */
export function humanApproval(approvals: Pick<ApprovalService, "request" | "conclude">): AwaitConnector {
  return {
    kind: "wait",
    type: "human_approval",
    name: "Approval",
    description:
      "Asks people to approve or reject and waits for their decision: POST /api/approvals/{id}/approve or /reject, or a one-time link.",
    category: "people",
    params: Params,
    outputs: Outputs,
    examples: [
      {
        title: "Let two managers approve within two days",
        params: {
          prompt: "Refund {{trigger.amount}} to {{trigger.customer}}?",
          approvers: { roles: ["owner", "admin"] },
          quorum: 2,
          timeoutHours: 48,
        },
      },
    ],
    exits: {
      of: () => Outcome.options,
      taken: ({ outcome }) => [String(outcome)],
    },
    open: (params, context) => {
      const { prompt, details = null, approvers, quorum, allowSelfApproval, timeoutHours } = params as Params;
      requireSmall(details);
      return approvals.request(context, {
        prompt,
        details,
        approvers:
          approvers === undefined ? null : { roles: approvers.roles ?? [], members: approvers.members ?? [] },
        quorum,
        allowSelfApproval,
        timeoutMs: toTimeoutMs(timeoutHours),
      });
    },
    close: async (params, context) => toOutput(params as Params, await approvals.conclude(context)),
  };
}

function requireSmall(details: unknown): void {
  const size = Buffer.byteLength(JSON.stringify(details));
  if (size <= MAX_DETAILS_BYTES) return;
  throw new BlockError(
    "details_too_large",
    `details: has ${size} bytes as JSON; show at most ${MAX_DETAILS_BYTES}, or a link to the rest.`,
  );
}

function toOutput(
  params: Params,
  { state, decisions }: Awaited<ReturnType<ApprovalService["conclude"]>>,
): JsonObject {
  if (state === "canceled") {
    throw new BlockError("approval_canceled", "The run ended before the approval was decided.");
  }
  const timedOut = state === "expired";
  if (timedOut && params.onTimeout === "fail") {
    throw new BlockError(
      "approval_timed_out",
      "Nobody decided in time; give timeoutHours more or ask sooner.",
    );
  }
  const outcome = timedOut && params.onTimeout !== "fail" ? onTimeout[params.onTimeout] : state;
  const settling = timedOut ? [] : decisions.filter(({ decision }) => decision === state);
  return {
    approved: outcome === "approved",
    outcome,
    by: timedOut ? null : settling.map(({ by }) => by.name).join(", "),
    note: settling.at(-1)?.note ?? null,
    timedOut,
    decisions: decisions.map((each) => ({ ...each, decidedAt: each.decidedAt.toISOString() })),
  };
}
