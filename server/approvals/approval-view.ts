import { type ApprovalState, type Approvers, type RecordedDecision, stateAt } from "./approval-rules.js";
import type { StoredApproval } from "./store.js";

/** An approval as clients read it. */
export interface Approval {
  readonly id: string;
  readonly workflowId: string;
  readonly runId: string;
  readonly blockId: string;
  readonly prompt: string;
  readonly details: unknown;
  readonly approvers: Approvers | null;
  readonly quorum: number;
  readonly allowSelfApproval: boolean;
  readonly startedBy: string;
  readonly state: ApprovalState;
  readonly createdAt: Date;
  readonly expiresAt: Date | null;
  readonly decidedAt: Date | null;
  readonly decisions: RecordedDecision[];
}

/** A stored approval as clients read it at an instant. */
export function toApproval(stored: StoredApproval, decisions: RecordedDecision[], now: Date): Approval {
  const { organizationId: _, wakeKey: __, ...shown } = stored;
  return { ...shown, state: stateAt(stored, now), decisions };
}
