/** What a person can say. */
export const decisions = ["approved", "rejected"] as const;
export type Decision = (typeof decisions)[number];

/** States of an approval as clients see them. */
export const approvalStates = ["pending", "approved", "rejected", "expired", "canceled"] as const;
export type ApprovalState = (typeof approvalStates)[number];

/** Who decides: a member, an API key of the organization, or the holder of a one-time link. */
export const personKinds = ["user", "api_key", "link"] as const;
export type PersonKind = (typeof personKinds)[number];

/** Members that have one of the roles or are named by user id or e-mail. */
export interface Approvers {
  readonly roles: string[];
  readonly members: string[];
}

/** Somebody who wants to decide. */
export interface Person {
  readonly kind: PersonKind;
  /** User id, API key id or `link:<name>`. */
  readonly id: string;
  readonly name: string;
  /** Of a user, in lower case. */
  readonly email: string | null;
  readonly roles: readonly string[];
}

/** A decision as it is kept. */
export interface RecordedDecision {
  readonly personKind: PersonKind;
  readonly personId: string;
  readonly personName: string;
  readonly decision: Decision;
  readonly note: string | null;
  readonly decidedAt: Date;
}

/** What the rules need to know of an approval. */
export interface ApprovalFacts {
  readonly approvers: Approvers | null;
  readonly quorum: number;
  readonly allowSelfApproval: boolean;
  readonly startedBy: string;
  /** As it is stored; a pending one whose time has passed counts as expired, see `stateAt`. */
  readonly state: ApprovalState;
  readonly expiresAt: Date | null;
}

/** The state at an instant: the time may have passed before the run notices. */
export function stateAt({ state, expiresAt }: ApprovalFacts, now: Date): ApprovalState {
  return state === "pending" && expiresAt !== null && expiresAt <= now ? "expired" : state;
}

/** Why the person may not decide, as a sentence, or null. Holders of a link were chosen by one who may. */
export function objectionTo(person: Person, approval: ApprovalFacts): string | null {
  const { approvers, allowSelfApproval, startedBy } = approval;
  if (person.kind === "link") return null;
  if (person.kind === "api_key") {
    if (approvers !== null) return "This approval is reserved for people; sign in as one of its approvers.";
    if (!allowSelfApproval) {
      return "Whoever started the run may not decide on it, and an API key does not tell who uses it; sign in.";
    }
    return null;
  }
  if (!allowSelfApproval && person.id === startedBy) {
    return "You started the run, and this approval does not allow self-approval; ask somebody else to decide.";
  }
  if (approvers === null || isAmong(person, approvers)) return null;
  return `Only ${describeApprovers(approvers)} may decide on this approval.`;
}

function isAmong({ id, email, roles }: Person, approvers: Approvers): boolean {
  return (
    approvers.roles.some((role) => roles.includes(role)) ||
    approvers.members.some((member) => member === id || (email !== null && member.toLowerCase() === email))
  );
}

function describeApprovers({ roles, members }: Approvers): string {
  const named = members.length > 0 ? ["the members it names"] : [];
  const byRole = roles.length > 0 ? [`members with the role ${roles.join(" or ")}`] : [];
  return [...byRole, ...named].join(" and ");
}

/** Why something is refused. */
export interface Refusal {
  readonly kind: "refuse";
  readonly code: "conflict" | "expired";
  readonly message: string;
}

/**
 * What follows when somebody who may decide says something: `repeat` changes nothing and is fine, `record` keeps the
 * decision, and with `settles` it decides the approval. A rejection settles at once, approvals when the quorum is met.
 */
export type Verdict =
  | { readonly kind: "repeat" }
  | { readonly kind: "record"; readonly settles: boolean }
  | Refusal;

/** Judges a decision by what is recorded. */
export function judge(
  approval: ApprovalFacts,
  recorded: readonly RecordedDecision[],
  person: Pick<Person, "kind" | "id">,
  decision: Decision,
  now: Date,
): Verdict {
  const own = decisionOf(person, recorded);
  if (own !== null) return own === decision ? { kind: "repeat" } : alreadySaid(own);
  const ended = endOf(approval, now);
  if (ended === null) {
    return { kind: "record", settles: decision === "rejected" || recorded.length + 1 >= approval.quorum };
  }
  return approval.state === decision ? { kind: "repeat" } : ended;
}

/** What a person has said, or null. */
export function decisionOf(
  { kind, id }: Pick<Person, "kind" | "id">,
  recorded: readonly RecordedDecision[],
): Decision | null {
  return recorded.find((each) => each.personKind === kind && each.personId === id)?.decision ?? null;
}

/** The refusal of somebody who has decided before. */
export function alreadySaid(decision: Decision): Refusal {
  return refuse("conflict", `You have ${decision} this already; a decision cannot be changed.`);
}

/** Why nothing can be decided any more, or null while the approval is pending. */
export function endOf(approval: ApprovalFacts, now: Date): Refusal | null {
  const state = stateAt(approval, now);
  switch (state) {
    case "pending":
      return null;
    case "expired":
      return refuse("expired", "The time to decide on this approval has passed.");
    case "canceled":
      return refuse("conflict", "The run has ended without this approval, so nothing is left to decide.");
    default:
      return refuse("conflict", `This approval was ${state} already.`);
  }
}

function refuse(code: Refusal["code"], message: string): Refusal {
  return { kind: "refuse", code, message };
}
