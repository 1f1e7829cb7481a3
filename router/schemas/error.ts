import { z } from "zod";

/** One row of the error table. */
export const ErrorEntry = z
  .object({
    code: z.string(),
    status: z.int().meta({ description: "HTTP status on both doors." }),
    message: z.string().meta({ description: "What is said when nothing more exact is known." }),
    remedy: z.string().meta({ description: "What the caller does next." }),
    retryable: z
      .boolean()
      .meta({ description: "Whether the same request may succeed later without a change." }),
    details: z.record(z.string(), z.string()).meta({ description: "Further fields of the body, by name." }),
  })
  .meta({ id: "ErrorEntry" });

/** Every error code; the list is short, so it has no pages. */
export const ErrorList = z.object({ data: z.array(ErrorEntry) }).meta({ id: "ErrorList" });
