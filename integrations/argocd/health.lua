-- Health of the four kinds of sotto.dev for Argo CD. How to install it: README.md beside this file.
-- Works with Argo CD's standard set of libraries (base, table, os); needs no useOpenLibs.

local hs = { status = "Progressing", message = "Waiting for the Sotto operator" }

-- Deletion always ends; until then it is under way.
if obj.metadata ~= nil and obj.metadata.deletionTimestamp ~= nil then
  hs.message = "Being deleted"
  return hs
end

local status = obj.status
local conditions = {}
if status ~= nil and status.conditions ~= nil then
  for _, condition in ipairs(status.conditions) do
    conditions[condition.type] = condition
  end
end

local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end

-- Who pauses an object must see it as paused, whatever its state was before.
if holds("Paused") then
  hs.status = "Suspended"
  hs.message = conditions["Paused"].message
  return hs
end

-- What the status says is about this spec only when it has seen it. Before the operator has, it is -1 or missing.
if status == nil or status.observedGeneration == nil or status.observedGeneration == -1 then
  return hs
end
if obj.metadata ~= nil and obj.metadata.generation ~= nil and status.observedGeneration ~= obj.metadata.generation then
  hs.message = "The Sotto operator has not seen this change yet"
  return hs
end

local ready = conditions["Ready"]
if holds("Degraded") then
  hs.status = "Degraded"
  hs.message = conditions["Degraded"].reason .. ": " .. conditions["Degraded"].message
elseif holds("Ready") then
  hs.status = "Healthy"
  hs.message = ready.message
elseif holds("Progressing") then
  hs.message = conditions["Progressing"].reason .. ": " .. conditions["Progressing"].message
elseif ready ~= nil then
  hs.message = ready.reason .. ": " .. ready.message
end
return hs
