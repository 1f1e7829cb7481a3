import * as schemas from "./schemas/approval.js";
import { procedure, router } from "./trpc.js";

const tags = ["approvals"];
const exampleApproval = {
  id: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b51",
  workflowId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4d",
  runId: "0198c5f2-7b1e-4a39-9d0e-3f5f6a1c2b4e",
  blockId: "refund",
  prompt: "Refund 99.50 to Ada?",
  details: { amount: 99.5 },
  approvers: { roles: ["owner", "admin"], members: [] },
  quorum: 1,
  allowSelfApproval: true,
  startedBy: "user_1",
  state: "pending",
  createdAt: "2026-11-22T09:00:00.000Z",
  expiresAt: "2026-11-24T09:00:00.000Z",
  decidedAt: null,
  decisions: [],
};
const decided = (decision: "approved" | "rejected", note: string) => ({
  ...exampleApproval,
  state: decision,
  decidedAt: "2026-11-22T09:05:00.000Z",
  decisions: [
    {
      by: { kind: "user", id: "user_2", name: "Grace Hopper" },
      decision,
      note,
      decidedAt: "2026-11-22T09:05:00.000Z",
    },
  ],
});

export const approvalsRouter = router({
  list: procedure
    .meta({
      permission: "approvals:read",
      openapi: {
        method: "GET",
        path: "/approvals",
        operationId: "listApprovals",
        summary: "List approvals",
        description: "Pending ones first, then newest first.",
        tags,
      },
      examples: { output: { data: [exampleApproval], pagination: { next: null, prev: null } } },
    })
    .input(schemas.ListApprovalsInput)
    .output(schemas.ApprovalPage)
    .query(({ ctx, input }) => ctx.services.approvals.list(ctx.principal, input)),

  get: procedure
    .meta({
      permission: "approvals:read",
      openapi: {
        method: "GET",
        path: "/approvals/{id}",
        operationId: "getApproval",
        summary: "Get an approval",
        description: "What is asked, of whom, and what was decided.",
        tags,
      },
      examples: { output: exampleApproval },
    })
    .input(schemas.ApprovalIdInput)
    .output(schemas.Approval)
    .query(({ ctx, input }) => ctx.services.approvals.get(ctx.principal, input.id)),

  approve: procedure
    .meta({
      permission: "approvals:write",
      errors: ["conflict", "expired"],
      openapi: {
        method: "POST",
        path: "/approvals/{id}/approve",
        operationId: "approve",
        summary: "Approve",
        description:
          "The run goes on once the quorum is met. The same decision again is fine; another one is a conflict, and one that comes after the timeout is expired.",
        tags,
      },
      examples: { body: { note: "Checked." }, output: decided("approved", "Checked.") },
    })
    .input(schemas.DecideInput)
    .output(schemas.Approval)
    .mutation(({ ctx, input: { id, note = null } }) =>
      ctx.services.approvals.decide(ctx.principal, id, { decision: "approved", note }),
    ),

  reject: procedure
    .meta({
      permission: "approvals:write",
      errors: ["conflict", "expired"],
      openapi: {
        method: "POST",
        path: "/approvals/{id}/reject",
        operationId: "reject",
        summary: "Reject",
        description:
          "One rejection rejects, and the run goes on. The same decision again is fine; another one is a conflict, and one that comes after the timeout is expired.",
        tags,
      },
      examples: { body: { note: "Too much." }, output: decided("rejected", "Too much.") },
    })
    .input(schemas.DecideInput)
    .output(schemas.Approval)
    .mutation(({ ctx, input: { id, note = null } }) =>
      ctx.services.approvals.decide(ctx.principal, id, { decision: "rejected", note }),
    ),

  createLink: procedure
    .meta({
      permission: "approvals:write",
      errors: ["conflict", "expired"],
      openapi: {
        method: "POST",
        path: "/approvals/{id}/links",
        operationId: "createApprovalLink",
        summary: "Make a one-time link",
        description:
          "A page on which one person without an account decides once, with the voice of whoever makes the link: the two count once together, however many links there are. It works as long as its maker may decide; send it to nobody else.",
        tags,
      },
      rest: { status: 201 },
      examples: {
        body: { name: "Grace Hopper", expiresInHours: 24 },
        output: {
          url: "https://flowkeep.example.com/approve/2vH4zYw0b6kq1T8sX9dLr3NfCgPjM5uEaQoV7iBtKlA",
          expiresAt: "2026-11-23T09:00:00.000Z",
        },
      },
    })
    .input(schemas.CreateLinkInput)
    .output(schemas.ApprovalLink)
    .mutation(({ ctx, input }) => ctx.services.approvals.createLink(ctx.principal, input)),
});
