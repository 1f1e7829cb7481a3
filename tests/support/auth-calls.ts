import type { Answer } from "./client.js";
import { send } from "./client.js";
import { type SignedUp, signUp } from "./sign-up.js";

/** Sends one auth request, with the session token when a session is given. */
export function callAuth(
  url: string,
  session: Pick<SignedUp, "token"> | null,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return send(url, session?.token ?? null, method, `/api/auth${path}`, body, headers);
}

/** A new user who was invited into the owner's organization, has accepted, and acts in it. */
export async function joinOrganization(
  url: string,
  owner: SignedUp,
  role = "member",
  name = "Grace Hopper",
): Promise<SignedUp> {
  const { organizationId } = owner;
  const guest = await signUp(url, { name });
  const invitation = await callAuth(url, owner, "POST", "/organization/invite-member", {
    email: guest.email,
    role,
    organizationId,
  });
  const accepted = await callAuth(url, guest, "POST", "/organization/accept-invitation", {
    invitationId: invitation.body.id,
  });
  if (accepted.status !== 200) throw new Error(`accept-invitation answered ${accepted.status}`);
  return { ...guest, organizationId };
}
