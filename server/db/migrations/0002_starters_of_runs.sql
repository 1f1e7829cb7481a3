ALTER TABLE "apikey" ADD COLUMN "created_by" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "requested_by" text;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "requested_by" text;