-- What sync waves between Applications rest on. Health alone is not enough: a child whose
-- resources could not be applied can read Healthy, and a child whose spec just changed
-- still shows the health of what it was before (argoproj/argo-cd#27917, #6708).
local spec = obj.spec or {}
local status = obj.status or {}
local operation = status.operationState or {}
local sync = status.sync or {}
local health = status.health or {}

local function progressing(message)
  return { status = "Progressing", message = message }
end

-- Fields that are absent, empty or false are the same: the API server drops them.
local function blank(value)
  if type(value) ~= "table" then
    return value == nil or value == "" or value == false
  end
  for _, inner in pairs(value) do
    if not blank(inner) then
      return false
    end
  end
  return true
end

local function same(one, other)
  if blank(one) or blank(other) then
    return blank(one) and blank(other)
  end
  if type(one) ~= "table" or type(other) ~= "table" then
    return one == other
  end
  for key, value in pairs(one) do
    if not same(value, other[key]) then
      return false
    end
  end
  for key, value in pairs(other) do
    if one[key] == nil and not blank(value) then
      return false
    end
  end
  return true
end

if operation.phase == "Running" or operation.phase == "Terminating" then
  return progressing(operation.message or "syncing")
end
if operation.phase == "Failed" or operation.phase == "Error" then
  return { status = "Degraded", message = operation.message or "the sync failed" }
end

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "ComparisonError" or condition.type == "InvalidSpecError" then
    return { status = "Degraded", message = condition.message or condition.type }
  end
end

local compared = sync.comparedTo or {}
if not same(compared.source, spec.source) or not same(compared.sources, spec.sources) then
  return progressing("not yet compared with its new source")
end
if sync.status ~= "Synced" then
  return progressing(sync.status or "not yet compared")
end
if operation.phase ~= "Succeeded" then
  return progressing("never synced")
end

-- Missing after a sync that succeeded is a resource that somebody just deleted.
if health.status == nil or health.status == "Unknown" or health.status == "Missing" then
  return progressing(health.message or "health is not known yet")
end
return { status = health.status, message = health.message or "" }
