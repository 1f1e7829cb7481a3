CREATE TABLE "approval_decisions" (
	"approval_id" uuid NOT NULL,
	"person_kind" text NOT NULL,
	"person_id" text NOT NULL,
	"person_name" text NOT NULL,
	"decision" text NOT NULL,
	"note" text,
	"decided_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "approval_decisions_approval_id_person_kind_person_id_pk" PRIMARY KEY("approval_id","person_kind","person_id")
);
--> statement-breakpoint
CREATE TABLE "approval_links" (
	"token_hash" text PRIMARY KEY NOT NULL,
	"approval_id" uuid NOT NULL,
	"name" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "approvals" (
	"id" uuid PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"workflow_id" uuid NOT NULL,
	"run_id" uuid NOT NULL,
	"block_id" text NOT NULL,
	"wake_key" text NOT NULL,
	"prompt" text NOT NULL,
	"details" json NOT NULL,
	"approvers" json,
	"quorum" integer NOT NULL,
	"allow_self_approval" boolean NOT NULL,
	"started_by" text NOT NULL,
	"state" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"decided_at" timestamp (3) with time zone,
	CONSTRAINT "approvals_wake_key_unique" UNIQUE("wake_key")
);
--> statement-breakpoint
CREATE TABLE "secrets" (
	"organization_id" text NOT NULL,
	"name" text NOT NULL,
	"key_id" text NOT NULL,
	"sealed" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"updated_by" text NOT NULL,
	CONSTRAINT "secrets_organization_id_name_pk" PRIMARY KEY("organization_id","name")
);
--> statement-breakpoint
CREATE TABLE "signal_waits" (
	"wake_key" text PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"run_id" uuid NOT NULL,
	"block_id" text NOT NULL,
	"name" text NOT NULL,
	"correlation_key" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone,
	"signal_id" uuid,
	"closed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "signals" (
	"id" uuid PRIMARY KEY NOT NULL,
	"position" bigint GENERATED ALWAYS AS IDENTITY (sequence name "signals_position_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1),
	"organization_id" text NOT NULL,
	"name" text NOT NULL,
	"correlation_key" text NOT NULL,
	"payload" json NOT NULL,
	"delivered_to" uuid[] NOT NULL,
	"idempotency_key" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL,
	"consumed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "webhook_deliveries" (
	"id" uuid PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"webhook_id" text NOT NULL,
	"verdict" text NOT NULL,
	"reason" text,
	"delivery_key" text,
	"holds_key" boolean NOT NULL,
	"repeats" uuid,
	"run_id" uuid,
	"content_type" text,
	"headers" json NOT NULL,
	"query" json NOT NULL,
	"body" "bytea" NOT NULL,
	"body_bytes" integer NOT NULL,
	"remote_address" text,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhooks" (
	"id" text PRIMARY KEY NOT NULL,
	"organization_id" text NOT NULL,
	"workflow_id" uuid NOT NULL,
	"workflow_version" integer,
	"name" text NOT NULL,
	"verification" json NOT NULL,
	"secret" json,
	"previous_secret" json,
	"previous_secret_ends_at" timestamp (3) with time zone,
	"is_enabled" boolean NOT NULL,
	"stopped_reason" text,
	"input_mapping" json,
	"filter" text,
	"delivery_key" text,
	"allows_wait" boolean NOT NULL,
	"rate_limit_per_minute" integer NOT NULL,
	"version" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	"created_by" text NOT NULL
);
--> statement-breakpoint
DROP INDEX "runs_organization_created_idx";--> statement-breakpoint
DROP INDEX "runs_workflow_created_idx";--> statement-breakpoint
DROP INDEX "runs_state_created_idx";--> statement-breakpoint
DROP INDEX "schedules_organization_created_idx";--> statement-breakpoint
DROP INDEX "workflows_organization_created_idx";--> statement-breakpoint
ALTER TABLE "schedule_occurrences" DROP CONSTRAINT "schedule_occurrences_organization_id_schedule_id_scheduled_for_pk";--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ALTER COLUMN "fired_at" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "depth" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "parent_wait" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "failure_workflow_id" text;--> statement-breakpoint
ALTER TABLE "runs" ADD COLUMN "failure_run_id" uuid;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "id" uuid PRIMARY KEY DEFAULT gen_random_uuid() NOT NULL;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "kind" text DEFAULT 'calendar' NOT NULL;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "intent" text;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "attempts" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "next_attempt_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "awaits_run_id" uuid;--> statement-breakpoint
ALTER TABLE "schedule_occurrences" ADD COLUMN "overlap" text;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "gap" text DEFAULT 'next' NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "fold" text DEFAULT 'first' NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "note" text;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "overlap" text DEFAULT 'allow' NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "catchup_mode" text DEFAULT 'latest' NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "catchup_window_seconds" integer;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "catchup_max" integer DEFAULT 100 NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "max_runs" integer;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "run_count" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "jitter_seconds" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "next_scheduled_for" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "schedules" ADD COLUMN "version" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "approval_decisions" ADD CONSTRAINT "approval_decisions_approval_id_approvals_id_fk" FOREIGN KEY ("approval_id") REFERENCES "public"."approvals"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approval_links" ADD CONSTRAINT "approval_links_approval_id_approvals_id_fk" FOREIGN KEY ("approval_id") REFERENCES "public"."approvals"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "approvals" ADD CONSTRAINT "approvals_organization_id_organization_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organization"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "secrets" ADD CONSTRAINT "secrets_organization_id_organization_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organization"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "signal_waits" ADD CONSTRAINT "signal_waits_organization_id_organization_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organization"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "signals" ADD CONSTRAINT "signals_organization_id_organization_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organization"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_webhook_id_webhooks_id_fk" FOREIGN KEY ("webhook_id") REFERENCES "public"."webhooks"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhooks" ADD CONSTRAINT "webhooks_organization_id_organization_id_fk" FOREIGN KEY ("organization_id") REFERENCES "public"."organization"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhooks" ADD CONSTRAINT "webhooks_workflow_id_workflows_id_fk" FOREIGN KEY ("workflow_id") REFERENCES "public"."workflows"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "approval_links_approval_idx" ON "approval_links" USING btree ("approval_id");--> statement-breakpoint
CREATE INDEX "approvals_inbox_idx" ON "approvals" USING btree ("organization_id",(state = 'pending'),"created_at","id");--> statement-breakpoint
CREATE INDEX "approvals_state_idx" ON "approvals" USING btree ("organization_id","state","created_at","id");--> statement-breakpoint
CREATE INDEX "approvals_run_idx" ON "approvals" USING btree ("organization_id","run_id");--> statement-breakpoint
CREATE INDEX "approvals_engine_run_idx" ON "approvals" USING btree (split_part(wake_key, ':', 1)) WHERE state = 'pending';--> statement-breakpoint
CREATE INDEX "secrets_organization_created_idx" ON "secrets" USING btree ("organization_id","created_at","name");--> statement-breakpoint
CREATE INDEX "signal_waits_open_idx" ON "signal_waits" USING btree ("organization_id","name","correlation_key") WHERE signal_id is null and closed_at is null;--> statement-breakpoint
CREATE INDEX "signal_waits_engine_run_idx" ON "signal_waits" USING btree (split_part(wake_key, ':', 1)) WHERE closed_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX "signals_idempotency_idx" ON "signals" USING btree ("organization_id","idempotency_key") WHERE idempotency_key is not null;--> statement-breakpoint
CREATE INDEX "signals_buffered_idx" ON "signals" USING btree ("organization_id","name","correlation_key","position") WHERE consumed_at is null;--> statement-breakpoint
CREATE INDEX "signals_expiry_idx" ON "signals" USING btree ("organization_id","expires_at") WHERE consumed_at is null;--> statement-breakpoint
CREATE INDEX "webhook_deliveries_created_idx" ON "webhook_deliveries" USING btree ("webhook_id","created_at","id");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_verdict_idx" ON "webhook_deliveries" USING btree ("webhook_id","verdict","created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_deliveries_key_idx" ON "webhook_deliveries" USING btree ("webhook_id","delivery_key") WHERE holds_key;--> statement-breakpoint
CREATE INDEX "webhooks_organization_created_idx" ON "webhooks" USING btree ("organization_id","created_at","id");--> statement-breakpoint
CREATE INDEX "webhooks_workflow_idx" ON "webhooks" USING btree ("workflow_id");--> statement-breakpoint
CREATE INDEX "runs_active_scheduled_idx" ON "runs" USING btree ("organization_id","created_by") WHERE trigger_kind = 'schedule' and state in ('pending', 'running', 'waiting');--> statement-breakpoint
CREATE UNIQUE INDEX "runs_parent_wait_idx" ON "runs" USING btree ("parent_wait") WHERE parent_wait is not null;--> statement-breakpoint
CREATE INDEX "runs_failure_due_idx" ON "runs" USING btree ("finished_at") WHERE state = 'failed' and failure_workflow_id is not null and failure_run_id is null;--> statement-breakpoint
CREATE INDEX "schedule_occurrences_scheduled_idx" ON "schedule_occurrences" USING btree ("organization_id","schedule_id","scheduled_for","id");--> statement-breakpoint
CREATE UNIQUE INDEX "schedule_occurrences_instant_idx" ON "schedule_occurrences" USING btree ("organization_id","schedule_id","scheduled_for") WHERE kind = 'calendar';--> statement-breakpoint
CREATE INDEX "schedule_occurrences_due_idx" ON "schedule_occurrences" USING btree ("next_attempt_at") WHERE next_attempt_at is not null;--> statement-breakpoint
CREATE INDEX "schedule_occurrences_awaiting_idx" ON "schedule_occurrences" USING btree ("awaits_run_id") WHERE awaits_run_id is not null;--> statement-breakpoint
CREATE INDEX "schedule_occurrences_pending_idx" ON "schedule_occurrences" USING btree ("organization_id","schedule_id","scheduled_for") WHERE outcome = 'pending';--> statement-breakpoint
CREATE INDEX "runs_organization_created_idx" ON "runs" USING btree ("organization_id","created_at","id");--> statement-breakpoint
CREATE INDEX "runs_workflow_created_idx" ON "runs" USING btree ("organization_id","workflow_id","created_at","id");--> statement-breakpoint
CREATE INDEX "runs_state_created_idx" ON "runs" USING btree ("organization_id","state","created_at","id");--> statement-breakpoint
CREATE INDEX "schedules_organization_created_idx" ON "schedules" USING btree ("organization_id","created_at","id");--> statement-breakpoint
CREATE INDEX "workflows_organization_created_idx" ON "workflows" USING btree ("organization_id","created_at","id") WHERE removed_at is null;