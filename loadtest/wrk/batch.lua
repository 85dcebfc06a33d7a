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

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.3f,"p50_ms":%.1f,"p99_ms":%.1f,"max_ms":%.1f,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
