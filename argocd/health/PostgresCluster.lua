-- Healthy: every instance of the current generation is ready, users and databases exist
-- in PostgreSQL (migrations log in as one of them), backups have a stanza, and PgBouncer
-- serves. Argo CD knows nothing of this kind.
local spec = obj.spec or {}
local status = obj.status or {}
local generation = obj.metadata.generation

local function progressing(message)
  return { status = "Progressing", message = message }
end

local function degraded(message)
  return { status = "Degraded", message = message }
end

-- A paused cluster's status is not updated, so nothing below can be believed.
if spec.paused == true then
  return { status = "Suspended", message = "reconciliation is paused by spec.paused" }
end
if spec.shutdown == true then
  return { status = "Suspended", message = "shut down by spec.shutdown" }
end

if generation ~= nil and status.observedGeneration ~= generation then
  return progressing("the operator has not seen this generation")
end

local held = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.type ~= nil then
    held[condition.type] = condition
  end
end

local function is(type, value)
  return held[type] ~= nil and held[type].status == value
end

local restored = held.PostgresDataInitialized
if restored ~= nil and restored.reason == "PGBackRestRestoreFailed" then
  return degraded(restored.message or "the restore failed")
end
if is("PGBackRestoreProgressing", "True") then
  return progressing("restoring a backup")
end
if is("PersistentVolumeResizeError", "True") then
  return degraded(held.PersistentVolumeResizeError.message or "a volume cannot grow")
end

local seen = {}
local ready_in_all = 0
for _, set in ipairs(status.instances or {}) do
  seen[set.name or ""] = set
  ready_in_all = ready_in_all + (set.readyReplicas or 0)
end

local initialized = (status.patroni or {}).systemIdentifier ~= nil
if initialized and ready_in_all == 0 then
  return degraded("no instance is ready")
end

for _, set in ipairs(spec.instances or {}) do
  local wanted = set.replicas or 1
  local now = seen[set.name or ""] or {}
  local ready = now.readyReplicas or 0
  local updated = now.updatedReplicas or 0
  local name = set.name or "an instance set"
  if ready < wanted then
    return progressing(name .. ": " .. ready .. " of " .. wanted .. " instances are ready")
  end
  if updated < wanted then
    return progressing(name .. ": " .. updated .. " of " .. wanted .. " instances are updated")
  end
end

if not initialized then
  return progressing("waiting for the first primary")
end

if #(spec.users or {}) > 0 and (status.usersRevision == nil or status.databaseRevision == nil) then
  return progressing("waiting for users and databases")
end

local backups = status.pgbackrest or {}
if backups.repoHost ~= nil and backups.repoHost.ready ~= true then
  return progressing("the backup repository host is not ready")
end
for _, repo in ipairs(backups.repos or {}) do
  if repo.stanzaCreated ~= true then
    return progressing("backups: no stanza in " .. (repo.name or "a repository") .. " yet")
  end
end

local bouncer = (spec.proxy or {}).pgBouncer
if bouncer ~= nil then
  local wanted = bouncer.replicas or 1
  local ready = ((status.proxy or {}).pgBouncer or {}).readyReplicas or 0
  if ready < wanted then
    return progressing("PgBouncer: " .. ready .. " of " .. wanted .. " are ready")
  end
end

return { status = "Healthy", message = "" }
