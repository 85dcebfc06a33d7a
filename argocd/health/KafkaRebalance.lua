-- The state of a rebalance is the type of its condition. A template is never run itself.
local annotations = obj.metadata.annotations or {}
local status = obj.status or {}
local generation = obj.metadata.generation

if annotations["strimzi.io/rebalance-template"] == "true" then
  return { status = "Healthy", message = "a template" }
end

local health = {
  New = "Progressing",
  PendingProposal = "Progressing",
  Rebalancing = "Progressing",
  ProposalReady = "Suspended",
  Stopped = "Suspended",
  ReconciliationPaused = "Suspended",
  Ready = "Healthy",
  NotReady = "Degraded",
}

local found = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" and health[condition.type] ~= nil then
    if found == nil or condition.type == "ReconciliationPaused" then
      found = condition
    end
  end
end

if found ~= nil and found.type == "ReconciliationPaused" then
  return { status = "Suspended", message = "reconciliation is paused by annotation" }
end

if generation ~= nil and status.observedGeneration ~= generation then
  return { status = "Progressing", message = "the operator has not seen this generation" }
end

if found == nil then
  return { status = "Progressing", message = "waiting for a proposal" }
end

if found.type == "ProposalReady" then
  if annotations["strimzi.io/rebalance-auto-approval"] == "true" then
    return { status = "Progressing", message = "approves itself" }
  end
  return {
    status = "Suspended",
    message = "waits for the annotation strimzi.io/rebalance: approve",
  }
end

return { status = health[found.type], message = found.message or found.type }
