-- Sends one token after the other, from the file that the first argument names, starting at the
-- second argument; prints one line of JSON with what was counted. The third says how: "bearer" as it
-- is, "spoilt" with another last digit, or "introspect" in a form, with the fourth as credentials.
local requests, position = {}, 0

function init(arguments)
  for value in io.lines(arguments[1]) do
    if arguments[3] == "spoilt" then
      value = value:sub(1, -2) .. (value:sub(-1) == "0" and "1" or "0")
    end
    local headers = { Authorization = "Bearer " .. value, ["User-Agent"] = "node" }
    local method, body = "GET", nil
    if arguments[3] == "introspect" then
      method, body = "POST", "token=" .. value
      headers.Authorization = arguments[4]
      headers["Content-Type"] = "application/x-www-form-urlencoded"
    end
    requests[#requests + 1] = wrk.format(method, nil, headers, body)
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
