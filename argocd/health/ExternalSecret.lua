-- Argo CD's own script believes the status of an older spec: a Secret that was synced
-- from the old path would let the next wave start.
local status = obj.status or {}
local generation = obj.metadata.generation

-- syncedResourceVersion is "<generation>-<hash of labels and annotations>"; without the
-- string library, which Argo CD does not load, a prefix is told by the order of strings.
local version = status.syncedResourceVersion
local function synced()
  if version == nil or generation == nil then
    return true
  end
  local first = generation .. "-"
  return version >= first and version < first .. "~"
end

for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    if condition.status == "True" and synced() then
      return { status = "Healthy", message = "" }
    end
    if condition.status == "True" then
      return { status = "Progressing", message = "not yet synced in this generation" }
    end
    if condition.status == "False" and condition.reason ~= "SecretDeleted" then
      return { status = "Degraded", message = condition.message or "not ready" }
    end
  end
end
return { status = "Progressing", message = "waiting for its first sync" }
