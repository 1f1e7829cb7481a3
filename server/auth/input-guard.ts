import { APIError } from "better-auth/api";
import { z } from "zod";

const filterByDate = z.object({ filterField: z.literal("createdAt") });
const organizationFields = ["name", "slug", "logo", "metadata"] as const;
const OrganizationUpdate = z.object({ data: z.record(z.string(), z.unknown()) });

/** What better-auth's own schemas let pass and its queries cannot take. Throws 400 `VALIDATION_ERROR`. */
export async function refuseUnusableInput(input: {
  readonly path?: string | undefined;
  readonly query?: unknown;
  readonly body?: unknown;
}): Promise<void> {
  if (input.path === "/organization/list-members" && filterByDate.safeParse(input.query).success) {
    throw invalid("[query.filterField] members cannot be filtered by createdAt; use role or userId");
  }
  if (input.path === "/organization/update") {
    const update = OrganizationUpdate.safeParse(input.body);
    const isEmpty =
      update.success && organizationFields.every((field) => update.data.data[field] === undefined);
    if (isEmpty) throw invalid(`[body.data] send at least one of ${organizationFields.join(", ")}`);
  }
}

function invalid(message: string): APIError {
  return APIError.from("BAD_REQUEST", { code: "VALIDATION_ERROR", message });
}
