import { z } from "zod";
import { approvalStates, decisions, speakerKinds } from "../../server/approvals/approval-rules.js";
import { Id, Instant, pageInput, pageOf } from "./common.js";

const ApprovalState = z.enum(approvalStates).meta({ id: "ApprovalState" });

const ApprovalDecision = z
  .object({
    by: z.object({
      kind: z.enum(speakerKinds),
      id: z.string().meta({
        description: "User id or API key id; of a link that of whoever made it, whose voice it has.",
      }),
      name: z.string().meta({ description: "Of a link, of whom it was made for." }),
    }),
    decision: z.enum(decisions),
    note: z.string().nullable(),
    decidedAt: Instant,
  })
  .meta({ id: "ApprovalDecision" });

export const Approval = z
  .object({
    id: z.uuid(),
    workflowId: z.uuid(),
    runId: z.uuid(),
    blockId: z.string(),
    prompt: z.string(),
    details: z.unknown().meta({ description: "What the block shows beside the prompt; null for nothing." }),
    approvers: z
      .object({ roles: z.array(z.string()), members: z.array(z.string()) })
      .nullable()
      .meta({ description: "Who may decide; null: everybody and every key with approvals:write." }),
    quorum: z.int().min(1).meta({ description: "How many must approve; one rejection rejects." }),
    allowSelfApproval: z.boolean(),
    startedBy: z.string().meta({
      description:
        "The user who asked for the run, with an API key of theirs too; else the key, schedule or webhook.",
    }),
    state: ApprovalState.meta({ description: "canceled: the run ended before anybody decided." }),
    createdAt: Instant,
    expiresAt: Instant.nullable(),
    decidedAt: Instant.nullable().meta({ description: "When it stopped being pending." }),
    decisions: z.array(ApprovalDecision).meta({ description: "Oldest first." }),
  })
  .meta({ id: "Approval" });

export const ApprovalIdInput = z.object({ id: Id });

export const ListApprovalsInput = z.object({
  state: ApprovalState.optional(),
  runId: Id.optional(),
  ...pageInput,
});

export const ApprovalPage = pageOf(Approval);

export const DecideInput = z.object({
  id: Id,
  note: z.string().max(2_000).optional().meta({ description: "Why; the workflow and others can read it." }),
});

export const CreateLinkInput = z.object({
  id: Id,
  name: z.string().trim().min(1).max(100).meta({
    description: "Who the link is for; the decision is kept under this name.",
    example: "Grace Hopper",
  }),
  expiresInHours: z.number().positive().max(720).default(72).meta({
    description: "Never longer than the approval itself.",
  }),
});

export const ApprovalLink = z
  .object({
    url: z.url().meta({ description: "Shown here only." }),
    expiresAt: Instant,
  })
  .meta({ id: "ApprovalLink" });
