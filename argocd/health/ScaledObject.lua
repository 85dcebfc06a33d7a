-- Argo CD's own script calls a ScaledObject Degraded that is paused while its trigger is
-- away. KEDA gives no observedGeneration.
local status = obj.status or {}
local annotations = obj.metadata.annotations or {}

local held = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.type ~= nil then
    held[condition.type] = condition
  end
end

local function is(type, value)
  return held[type] ~= nil and held[type].status == value
end

if is("Paused", "True") or annotations["autoscaling.keda.sh/paused"] == "true" then
  return { status = "Suspended", message = "scaling is paused by annotation" }
end
if is("Ready", "False") then
  return { status = "Degraded", message = held.Ready.message or "not ready" }
end
if is("Fallback", "True") then
  return { status = "Degraded", message = held.Fallback.message or "the trigger is away" }
end
if is("Ready", "True") and status.hpaName ~= nil then
  return { status = "Healthy", message = "" }
end
return { status = "Progressing", message = "waiting for its HorizontalPodAutoscaler" }
