import { describeErrors } from "../server/errors/describe-errors.js";
import { ErrorList } from "./schemas/error.js";
import { publicProcedure, router } from "./trpc.js";

const exampleEntry = {
  code: "version_mismatch",
  status: 412,
  message: "The workflow was changed since the version you sent.",
  remedy: "Read the workflow again and retry with its version.",
  retryable: false,
  details: { current: "The version now, an integer." },
};

/** The error table, for programs and people. */
export const errorsRouter = router({
  list: publicProcedure
    .meta({
      openapi: {
        method: "GET",
        path: "/errors",
        operationId: "listErrors",
        summary: "List error codes",
        description: "Every stable error code with its status and remedy. No credentials are needed.",
        tags: ["errors"],
      },
      examples: { output: { data: [exampleEntry] } },
    })
    .output(ErrorList)
    .query(() => ({ data: describeErrors() })),
});
