/** Adds a transform that gives the template, or its own id. */
export const add = (block_id: string, template: unknown = block_id) => ({
  operation_type: "add",
  block_id,
  type: "transform",
  params: { template },
});

/** Connects two blocks. */
export const join = (block_id: string, target_block_id: string, more = {}) => ({
  operation_type: "connect",
  block_id,
  target_block_id,
  ...more,
});
