-- A pool has no condition Ready; whether its brokers serve is told by the Kafka resource.
-- Its observedGeneration moves when a reconciliation starts, so counts decide here.
local spec = obj.spec or {}
local status = obj.status or {}
local generation = obj.metadata.generation
local wanted = spec.replicas or 0
local nodes = #(status.nodeIds or {})

if generation ~= nil and status.observedGeneration ~= generation then
  return { status = "Progressing", message = "the operator has not seen this generation" }
end

local warning = nil
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "NotReady" and condition.status == "True" then
    return { status = "Degraded", message = condition.message or "not ready" }
  end
  if condition.type == "Warning" then
    warning = condition.message
  end
end

if nodes == wanted and status.replicas == wanted then
  return { status = "Healthy", message = warning or "" }
end

local message = nodes .. " of " .. wanted .. " nodes"
if warning ~= nil then
  -- The operator refuses, for example to remove a broker that holds partitions.
  return { status = "Degraded", message = message .. ": " .. warning }
end
return { status = "Progressing", message = message }
