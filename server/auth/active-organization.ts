import { randomBytes } from "node:crypto";
import { type DBAdapter, type GenericEndpointContext, getCurrentAdapter } from "better-auth";

/** The path on which users come into being. */
const signUpPath = "/sign-up/email";
const setActivePath = "/organization/set-active";

/**
 * Chooses the organization that is active in a session that is about to be written: at sign-up a new personal one, at
 * sign-in the one the user joined first, none when the user is in none. Runs in better-auth's transaction, so that user,
 * organization, membership and session appear together or not at all.
 */
export async function chooseActiveOrganization(
  session: { readonly userId: string },
  context: GenericEndpointContext | null,
): Promise<{ data: { activeOrganizationId: string | null } } | undefined> {
  if (context === null) return undefined;
  const adapter = await getCurrentAdapter(context.context.adapter);
  const activeOrganizationId =
    context.path === signUpPath
      ? await createPersonalOrganization(adapter, session.userId)
      : await firstOrganization(adapter, session.userId);
  return { data: { activeOrganizationId } };
}

/**
 * Keeps the active organization when another one is refused: better-auth answers `set-active` for an organization the
 * user is not in with 403, but would first take the present one out of the session.
 */
export async function keepActiveOrganization(
  session: Readonly<Record<string, unknown>>,
  context: GenericEndpointContext | null,
): Promise<false | undefined> {
  const isUnset = context?.path === setActivePath && session.activeOrganizationId === null;
  const isWanted = context?.body?.organizationId === null;
  return isUnset && !isWanted ? false : undefined;
}

type Adapter = Pick<DBAdapter, "create" | "findOne" | "findMany">;

async function createPersonalOrganization(adapter: Adapter, userId: string): Promise<string> {
  const user = await adapter.findOne<{ name: string }>({
    model: "user",
    where: [{ field: "id", value: userId }],
  });
  const name = user?.name ?? "Personal";
  const createdAt = new Date();
  const organization = await adapter.create<Record<string, unknown>, { id: string }>({
    model: "organization",
    data: { name, slug: uniqueSlug(name), createdAt },
  });
  await adapter.create({
    model: "member",
    data: { organizationId: organization.id, userId, role: "owner", createdAt },
  });
  return organization.id;
}

async function firstOrganization(adapter: Adapter, userId: string): Promise<string | null> {
  const [membership] = await adapter.findMany<{ organizationId: string }>({
    model: "member",
    where: [{ field: "userId", value: userId }],
    sortBy: { field: "createdAt", direction: "asc" },
    limit: 1,
  });
  return membership?.organizationId ?? null;
}

/** A readable slug that nobody else has: the name in ASCII and 64 random bits. */
export function uniqueSlug(name: string): string {
  const readable = name
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40);
  return `${readable === "" ? "personal" : readable}-${randomBytes(8).toString("hex")}`;
}
