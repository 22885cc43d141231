-- Sends one token after the other, from the file that the first argument names, starting at the
-- second argument; prints one line of JSON with what was counted.
local requests, position = {}, 0

function init(arguments)
  for value in io.lines(arguments[1]) do
    local headers = { Authorization = "Bearer " .. value, ["User-Agent"] = "node" }
    requests[#requests + 1] = wrk.format("GET", nil, headers)
  end
  position = tonumber(arguments[2]) % #requests
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format('{"requests": %d, "seconds": %.6f, "broken": %d, "refused": %d}',
    summary.requests, summary.duration / 1000000, broken, errors.status))
end
