/** The edit operations that build the workflow, as a program or a language model would send them. */
export const operations = [
  {
    operation_type: "configure",
    variables: { enrichmentUrl: "", salesTeam: "#sales" },
    settings: { deadlineMs: 7 * 86_400_000 },
  },
  { operation_type: "add", block_id: "lead", type: "trigger_webhook", name: "A lead comes in" },
  {
    operation_type: "add",
    block_id: "enrich",
    type: "http",
    name: "Look the company up",
    params: { url: "{{vars.enrichmentUrl}}/companies/{{trigger.domain}}" },
    retry: { maxAttempts: 4, initialMs: 100 },
  },
  {
    operation_type: "add",
    block_id: "size",
    type: "condition",
    name: "How large is it?",
    params: {
      branches: [
        { name: "unknown", when: "enrich.status != 200" },
        { name: "enterprise", when: "enrich.body.employees >= 1000" },
        { name: "growing", when: "enrich.body.employees >= 50" },
      ],
    },
  },
  {
    operation_type: "add",
    block_id: "approve",
    type: "human_approval",
    name: "Worth a call?",
    params: {
      prompt:
        "{{enrich.body.name}} has {{enrich.body.employees}} people. Shall {{trigger.contacts[0].name}} get a call?",
      details: "{{enrich.body}}",
      approvers: { roles: ["owner", "admin"] },
      timeoutHours: 48,
      onTimeout: "reject",
    },
  },
  {
    operation_type: "add",
    block_id: "tell_sales",
    type: "slack",
    name: "Tell sales",
    params: {
      channel: "{{vars.salesTeam}}",
      text: "Call {{trigger.contacts[0].name}} at {{enrich.body.name}}. {{approve.note}}",
    },
  },
  {
    operation_type: "add",
    block_id: "each_contact",
    type: "for_each",
    name: "Every contact",
    params: { items: "{{trigger.contacts}}", parallelism: 2, onItemError: "skip" },
  },
  {
    operation_type: "add",
    block_id: "write",
    type: "email",
    name: "Write an e-mail",
    params: {
      from: "hello@flowkeep.example",
      to: "{{each_contact.item.email}}",
      subject: "Thank you, {{each_contact.item.name}}",
      text: "Hello {{each_contact.item.name}}, we would love to hear more about {{enrich.body.name}}.",
    },
  },
  {
    operation_type: "add",
    block_id: "unknown_company",
    type: "transform",
    name: "Remember for later",
    params: { template: { domain: "{{trigger.domain}}", why: "{{enrich.body.message}}" } },
  },
  {
    operation_type: "add",
    block_id: "report",
    type: "transform",
    name: "Report",
    params: {
      expression:
        '{ "company": enrich.body.name, "route": size.branch, "called": tell_sales.ok = true, "written": each_contact.succeeded }',
    },
  },
  { operation_type: "connect", block_id: "lead", target_block_id: "enrich" },
  { operation_type: "connect", block_id: "enrich", target_block_id: "size" },
  {
    operation_type: "connect",
    block_id: "size",
    target_block_id: "unknown_company",
    source_handle: "unknown",
  },
  { operation_type: "connect", block_id: "size", target_block_id: "approve", source_handle: "enterprise" },
  { operation_type: "connect", block_id: "size", target_block_id: "each_contact", source_handle: "growing" },
  {
    operation_type: "connect",
    block_id: "approve",
    target_block_id: "tell_sales",
    source_handle: "approved",
  },
  {
    operation_type: "connect",
    block_id: "approve",
    target_block_id: "each_contact",
    source_handle: "rejected",
  },
  {
    operation_type: "connect",
    block_id: "approve",
    target_block_id: "each_contact",
    source_handle: "timed_out",
  },
  { operation_type: "connect", block_id: "each_contact", target_block_id: "write", source_handle: "each" },
  { operation_type: "connect", block_id: "tell_sales", target_block_id: "report" },
  { operation_type: "connect", block_id: "each_contact", target_block_id: "report" },
];
