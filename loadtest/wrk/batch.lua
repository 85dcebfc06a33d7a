-- Batches of NDJSON, every line a transfer of its own. Arguments: accounts, merchants,
-- run (hex), lines of a batch.
local count = 0
local accounts, merchants, run, lines

function init(args)
  accounts, merchants, run, lines = tonumber(args[1]), tonumber(args[2]), args[3], tonumber(args[4])
  math.randomseed(tonumber(run, 16))
end

function request()
  local body = {}
  for n = 1, lines do
    count = count + 1
    body[n] = string.format(
      '{"transfer_id":"%s-0000-7000-8000-%012x","debit_account":%d,"credit_account":%d,"amount":%d,"currency":"EUR"}',
      run, count, math.random(1, accounts), accounts + math.random(1, merchants), math.random(1, 100))
  end
  return wrk.format(
    "POST", "/v1/transfers:batch", { ["Content-Type"] = "application/x-ndjson" },
    table.concat(body, "\n") .. "\n")
end

dofile(debug.getinfo(1, "S").source:match("@?(.*/)") .. "report.lua")
