-- Strimzi's kinds that end in a condition Ready: Kafka, KafkaTopic, KafkaUser.
-- Argo CD's own scripts believe a status of an older generation, and miss Ready=False,
-- which is how the topic operator says that it failed.
local status = obj.status or {}
local generation = obj.metadata.generation

local held = {}
local warning = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Warning" then
    warning = condition.message
  elseif condition.type ~= nil then
    held[condition.type] = condition
  end
end

local function is(type, value)
  return held[type] ~= nil and held[type].status == value
end

local function said(type, otherwise)
  return held[type].message or held[type].reason or otherwise
end

-- A paused resource is not reconciled, so its generation says nothing.
if is("ReconciliationPaused", "True") then
  return { status = "Suspended", message = "reconciliation is paused by annotation" }
end

if generation ~= nil and status.observedGeneration ~= generation then
  return { status = "Progressing", message = "the operator has not seen this generation" }
end

if is("Unmanaged", "True") then
  return { status = "Suspended", message = "not managed by the operator" }
end

if is("NotReady", "True") then
  if held.NotReady.reason == "Creating" then
    return { status = "Progressing", message = said("NotReady", "being created") }
  end
  return { status = "Degraded", message = said("NotReady", "not ready") }
end

if is("Ready", "False") then
  return { status = "Degraded", message = said("Ready", "not ready") }
end

if is("Ready", "True") then
  local change = status.replicasChange
  if change ~= nil and change.state ~= nil then
    return { status = "Progressing", message = "change of replicas is " .. change.state }
  end
  return { status = "Healthy", message = warning or "" }
end

return { status = "Progressing", message = "waiting for the operator" }
