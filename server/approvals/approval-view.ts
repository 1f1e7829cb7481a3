import {
  type ApprovalState,
  type Approvers,
  type Decision,
  type PersonKind,
  type RecordedDecision,
  stateAt,
} from "./approval-rules.js";
import type { StoredApproval } from "./store.js";

/** A decision as clients read it. */
export interface DecisionView {
  readonly by: { readonly kind: PersonKind; readonly id: string; readonly name: string };
  readonly decision: Decision;
  readonly note: string | null;
  readonly decidedAt: Date;
}

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
  readonly decisions: DecisionView[];
}

/** A recorded decision as clients read it. */
export function toDecisionView({
  personKind,
  personId,
  personName,
  ...rest
}: RecordedDecision): DecisionView {
  return { by: { kind: personKind, id: personId, name: personName }, ...rest };
}

/** A stored approval as clients read it at an instant. */
export function toApproval(
  stored: StoredApproval,
  recorded: readonly RecordedDecision[] = [],
  now: Date,
): Approval {
  const { organizationId: _, wakeKey: __, ...shown } = stored;
  return { ...shown, state: stateAt(stored, now), decisions: recorded.map(toDecisionView) };
}
