/** What a person can say. */
export const decisions = ["approved", "rejected"] as const;
export type Decision = (typeof decisions)[number];

/** States of an approval as clients see them. */
export const approvalStates = ["pending", "approved", "rejected", "expired", "canceled"] as const;
export type ApprovalState = (typeof approvalStates)[number];

/** Who decides: a member, an API key of the organization, or the holder of a one-time link. */
export const speakerKinds = ["user", "api_key", "link"] as const;
export type SpeakerKind = (typeof speakerKinds)[number];

/** Members that have one of the roles or are named by user id or e-mail. */
export interface Approvers {
  readonly roles: string[];
  readonly members: string[];
}

/** Who speaks, and with whose voice: their own, or that of whoever made their link. */
export interface Speaker {
  readonly kind: SpeakerKind;
  /** Of the voice: a user id or an API key id. */
  readonly id: string;
  readonly name: string;
}

/** Somebody with a voice of their own. */
export interface Person extends Speaker {
  readonly kind: Exclude<SpeakerKind, "link">;
  /** Of a user, in lower case. */
  readonly email: string | null;
  /** Of a user in the organization. */
  readonly roles: readonly string[];
}

/** A decision as it is kept. */
export interface RecordedDecision {
  readonly by: Speaker;
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

/** Why the person may not decide, as a sentence, or null. */
export function objectionTo(person: Person, approval: ApprovalFacts): string | null {
  const { approvers, allowSelfApproval, startedBy } = approval;
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

/** Judges a decision by what is recorded; a voice counts once, whoever speaks with it. */
export function judge(
  approval: ApprovalFacts,
  recorded: readonly RecordedDecision[],
  speaker: Speaker,
  decision: Decision,
  now: Date,
): Verdict {
  const own = recorded.find(({ by }) => isSame(by, speaker))?.decision;
  // Members and keys read whose decision is kept; the holder of a link reads only that their own is.
  const said = own ?? (speaker.kind === "link" ? null : approval.state);
  if (said === decision) return { kind: "repeat" };
  const settles = decision === "rejected" || recorded.length + 1 >= approval.quorum;
  return refusalOf(approval, recorded, speaker, now) ?? { kind: "record", settles };
}

/** Why the speaker can say nothing more, or null: the approval is not pending, or the voice was heard before. */
export function refusalOf(
  approval: ApprovalFacts,
  recorded: readonly RecordedDecision[],
  speaker: Speaker,
  now: Date,
): Refusal | null {
  const heard = recorded.find(({ by }) => by.id === speaker.id);
  if (heard !== undefined && isSame(heard.by, speaker)) {
    return refuse("conflict", `You have ${heard.decision} this already; a decision cannot be changed.`);
  }
  const ended = endOf(approval, now);
  if (ended !== null || heard === undefined) return ended;
  return refuse(
    "conflict",
    `A link has the voice of whoever made it, and that voice has ${heard.decision} this already; another approver must decide.`,
  );
}

function isSame(by: Speaker, { kind, id, name }: Speaker): boolean {
  return by.kind === kind && by.id === id && (kind !== "link" || by.name === name);
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
