-- Argo CD's own script calls a Gateway Healthy as soon as any condition exists, also
-- "Pending: waiting for controller", and believes conditions of an older generation.
local status = obj.status or {}
local generation = obj.metadata.generation

local accepted = false
local programmed = false
for _, condition in ipairs(status.conditions or {}) do
  local current = generation == nil or condition.observedGeneration == generation
  if current and condition.type == "Accepted" then
    if condition.status == "False" then
      return { status = "Degraded", message = condition.message or "not accepted" }
    end
    accepted = condition.status == "True"
  end
  if current and condition.type == "Programmed" then
    programmed = condition.status == "True"
  end
end

for _, listener in ipairs(status.listeners or {}) do
  for _, condition in ipairs(listener.conditions or {}) do
    local current = generation == nil or condition.observedGeneration == generation
    if current and condition.type == "ResolvedRefs" and condition.status == "False" then
      -- Most often the certificate that cert-manager has not issued yet.
      return {
        status = "Progressing",
        message = (listener.name or "a listener") .. ": " .. (condition.message or ""),
      }
    end
  end
end

if accepted and programmed then
  return { status = "Healthy", message = "" }
end
return { status = "Progressing", message = "waiting for the gateway's controller" }
