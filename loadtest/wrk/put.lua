-- Single PUTs, every one a transfer of its own. Arguments: accounts, merchants, run (hex).
local count = 0
local accounts, merchants, run

function init(args)
  accounts, merchants, run = tonumber(args[1]), tonumber(args[2]), args[3]
  math.randomseed(tonumber(run, 16))
end

function request()
  count = count + 1
  local path = string.format("/v1/transfers/%s-0000-7000-8000-%012x", run, count)
  local body = string.format(
    '{"debit_account":%d,"credit_account":%d,"amount":%d,"currency":"EUR"}',
    math.random(1, accounts), accounts + math.random(1, merchants), math.random(1, 100))
  return wrk.format("PUT", path, { ["Content-Type"] = "application/json" }, body)
end

dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "report.lua")
